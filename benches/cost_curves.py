"""What more pairs, words, images and queries cost: three sizes each, with a line fitted: docs/results.md, "Cost curves".

    pip install numpy
    python benches/cost_curves.py OUT --model RUN [--gxn target/release/gxn] [--only pairs words images queries]

RUN is any trained run, such as that of `gxn demo`. Data are made in OUT: a million empty files among them. CPU seconds and peak memory
are those of the child process.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--model", type=pathlib.Path, required=True)
parser.add_argument("--gxn", type=pathlib.Path, default=ROOT / "target/release/gxn")
parser.add_argument("--only", nargs="+", default=["pairs", "words", "images", "queries"])
options = parser.parse_args()
out = options.out.resolve()


def run(*arguments):
    """Wall seconds, CPU seconds and peak MB of the program."""
    start = time.monotonic()
    log = open(out / "log.txt", "ab")
    child = subprocess.Popen([options.gxn, *map(str, arguments)], stdout=log, stderr=log)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"gxn {arguments} failed: see {out / 'log.txt'}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def make(script, folder, *arguments):
    if not folder.exists():
        subprocess.run([sys.executable, ROOT / "reference" / script, folder, *map(str, arguments)], check=True)
    return folder


def pairs_of(count, words=5000):
    return make("many_pairs.py", out / f"pairs-{count}-{words}", count, 64, "--words", words)


def train(folder, epochs):
    shutil.rmtree(out / "runs", ignore_errors=True)
    start = ["--train-data", folder / "data.jsonl", "--logs", out / "runs", "--name", "cost", "--epochs", epochs]
    encoders = [f"{part}.encoder.path={folder / 'embeddings'}" for part in ("look", "look.sentence")]
    return run("train", "on-encoder", *start, "--set", encoders[0], "--set", encoders[1], "--set", "data.min_count=1")


def pairs(count):
    """Opening and checking the data, building the vocabulary, validating the untrained network."""
    return train(pairs_of(count), 0)


def words(count):
    """A step of Look + Match, batch 256, GRUs on 100 values a word."""
    folder = pairs_of(20_000, count)
    steps = 20_000 * 999 // 1000 // 256
    none, one = train(folder, 0), train(folder, 1)
    return (one[0] - none[0]) / steps, (one[1] - none[1]) / steps, one[2]


def images(count):
    """Reading, decoding and encoding images of 64 pixels, writing the index."""
    folder, index = make("many_images.py", out / f"images-{count}", count), out / "index"
    shutil.rmtree(index, ignore_errors=True)
    # A run keeps features beside itself; a copy has none yet.
    shutil.rmtree(out / "model", ignore_errors=True)
    model = shutil.copytree(options.model, out / "model" / "run", symlinks=True)
    return run("index", folder / "images", "--images-only", "--model", model, "--index", index)


def queries(count):
    """Exact ranks of `count` images and five times as many captions, 256 values, both directions."""
    folder = make("many_pairs.py", out / f"queries-{count}", count, 256, "--captions", 5, "--no-files") / "embeddings"
    files = ["--image-embeddings", folder / "img_emb.npy", "--caption-embeddings", folder / "text_emb.npy"]
    return run("evaluate", *files)


CURVES = {
    "pairs": (pairs, [10_000, 100_000, 1_000_000], 1),
    "words": (words, [5_000, 20_000, 80_000], 1),
    "images": (images, [1_000, 4_000, 16_000], 1),
    "queries": (queries, [2_500, 7_500, 25_000], 2),
}

out.mkdir(parents=True, exist_ok=True)
for name in options.only:
    measure, sizes, power = CURVES[name]
    figures = [measure(size) for size in sizes]
    print(f"{name}: {measure.__doc__}")
    for size, (wall, cpu, memory) in zip(sizes, figures):
        print(f"  {size:>9,}: {wall:8.3f} s, {cpu:8.3f} CPU s, {memory:7.0f} MB", flush=True)
    # Relative errors count, so that the small sizes are fitted, too.
    for what, column, exponent in (("CPU s", 1, power), ("MB", 2, 1)):
        values = np.array([row[column] for row in figures])
        bases = np.array([[1.0, size**exponent] for size in sizes])
        (fixed, each), *_ = np.linalg.lstsq(bases / values[:, None], np.ones(3), rcond=None)
        off = max(abs(bases @ [fixed, each] / values - 1))
        print(f"  {what} = {fixed:.3g} + {each:.3g} n{'²' if exponent == 2 else ''} (within {off:.0%})")
