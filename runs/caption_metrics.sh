#!/usr/bin/env bash
# docs/results.md, "Caption metrics": `gxn score-captions` beside the coco-caption package on Flickr8k test.
# Needs `pip install pycocoevalcap` and Java. Expected: differences of at most 9e-16. Minutes. PYTHON chooses the interpreter.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
GXN=$GXN "${PYTHON:-python3}" reference/caption_metrics.py "$GXN_DATA"
