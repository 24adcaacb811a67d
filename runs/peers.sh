#!/usr/bin/env bash
# docs/results.md, "Speed beside PyTorch": training steps, fused operations, CNN features and a GAN step, alternating with PyTorch.
# Needs `pip install torch numpy pillow efficientnet-lite-pytorch`, not GXN_DATA. Minutes; run it on a quiet machine.
# PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p gxn --example bench_ops
peers() { "${PYTHON:-python3}" benches/peers.py "$@"; }
peers --rounds 2 step_paper step_best bigru_forward_backward order_forward_backward
peers --rounds 2 features_jpeg features_network step_best
peers --rounds 3 step_gan step_gan_large
peers --rounds 2 train_lite2
peers --rounds 1 train_resnet50
