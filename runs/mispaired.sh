#!/usr/bin/env bash
# docs/results.md, "Does training with generated images help retrieval?": stage t2i, the same with photos of other captions
# (imagine.image.mispaired), and a control of equally many Match steps. On top of the trained CNN, held fixed, where
# flickr8k_finetune.sh was run, else of the best setting. Two free cores: more than two hours per seed (estimated).
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train best configs/flickr8k-best.toml
own=() mispaired=() control=()
for seed in $SEEDS; do
    start=runs/finetuned-seed$seed held=(--set look.finetune=false --set look.augment=false)
    [ -e "$start/last" ] || start=runs/best-seed$seed held=()
    each() { SEEDS=$seed "$@"; }
    each train gan configs/flickr8k-t2i-pretrain.toml --init-from "$start" "${held[@]}"
    each train t2i configs/flickr8k-t2i.toml --init-from "runs/gan-seed$seed"
    each train gan-mispaired configs/flickr8k-t2i-pretrain.toml --init-from "$start" "${held[@]}" --set imagine.image.mispaired=true
    each train t2i-mispaired configs/flickr8k-t2i.toml --init-from "runs/gan-mispaired-seed$seed"
    each train t2i-control configs/flickr8k-t2i.toml --stage match --init-from "$start" "${held[@]}"
    for run in t2i t2i-mispaired t2i-control; do
        each evaluate $run val
        each evaluate $run test --protocol flickr8k1k
    done
    own+=("runs/t2i-seed$seed/test.json")
    mispaired+=("runs/t2i-mispaired-seed$seed/test.json")
    control+=("runs/t2i-control-seed$seed/test.json")
done
"$GXN" compare "$(join "${control[@]}")" "$(join "${own[@]}")"
"$GXN" compare "$(join "${control[@]}")" "$(join "${mispaired[@]}")"
"$GXN" compare "$(join "${mispaired[@]}")" "$(join "${own[@]}")"
