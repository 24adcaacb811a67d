#!/usr/bin/env bash
# docs/results.md, "A pretrained text encoder": the best setting with and without MiniLM beside the GRUs, at 1,000, 3,000 and
# 6,000 train images. TEXT_ENCODER names MiniLM's folder (docs/encoders.md). Two free cores: 25 min per seed.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
: "${TEXT_ENCODER:?names the folder of all-MiniLM-L6-v2, see docs/encoders.md}"
for images in 1000 3000 6000; do
    train "words-$images" flickr8k-best --set data.max_train_images=$images
    train "minilm-$images" flickr8k-best --set data.max_train_images=$images --set "look.sentence.encoder.path=$TEXT_ENCODER"
    for name in words minilm; do
        evaluate $name-$images val
        evaluate $name-$images test --protocol flickr8k1k
    done
done
