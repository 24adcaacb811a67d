#!/usr/bin/env bash
# docs/results.md, "Re-ranking by the caption decoder": a decoder for each model, val with hubs corrected and the best weight, and test
# with and without hubs corrected and re-ranking. Two free cores: 25 min per seed, after flickr8k_best.sh; 35 for the trained CNN, where
# flickr8k_finetune.sh was run.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train best configs/flickr8k-best.toml
for name in best finetuned; do
    plain=() reranked=() hubs=() both=() controls=()
    for seed in $SEEDS; do
        start=runs/$name-seed$seed hubs_weight=(0.01) # the best on val
        [ -e "$start/last" ] || continue
        decoder=xe held=()
        if [ $name = finetuned ]; then # the CNN stays as it is
            hubs_weight=(0.008 --rerank-captions)
            decoder=finetuned-xe held=(--set look.finetune=false --set look.augment=false)
            # "Does training with generated captions help retrieval?": as many steps without captions
            SEEDS=$seed train finetuned-control configs/flickr8k-i2t-xe.toml --stage match --init-from "$start" "${held[@]}"
            SEEDS=$seed evaluate finetuned-control test --protocol flickr8k1k
            controls+=("runs/finetuned-control-seed$seed/test.json")
        fi
        SEEDS=$seed train $decoder configs/flickr8k-i2t-xe.toml --init-from "$start" "${held[@]}"
        run=runs/$decoder-seed$seed
        "$GXN" evaluate "$run" "$FLICKR8K" --split val --rerank 20 # names the best weight
        "$GXN" evaluate "$run" "$FLICKR8K" --split val --correct-hubs --rerank 20 --rerank-captions
        measure() { "$GXN" evaluate "$run" "$FLICKR8K" --split test --protocol flickr8k1k "$@"; }
        measure -o "$run/test.json"
        measure --rerank 20 --rerank-weight 0.015 -o "$run/test-reranked.json"
        measure --correct-hubs -o "$run/test-hubs.json"
        measure --correct-hubs --rerank 20 --rerank-weight "${hubs_weight[@]}" -o "$run/test-both.json"
        plain+=("$run/test.json") reranked+=("$run/test-reranked.json")
        hubs+=("$run/test-hubs.json") both+=("$run/test-both.json")
    done
    if [ ${#plain[@]} -gt 0 ]; then
        "$GXN" compare "$(join "${plain[@]}")" "$(join "${reranked[@]}")"
        "$GXN" compare "$(join "${hubs[@]}")" "$(join "${both[@]}")"
        [ ${#controls[@]} = 0 ] || "$GXN" compare "$(join "${controls[@]}")" "$(join "${plain[@]}")"
    fi
done
