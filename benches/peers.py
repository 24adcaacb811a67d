"""The same work in PyTorch and in gxn, in turns on the same machine: fused operations, training steps, features.

    pip install torch torchvision numpy pillow efficientnet-lite-pytorch
    cargo build --release -p gxn --example bench_ops
    python benches/peers.py [--rounds 3] [--threads 2] [--device cuda] [WORKLOAD ...]

Each measurement is a process of its own, PyTorch and gxn alternating, so that a busy machine disturbs both alike. The
table gives median and fastest over all rounds, the ratios of the times (gxn / PyTorch, below 1 is faster), the ratio of
the least computing time of a call (all threads together; the one to trust on a busy machine) and the peak memory of
each process as a whole. Rows of features give images per second instead of time; their ratios are of the times.

With --device cuda both sides compute on the GPU (gxn built with --features cuda), each call to its end. This way has never
been run: there was no GPU.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Callable, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGES = 64


# --- The PyTorch side ------------------------------------------------------------------------------------------------


def bigru(backward, ragged=False):
    import torch

    net = torch.nn.GRU(300, 1024, batch_first=True, bidirectional=True)
    x = torch.randn(128, 15, 300, requires_grad=backward)
    lengths = [5 + k % 11 for k in range(128)]

    def run():
        if not ragged:
            return net(x)[0]
        pad, pack = torch.nn.utils.rnn.pad_packed_sequence, torch.nn.utils.rnn.pack_padded_sequence
        return pad(net(pack(x, lengths, batch_first=True, enforce_sorted=False))[0], batch_first=True)[0]

    def call():
        if not backward:
            with torch.no_grad():
                return run()
        for tensor in (x, *net.parameters()):
            tensor.grad = None
        run().square().mean().backward()

    return call


def order():
    import torch

    images, captions = (torch.randn(128, 1024, requires_grad=True) for _ in range(2))

    def call():
        images.grad = captions.grad = None
        scores = -(images[:, None] - captions[None]).clamp(min=0).square().sum(2)
        scores.mean().backward()

    return call


def large():
    import torch

    parameters = [torch.nn.Parameter(torch.randn(2048, 2048)) for _ in range(5)]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return parameters


def adam(fused):
    import torch

    return torch.optim.Adam(large(), lr=1e-4, fused=fused).step


def clip():
    import torch

    parameters = large()
    return lambda: torch.nn.utils.clip_grad_norm_(parameters, 1e-3)


def moving_average():
    import torch

    model, average = large(), [parameter.detach() for parameter in large()]

    def call():
        with torch.no_grad():
            torch._foreach_lerp_(average, model, 0.001)

    return call


def dropout():
    import torch

    x = torch.ones(1024, 1024)
    return lambda: torch.nn.functional.dropout(x, 0.5)


def training_step(name, fused):
    from peers_training import step

    return step(name, fused)


def gan_step(gf, df, channels_last):
    from peers_gan import step

    return step(gf, df, channels_last)


def features(channels_last, from_jpeg):
    from peers_features import features

    return features(channels_last, from_jpeg)


def trained(kind, channels_last):
    from peers_features import trained

    return trained(kind, channels_last)


class Row(NamedTuple):
    name: str
    # gxn's workload, and what makes PyTorch's call.
    workload: str
    torch: Callable
    repetitions: int = 8
    # Images of a call, where the row tells images per second.
    images: int = 0


PAPER, BEST = "training step, flickr8k.toml", "training step, flickr8k-best.toml"
GAN = "D step + G step, 64 images of 64x64"
LITE2 = "EfficientNet-Lite2 trained, 32 images of 260 px, f + b"
RESNET = "ResNet-50 trained, 32 images of 224 px, f + b"
ROWS = [
    Row("bi-GRU forward, B128 T15 E300 H1024", "bigru_forward", lambda: bigru(False)),
    Row("bi-GRU forward + backward", "bigru_forward_backward", lambda: bigru(True)),
    Row("bi-GRU forward + backward, 5-15 tokens", "bigru_ragged_forward_backward", lambda: bigru(True, ragged=True)),
    Row("order similarity 128x128x1024, f + b", "order_forward_backward", order),
    Row("Adam, 21 M parameters", "adam_21m", lambda: adam(False)),
    Row("Adam, 21 M parameters (fused in PyTorch)", "adam_21m", lambda: adam(True)),
    Row("clip by global norm, 21 M", "clip_21m", clip),
    Row("moving average, 21 M", "ema_21m", moving_average),
    Row("dropout 1024x1024, forward", "dropout_1m", dropout),
    Row(PAPER, "step_paper", lambda: training_step("flickr8k", False), 4),
    Row(f"{PAPER} (fused Adam in PyTorch)", "step_paper", lambda: training_step("flickr8k", True), 4),
    Row(BEST, "step_best", lambda: training_step("flickr8k-best", False)),
    Row(f"{BEST} (fused Adam in PyTorch)", "step_best", lambda: training_step("flickr8k-best", True)),
    Row(f"{GAN}, gf 48 df 24", "step_gan", lambda: gan_step(48, 24, False), 4),
    Row(f"{GAN}, gf 48 df 24 (channels last in PyTorch)", "step_gan", lambda: gan_step(48, 24, True), 4),
    Row(f"{GAN}, gf 128 df 64", "step_gan_large", lambda: gan_step(128, 64, False), 2),
    Row(f"{GAN}, gf 128 df 64 (channels last in PyTorch)", "step_gan_large", lambda: gan_step(128, 64, True), 2),
    Row("features from JPEG (channels last in PyTorch)", "features_jpeg", lambda: features(True, True), 3, IMAGES),
    Row("network only (channels last in PyTorch)", "features_network", lambda: features(True, False), 3, IMAGES),
    Row("network only (default layout in PyTorch)", "features_network", lambda: features(False, False), 3, IMAGES),
    Row(f"{LITE2} (channels last in PyTorch)", "train_lite2", lambda: trained("lite2", True), 3),
    Row(f"{LITE2} (default layout in PyTorch)", "train_lite2", lambda: trained("lite2", False), 3),
    Row(f"{RESNET} (channels last in PyTorch)", "train_resnet50", lambda: trained("resnet50", True), 3),
]


def peak_mib():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return None


def torch_side(number, threads, device):
    """Measures one row, or the bare start of PyTorch, and prints the same JSON line as the Rust side."""
    import torch

    torch.set_num_threads(threads)
    torch.set_default_device(device)
    torch.manual_seed(0)
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    times, cpu_times = [0.0], [0.0]
    if number >= 0:
        row = ROWS[number]
        call = row.torch()
        times, cpu_times = [], []
        for _ in range(row.repetitions + 2):
            wait()
            start, cpu_start = time.perf_counter(), time.process_time()
            call()
            wait()
            times.append((time.perf_counter() - start) * 1e3)
            cpu_times.append((time.process_time() - cpu_start) * 1e3)
        times, cpu_times = times[2:], cpu_times[2:]
    print(json.dumps({"milliseconds": times, "cpu_milliseconds": cpu_times, "peak_mib": peak_mib()}))


# --- The table -------------------------------------------------------------------------------------------------------


def measure(command, threads, device):
    # PyTorch's threads spin while they wait for each other, which on a busy machine makes it up to ten times slower.
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE")
    environment.update(RAYON_NUM_THREADS=str(threads), GXN_DEVICE=device)
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {result.returncode}")
    return json.loads(result.stdout)


def figure(row, milliseconds):
    """How the table shows the time of a call."""
    if row.images:
        return f"{row.images * 1e3 / milliseconds:.1f}/s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.2f} ms"


def compare(row, theirs, ours, rounds):
    """The line of the table that `row` becomes, as a dictionary."""
    times, cpu, peaks = {"PyTorch": [], "gxn": []}, {"PyTorch": [], "gxn": []}, {"PyTorch": 0, "gxn": 0}
    for _ in range(rounds):
        for side, result in (("PyTorch", theirs()), ("gxn", ours())):
            times[side] += result["milliseconds"]
            cpu[side] += result["cpu_milliseconds"]
            peaks[side] = max(peaks[side], result["peak_mib"])
    median = {side: statistics.median(values) for side, values in times.items()}
    fastest = {side: min(values) for side, values in times.items()}
    computed = {side: min(values) for side, values in cpu.items()}
    ratios = [milliseconds["gxn"] / milliseconds["PyTorch"] for milliseconds in (median, fastest, computed)]
    return {
        "row": row.name,
        "median_ms": median,
        "fastest_ms": fastest,
        "least_cpu_ms": computed,
        "ratios": ratios,
        "peak_mib": peaks,
    }


def show(row, line):
    cells = [row.name]
    for side in ("PyTorch", "gxn"):
        median, fastest = line["median_ms"][side], line["fastest_ms"][side]
        cells.append(f"{figure(row, median)} ({figure(row, fastest)})")
    cells += [f"{ratio:.2f}" for ratio in line["ratios"]] + [f"{line['peak_mib'][side]}" for side in ("PyTorch", "gxn")]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help="names of gxn's workloads; all if none is given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N, for both sides")
    parser.add_argument("--json", action="store_true", help="one JSON line a row instead of the table")
    parser.add_argument("--torch-row", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch_row is not None:
        return torch_side(options.torch_row, options.threads, options.device)

    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "examples" / "bench_ops"
    if not program.exists():
        sys.exit(f"error: no {program}\nhint: cargo build --release -p gxn --example bench_ops")
    chosen = options.workloads or {row.workload for row in ROWS}
    rows = [(number, row) for number, row in enumerate(ROWS) if row.workload in chosen]

    def ours(workload, repetitions):
        return measure([str(program), workload, str(repetitions)], options.threads, options.device)

    def theirs(number):
        command = [sys.executable, __file__, "--threads", str(options.threads), "--device", options.device]
        return measure([*command, f"--torch-row={number}"], options.threads, options.device)

    with tempfile.TemporaryDirectory() as folder:
        if any(row.images for _, row in rows):
            from peers_features import write_images

            os.environ["GXN_BENCH_IMAGES"] = folder
            write_images(pathlib.Path(folder), IMAGES)
        if not options.json:
            start = {"PyTorch": theirs(-1)["peak_mib"], "gxn": ours("nothing", 0)["peak_mib"]}
            command = " ".join(["python benches/peers.py", *sys.argv[1:]])
            print(f"`{command}`: {options.threads} threads, {options.rounds} rounds in turns; median (fastest).")
            print(f"Memory of a bare start: PyTorch {start['PyTorch']} MiB, gxn {start['gxn']} MiB.\n")
            print("| | PyTorch | gxn | median ratio | fastest ratio | CPU ratio | PyTorch peak MiB | gxn peak MiB |")
            print("|---|---|---|---|---|---|---|---|", flush=True)
        for number, row in rows:
            line = compare(row, lambda: theirs(number), lambda: ours(row.workload, row.repetitions), options.rounds)
            if options.json:
                print(json.dumps(line), flush=True)
            else:
                show(row, line)


if __name__ == "__main__":
    main()
