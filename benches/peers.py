"""The same work in PyTorch and in gxn, in turns on the same machine.

    cargo build --release -p gxn --example bench_ops
    python benches/peers.py [--rounds 5] [--threads 2] [WORKLOAD ...]

Each measurement is a process of its own, PyTorch and gxn alternating, so that a busy machine disturbs both alike.
The table gives median and fastest time over all rounds, their ratios (gxn / PyTorch, below 1 is faster), the ratio of
the mean computing time (all threads together; the one to trust on a busy machine, with --threads 1) and the peak
memory of each process less that of a process which only starts up.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
REPETITIONS = 8


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


# Row of the table: (its name, gxn's workload, what makes PyTorch's call).
ROWS = [
    ("bi-GRU forward, B128 T15 E300 H1024", "bigru_forward", lambda: bigru(False)),
    ("bi-GRU forward + backward", "bigru_forward_backward", lambda: bigru(True)),
    ("bi-GRU forward + backward, 5-15 tokens", "bigru_ragged_forward_backward", lambda: bigru(True, ragged=True)),
    ("order similarity 128x128x1024, f + b", "order_forward_backward", order),
    ("Adam, 21 M parameters", "adam_21m", lambda: adam(False)),
    ("Adam, 21 M parameters (fused in PyTorch)", "adam_21m", lambda: adam(True)),
    ("clip by global norm, 21 M", "clip_21m", clip),
    ("moving average, 21 M", "ema_21m", moving_average),
    ("dropout 1024x1024, forward", "dropout_1m", dropout),
    # Whole training step: add a workload here and in crates/gxn/examples/bench_ops.rs.
    # Features, images/s: add a workload here and in crates/gxn/examples/bench_ops.rs.
]


def peak_mib():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return None


def torch_side(row, threads):
    """Measures one row, or the bare start of PyTorch, and prints the same JSON line as the Rust side."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    times, cpu_times = [0.0], [0.0]
    if row >= 0:
        call = ROWS[row][2]()
        for _ in range(REPETITIONS + 2):
            start, cpu_start = time.perf_counter(), time.process_time()
            call()
            times.append((time.perf_counter() - start) * 1e3)
            cpu_times.append((time.process_time() - cpu_start) * 1e3)
        times, cpu_times = times[3:], cpu_times[3:]
    print(json.dumps({"milliseconds": times, "cpu_milliseconds": cpu_times, "peak_mib": peak_mib()}))


# --- The table -------------------------------------------------------------------------------------------------------


def measure(command, threads):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help="names of gxn's workloads; all if none is given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON line a row instead of the table")
    parser.add_argument("--torch-row", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch_row is not None:
        return torch_side(options.torch_row, options.threads)

    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "examples" / "bench_ops"
    if not program.exists():
        sys.exit(f"error: no {program}\nhint: cargo build --release -p gxn --example bench_ops")

    def ours(workload):
        return measure([str(program), workload, str(REPETITIONS)], options.threads)

    def theirs(row):
        return measure([sys.executable, __file__, "--threads", str(options.threads), f"--torch-row={row}"], options.threads)

    base_ours, base_theirs = ours("nothing")["peak_mib"], theirs(-1)["peak_mib"]
    if not options.json:
        print(f"{'':42}{'PyTorch ms':>18}{'gxn ms':>18}{'ratio':>21}{'PyTorch MiB':>13}{'gxn MiB':>9}")
        print(f"{'':42}{'median   fastest':>18}{'median   fastest':>18}{'med   fast    cpu':>21}")
    for index, (name, workload, _) in enumerate(ROWS):
        if options.workloads and workload not in options.workloads:
            continue
        times, cpu, peaks = {"torch": [], "gxn": []}, {"torch": [], "gxn": []}, {"torch": 0, "gxn": 0}
        for _ in range(options.rounds):
            for side, result in (("torch", theirs(index)), ("gxn", ours(workload))):
                times[side] += result["milliseconds"]
                cpu[side] += result["cpu_milliseconds"]
                base = base_theirs if side == "torch" else base_ours
                peaks[side] = max(peaks[side], result["peak_mib"] - base)
        median = {side: statistics.median(values) for side, values in times.items()}
        fastest = {side: min(values) for side, values in times.items()}
        computed = {side: statistics.mean(values) for side, values in cpu.items()}
        ratios = [milliseconds["gxn"] / milliseconds["torch"] for milliseconds in (median, fastest, computed)]
        if options.json:
            row = {"row": name, "median_ms": median, "fastest_ms": fastest, "mean_cpu_ms": computed, "ratios": ratios}
            print(json.dumps(row | {"peak_mib": peaks}), flush=True)
        else:
            print(
                f"{name:42}{median['torch']:9.2f}{fastest['torch']:9.2f}{median['gxn']:9.2f}{fastest['gxn']:9.2f}"
                f"{ratios[0]:7.2f}{ratios[1]:7.2f}{ratios[2]:7.2f}{peaks['torch']:13}{peaks['gxn']:9}",
                flush=True,
            )


if __name__ == "__main__":
    main()
