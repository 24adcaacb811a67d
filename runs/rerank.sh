#!/usr/bin/env bash
# docs/results.md, "Re-ranking by the caption decoder": text→image ordered once more by ln p(caption | image), weight chosen on val,
# test with and without, and both with hubs corrected. Two free cores: 15 min per seed, after flickr8k_best.sh.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train best configs/flickr8k-best.toml
for seed in $SEEDS; do
    SEEDS=$seed train xe configs/flickr8k-i2t-xe.toml --init-from "runs/best-seed$seed"
    "$GXN" evaluate "runs/xe-seed$seed" "$FLICKR8K" --split val --rerank 20 # names the best weight
    "$GXN" evaluate "runs/xe-seed$seed" "$FLICKR8K" --split val --correct-hubs --rerank 20
done
plain=() reranked=()
for seed in $SEEDS; do
    run=runs/xe-seed$seed
    measure() { "$GXN" evaluate "$run" "$FLICKR8K" --split test --protocol flickr8k1k "$@"; }
    measure -o "$run/test.json"
    measure --rerank 20 --rerank-weight 0.015 -o "$run/test-reranked.json"
    measure --correct-hubs -o "$run/test-hubs.json"
    measure --correct-hubs --rerank 20 --rerank-weight 0.01 -o "$run/test-hubs-reranked.json"
    plain+=("$run/test.json") reranked+=("$run/test-reranked.json")
done
join() { local IFS=,; echo "$*"; }
"$GXN" compare "$(join "${plain[@]}")" "$(join "${reranked[@]}")"
