#!/usr/bin/env bash
# docs/results.md, "Do generated images match their captions?": after runs/ablation.sh, measures the images of stage t2i on test
# for each seed and generates the sheet of the README. Expected: the caption's own photo at 31.4, 31.4, 32.1 % of the ranks
# (chance 50 %). Minutes.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
for seed in $SEEDS; do
    "$GXN" evaluate "ablation/seed$seed/t2i" "$FLICKR8K" --split test --imagine "ablation/seed$seed/t2i/images_test"
done
"$GXN" imagine ablation/seed1/t2i "a brown dog runs on grass" "a dog runs through the snow" "a surfer rides a wave" \
    "people at the beach at sunset" -n 4 --seed 7 -o ablation/four_sentences
