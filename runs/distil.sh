#!/usr/bin/env bash
# docs/results.md, "Several models in one": each trained CNN of flickr8k_finetune.sh learns from the mean scores of all three, and is
# evaluated on val and test with and without hubs corrected. Two free cores: 6 min per seed, after flickr8k_finetune.sh, which it needs.
# START=best takes the runs of flickr8k_best.sh, whose CNN is frozen, in their place.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
START=${START:-finetuned}
teachers=() plain=() distilled=() hubs=() both=()
for seed in $SEEDS; do
    teacher=teachers/$START-$seed
    [ -d "$teacher" ] || "$GXN" encode "runs/$START-seed$seed" "$FLICKR8K" --split train -o "$teacher"
    teachers+=("\"$teacher\"")
done
for seed in $SEEDS; do
    start=runs/$START-seed$seed run=runs/$START-distilled-seed$seed
    SEEDS=$seed train "$START-distilled" configs/distil.toml --init-from "$start" --set "train.teachers=[$(join "${teachers[@]}")]"
    "$GXN" evaluate "$run" "$FLICKR8K" --split val
    "$GXN" evaluate "$run" "$FLICKR8K" --split val --correct-hubs
    measure() { "$GXN" evaluate "$1" "$FLICKR8K" --split test --protocol flickr8k1k "${@:2}"; }
    measure "$start" -o "$start/test.json"
    measure "$start" --correct-hubs -o "$start/test-hubs.json"
    measure "$run" -o "$run/test.json"
    measure "$run" --correct-hubs -o "$run/test-hubs.json"
    plain+=("$start/test.json") distilled+=("$run/test.json")
    hubs+=("$start/test-hubs.json") both+=("$run/test-hubs.json")
done
"$GXN" compare "$(join "${plain[@]}")" "$(join "${distilled[@]}")"
"$GXN" compare "$(join "${hubs[@]}")" "$(join "${both[@]}")"
