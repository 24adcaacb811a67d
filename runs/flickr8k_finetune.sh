#!/usr/bin/env bash
# docs/results.md, "With a trained CNN": trains seeds 1, 2, 3 from the runs of flickr8k_best.sh and prints recall on val and test, of
# each and of their ensemble. Expected: val rsum about 371, test 361, ensemble 384 and 375. Two free cores: 45 min per seed, after
# flickr8k_best.sh. SEEDS="1" trains one seed only.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train best configs/flickr8k-best.toml
for seed in $SEEDS; do
    SEEDS=$seed train finetuned configs/finetune.toml --init-from "runs/best-seed$seed"
done
evaluate finetuned val
evaluate finetuned test --protocol flickr8k1k
ensemble=$(printf 'runs/finetuned-seed%s,' $SEEDS)
for split in val test; do
    "$GXN" evaluate "${ensemble%,}" "$FLICKR8K" --split "$split"
done
