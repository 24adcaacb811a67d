#!/usr/bin/env bash
# docs/results.md, "Correcting hubs": recall on val and test with and without the correction, of the best setting and, where
# flickr8k_finetune.sh was run, of the trained CNN and the ensemble. Two free cores: minutes after these.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train best configs/flickr8k-best.toml
for name in best finetuned; do
    models=() plain=() corrected=()
    for seed in $SEEDS; do
        run=runs/$name-seed$seed
        [ -e "$run/last" ] || continue
        "$GXN" evaluate "$run" "$FLICKR8K" --split val
        "$GXN" evaluate "$run" "$FLICKR8K" --split val --correct-hubs
        measure() { "$GXN" evaluate "$run" "$FLICKR8K" --split test --protocol flickr8k1k "$@"; }
        measure -o "$run/test.json"
        measure --correct-hubs -o "$run/test-hubs.json"
        "$GXN" calibrate "$run" "$FLICKR8K" --measure test    # as a search does it
        models+=("$run") plain+=("$run/test.json") corrected+=("$run/test-hubs.json")
    done
    if [ ${#models[@]} -gt 0 ]; then
        "$GXN" compare "$(join "${plain[@]}")" "$(join "${corrected[@]}")"
        "$GXN" evaluate "$(join "${models[@]}")" "$FLICKR8K" --split test --protocol flickr8k1k --correct-hubs
    fi
done
