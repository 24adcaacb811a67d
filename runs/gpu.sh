#!/usr/bin/env bash
# docs/device.md: what a machine with a GPU has to show. The tests on the device, the speed beside PyTorch on the same card, and
# a training of the paper's size with its results. Never run so far: there was no GPU.
#
#     DEVICE=cuda runs/gpu.sh          # also cuda:1, wgpu, vulkan, metal; PyTorch only beside cuda
#
# Results are JSON files in runs/gpu-DEVICE; what is there is not done again. The speed needs `pip install torch torchvision numpy
# pillow efficientnet-lite-pytorch` with CUDA, the training GXN_DATA. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
DEVICE=${DEVICE:-cuda}
FEATURE=${DEVICE%%:*}
OUT=runs/gpu-${DEVICE/:/-}
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT"

# Runs a command whose output becomes the file $1, unless the file is there.
once() {
    local file=$OUT/$1
    shift
    [ -e "$file" ] && return
    echo "== $file: $*" >&2
    "$@" >"$file.tmp"
    mv "$file.tmp" "$file"
}

machine() {
    local card
    card=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null || echo unknown)
    "$PYTHON" -c 'import json, platform, sys; print(json.dumps({"device": sys.argv[1], "card": sys.argv[2].splitlines(),
        "system": platform.platform(), "compiler": sys.argv[3]}))' "$DEVICE" "$card" "$(rustc --version)"
}

# The largest difference to the CPU of each test, as one object; fails where a test fails.
tests() {
    GXN_TEST_DEVICE=$DEVICE cargo test --release -p gxn --lib --features "$FEATURE" --locked device_tests -- --nocapture \
        | tee /dev/stderr \
        | "$PYTHON" -c 'import json, re, sys
found = dict(re.findall(r"^(.+): (\d\.\de-?\d+) \(.*\)$", sys.stdin.read(), re.M))
assert found, "no difference was measured"
print(json.dumps({name: float(value) for name, value in found.items()}))'
}

speed() {
    cargo build --release -p gxn --example bench_ops --features "$FEATURE" --locked
    "$PYTHON" benches/peers.py --device "$DEVICE" --json step_paper step_best step_gan step_gan_large train_lite2 train_resnet50
}

once machine.json machine
once tests.json tests
if [ "$FEATURE" = cuda ]; then
    once speed.jsonl speed
else
    echo "NOT RUN: the speed beside PyTorch, which has no $FEATURE" >&2
fi
if [ -z "${GXN_DATA:-}" ]; then
    echo "NOT RUN: the training, which needs GXN_DATA" >&2
    exit
fi
cargo build --release -p gxn-cli --features "$FEATURE" --locked
export GXN=$PWD/target/release/gxn GXN_DEVICE=$DEVICE SEEDS=${SEEDS:-1}
. runs/setup.sh
# Features of a sample, and steps: images a second on the device and on the CPU.
for device in "$DEVICE" cpu; do
    once "dry-run-${device/:/-}.txt" "$GXN" train configs/flickr8k.toml --dry-run --device "$device"
done
# The setting of runs/flickr8k_paper.sh; its log has the seconds of every epoch.
train "$(basename "$OUT")-paper" configs/flickr8k.toml
evaluate "$(basename "$OUT")-paper" val
