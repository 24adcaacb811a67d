#!/usr/bin/env bash
# docs/results.md, "the paper's own setting": trains seeds 1, 2, 3, then their CNN too, and prints recall on val and test.
# Expected: val rsum 250.2 ± 1.1, test rsum 251.5 ± 3.0. Two cores: 1 min for features, then 20 to 25 min per seed, and as long again for
# the CNN.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train paper configs/flickr8k.toml
evaluate paper val
evaluate paper test --protocol flickr8k1k
for seed in $SEEDS; do
    SEEDS=$seed train paper-finetuned configs/finetune.toml --init-from "runs/paper-seed$seed" --lr 2e-4 --set look.finetune_rate=1 --epochs 4
done
evaluate paper-finetuned val
evaluate paper-finetuned test --protocol flickr8k1k
