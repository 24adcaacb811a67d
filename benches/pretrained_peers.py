"""A pretrained CLIP here, in PyTorch and in onnxruntime, in turns on the same machine: ms an item and peak memory.

    pip install torch transformers onnx onnxruntime
    cargo build --release -p gxn-pretrained --example speed
    python benches/pretrained_peers.py FOLDER CAPTIONS.txt [--rounds 3] [--threads 2] [--seconds 3]

FOLDER is laid out as a model hub has it. Each measurement is a process of its own. Images are synthetic; here their
preprocessing is part of the time, for the peers it is not. Texts are real lines; the peers get them padded to 77 tokens.
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

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCHES = {"image": [1, 8], "text": [1, 32]}


def tower(folder, kind):
    import torch
    import transformers

    model = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = model.vision_model if kind == "image" else model.text_model
            self.project = model.visual_projection if kind == "image" else model.text_projection

        def forward(self, x):
            return self.project(self.encoder(x).pooler_output)

    return Tower()


def sample(kind, batch, captions):
    import torch

    if kind == "image":
        return torch.randn(batch, 3, 224, 224)
    import transformers

    lines = pathlib.Path(captions[1]).read_text().splitlines()[:batch]
    return transformers.AutoTokenizer.from_pretrained(captions[0])(lines, padding="max_length", max_length=77, return_tensors="pt").input_ids


def export(folder, kind, captions, path):
    import torch

    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    with torch.no_grad():
        torch.onnx.export(tower(folder, kind), (sample(kind, 2, captions),), path, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False)


def measure(peer, kind, options):
    if peer == "torch":
        import torch

        inputs = {batch: sample(kind, batch, (options.folder, options.captions)) for batch in BATCHES[kind]}
        torch.set_num_threads(options.threads)
        model = tower(options.folder, kind)
        call = model
        context = torch.inference_mode()
        context.__enter__()
    else:
        # Its inputs lie beside its model: with torch in the process, its memory would not be its own.
        import numpy
        import onnxruntime

        inputs = {batch: numpy.load(f"{options.onnx}.{batch}.npy") for batch in BATCHES[kind]}
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        session = onnxruntime.InferenceSession(options.onnx, settings, providers=["CPUExecutionProvider"])
        call = lambda x: session.run(None, {"x": x})
    for batch, x in inputs.items():
        call(x)
        times, start = [], time.perf_counter()
        while time.perf_counter() - start < options.seconds or len(times) < 3:
            begin = time.perf_counter()
            call(x)
            times.append(time.perf_counter() - begin)
        status = pathlib.Path("/proc/self/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        ms = 1e3 / batch
        print(json.dumps({"batch": batch, "median_ms": statistics.median(times) * ms, "fastest_ms": min(times) * ms, "peak_mb": peak}))


def run(peer, kind, options, onnx):
    batches = map(str, BATCHES[kind])
    if peer == "gxn":
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        command = [target / "release/examples/speed", options.folder, kind, str(options.seconds), *batches]
    else:
        command = [sys.executable, __file__, options.folder, options.captions, "--child", peer, kind, "--onnx", onnx]
        command += ["--threads", str(options.threads), "--seconds", str(options.seconds)]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(options.threads), OMP_NUM_THREADS=str(options.threads))
    with open(options.captions) as captions:
        done = subprocess.run(command, stdin=captions, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("captions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--onnx")
    parser.add_argument("--child", nargs=2)
    parser.add_argument("--peers", nargs="*", default=["gxn", "torch", "onnxruntime"])
    options = parser.parse_args()
    if options.child:
        return measure(*options.child, options)
    import numpy

    with tempfile.TemporaryDirectory() as scratch:
        for kind in BATCHES:
            onnx = options.onnx and f"{options.onnx}/{kind}.onnx"
            if not onnx or not os.path.exists(onnx):
                onnx = onnx or f"{scratch}/{kind}.onnx"
                if "onnxruntime" in options.peers:
                    export(options.folder, kind, (options.folder, options.captions), onnx)
            for batch in BATCHES[kind]:
                numpy.save(f"{onnx}.{batch}.npy", sample(kind, batch, (options.folder, options.captions)).numpy())
            rows = {}
            for _ in range(options.rounds):
                for peer in options.peers:
                    for row in run(peer, kind, options, onnx):
                        rows.setdefault((row["batch"], peer), []).append(row)
            for (batch, peer), found in sorted(rows.items()):
                median = statistics.median(row["median_ms"] for row in found)
                fastest, peak = min(row["fastest_ms"] for row in found), max(row["peak_mb"] for row in found)
                print(f"{kind} batch {batch}, {peer}: median {median:.2f} ms, fastest {fastest:.2f} ms an item; peak {peak:.0f} MB")


main()
