"""Draws scenes, trains on them, measures embeddings and plots recall: `python recall_curves.py OUT.png`.

    pip install gxn[examples]
"""

import json
import pathlib
import random
import sys
import tempfile

import gxn
import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {"red": (230, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 230), "white": (245, 245, 245)}
PLACES = ["top left", "top right", "bottom left", "bottom right"]


def draw(folder, count=400, side=64):
    """Images with a patch of one colour in one corner, on a ground of another, and what a person would say of them."""
    lines = []
    for number in range(count):
        patch, ground = random.sample(list(COLOURS), 2)
        place = random.randrange(4)
        pixels = np.full((side, side, 3), COLOURS[ground], np.uint8)
        top, left = side // 2 * (place // 2), side // 2 * (place % 2)
        pixels[top : top + side // 2, left : left + side // 2] = COLOURS[patch]
        noise = np.random.randint(-20, 20, pixels.shape)
        name = f"{number}.png"
        Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(folder / name)
        captions = [f"a {patch} patch at the {PLACES[place]} on {ground}", f"{ground} with {patch} {PLACES[place]}"]
        split = "train" if number % 4 else "val"
        lines.append(json.dumps({"image": name, "captions": captions, "split": split}))
    (folder / "scenes.jsonl").write_text("\n".join(lines))
    return folder / "scenes.jsonl"


def main(out):
    random.seed(1)
    np.random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = draw(folder)
        curve = []

        def watch(event):
            if event["event"] == "epoch":
                curve.append((event["epoch"], event["rsum"]))

        config = {
            "recipe": "demo",
            "data.source": data,
            "train": {"epochs": 8, "batch_size": 32},
        }
        print(gxn.train(config, watch, run=folder / "run"))
        encoder = gxn.Encoder(folder / "run")
        val = [json.loads(line) for line in data.read_text().splitlines() if '"val"' in line]
        images = encoder.encode_images([folder / item["image"] for item in val])
        texts = encoder.encode_texts([caption for item in val for caption in item["captions"]])
        report = gxn.evaluate(
            images, texts, levels=encoder.levels, lambda_=encoder.lambda_, similarity=encoder.similarity
        )
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
        left.plot(*zip(*curve), marker="o")
        left.set(xlabel="epoch", ylabel="val rsum")
        for direction, ranks in report["ranks"].items():
            ranks = np.asarray(ranks)
            right.plot(range(1, 21), [100 * np.mean(ranks < k) for k in range(1, 21)], label=direction)
        right.set(xlabel="K", ylabel="recall at K, %")
        right.legend()
        figure.tight_layout()
        figure.savefig(out)
        print(f"rsum {report['metrics']['rsum']:.1f}; wrote {out}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "recall_curves.png")
