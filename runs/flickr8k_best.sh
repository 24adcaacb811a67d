#!/usr/bin/env bash
# docs/results.md, "the best Look + Match setting": trains seeds 1, 2, 3 and prints recall on val and test.
# Expected: val rsum 349.0 ± 1.0, test rsum 336.1 ± 2.6. Two cores: 4 min for features, then 4 min per seed.
# SEEDS="1" trains one seed only.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train best configs/flickr8k-best.toml
evaluate best val
evaluate best test --protocol flickr8k1k
