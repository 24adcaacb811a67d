#!/usr/bin/env bash
# docs/results.md, "Does training with generated captions / images help retrieval?", "How good are the generated captions?":
# runs every stage beside its control with three seeds, prints the table of docs/ablation_flickr8k.md, then scores generated
# captions. Two cores: six and a half hours; it continues where it was stopped. SEEDS="1" runs one seed only.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
count=$(wc -w <<<"$SEEDS")
"$GXN" ablate configs/flickr8k-ablation.toml --seeds "$count" --logs ablation
for stage in i2t_xe i2t_mix; do
    for seed in $(seq "$count"); do
        "$GXN" evaluate "ablation/seed$seed/$stage" "$FLICKR8K" --split test --protocol flickr8k1k \
            --captions "ablation/seed$seed/$stage/captions_test" --beam 3
    done
done
