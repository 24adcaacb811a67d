#!/usr/bin/env bash
# docs/results.md, "the paper's own setting": trains seeds 1, 2, 3 and prints recall on val and test.
# Expected: val rsum 250.2 ± 1.1, test rsum 251.5 ± 3.0. Two cores: 1 min for features, then 20 to 25 min per seed.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
train paper configs/flickr8k.toml
evaluate paper val
evaluate paper test --protocol flickr8k1k
