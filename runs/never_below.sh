#!/usr/bin/env bash
# docs/encoders.md, "Never below": training on top of a teacher of noisy texts, on real and on shuffled captions.
# CNN_FEATURES is a folder of cached features (runs/features/KEY) that another run on Flickr8k left. NumPy; two free cores: 10 min.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
: "${CNN_FEATURES:?names a folder of cached features of Flickr8k, such as runs/features/KEY}"
images=$GXN_DATA/flickr8k/images
python reference/never_below.py "$FLICKR8K" "$images" "$CNN_FEATURES" runs/never-below
export GXN_ENCODER
GXN_ENCODER=runs/never-below/teacher
train never-below-real on-encoder --train-data "$FLICKR8K"
GXN_ENCODER=runs/never-below/teacher-shuffled
train never-below-shuffled on-encoder --train-data runs/never-below/shuffled.json --images "$images"
