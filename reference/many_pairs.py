"""Many pairs of random embeddings, for runs/large_jobs.sh and benches/cost_curves.py.

    python reference/many_pairs.py OUT COUNT WIDTH [--captions 1] [--words 5000] [--no-files]

writes OUT/embeddings (npy and ids, as `gxn encode` does), OUT/data.jsonl and an empty file for each image. A caption's row is its
image's with noise. Needs NumPy.
"""

import argparse
import json
import pathlib

import numpy as np

LENGTH = 8
parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("count", type=int)
parser.add_argument("width", type=int)
parser.add_argument("--captions", type=int, default=1)
parser.add_argument("--words", type=int, default=5000)
parser.add_argument("--no-files", action="store_true")
options = parser.parse_args()

random = np.random.default_rng(1)
folder = options.out / "embeddings"
folder.mkdir(parents=True, exist_ok=True)
images = random.standard_normal((options.count, options.width), dtype=np.float32)
np.save(folder / "img_emb.npy", images)
captions = images.repeat(options.captions, 0)
captions += (1 if options.captions == 1 else 5) * random.standard_normal(captions.shape, dtype=np.float32)
np.save(folder / "text_emb.npy", captions)
if options.no_files:
    raise SystemExit
ids = [f"{number}.jpg" for number in range(options.count)]
(folder / "image_ids.txt").write_text("\n".join(ids) + "\n")
(folder / "caption_image_ids.txt").write_text("".join(f"{name}\n" * options.captions for name in ids))
with open(options.out / "data.jsonl", "w") as file:
    for number, name in enumerate(ids):
        (options.out / name).touch()
        words = random.integers(0, options.words, (options.captions, LENGTH))
        texts = [" ".join(f"word{word}" for word in caption) for caption in words]
        split = "val" if number % 1000 == 0 else "train"
        file.write(json.dumps({"image": name, "captions": texts, "split": split}) + "\n")
