#!/usr/bin/env bash
# docs/results.md, "How much data is enough": the best setting with 1,000, 3,000 and 6,000 training images, seed 1, without and with
# a trained CNN, and two variants for 1,000. Expected val rsum: 207.1, 302.5, 347.9; 218.3, 315.5, 370.1; 209.8 and 199.8. Two
# cores: about 15 min after the features, and 80 min for the CNN.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
SEEDS=1
for images in 1000 3000 6000; do
    train "curve-$images" configs/flickr8k-best.toml --set "data.max_train_images=$images"
    evaluate "curve-$images" val
    train "curve-$images-finetuned" configs/finetune.toml --init-from "runs/curve-$images-seed1"
    evaluate "curve-$images-finetuned" val
    "$GXN" compare "runs/curve-$images-seed1/val.json" "runs/curve-$images-finetuned-seed1/val.json"
done
longer=(--set data.max_train_images=1000 --set train.epochs=40 --set train.batch_size=128)
dropout=(--set look.feature_dropout=0.4 --set look.sentence.word_dropout=0.4 --set look.sentence.state_dropout=0.4)
train curve-1000-dropout configs/flickr8k-best.toml "${longer[@]}" "${dropout[@]}"
evaluate curve-1000-dropout val
train curve-1000-longer configs/flickr8k-best.toml "${longer[@]}"
evaluate curve-1000-longer val
