"""A teacher that knows image and text, as a folder of embeddings: the synthetic check of docs/encoders.md, "Never below".

Its image rows are a random projection of cached CNN features, its text rows those of their image with noise. Beside the teacher
of the dataset as it is, it writes the dataset with the captions of train images shuffled, and the teacher of that: a caption's
row follows the caption.

    python reference/never_below.py dataset_flickr8k.json IMAGES runs/features/KEY OUT [--noise 5] [--dim 256]

writes OUT/teacher, OUT/shuffled.json and OUT/teacher-shuffled. Needs NumPy.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cached_features(folder, files):
    """The first view's feature of each file, square-rooted and standardised (docs/formats.md, "Feature cache")."""
    meta = json.loads((folder / "meta.json").read_text())
    views, rows = len(meta["spec"]["views"]), meta["rows"]
    contents = (folder / "contents.bin").read_bytes()
    row_of = {contents[32 * row : 32 * row + 32]: row for row in range(rows)}
    values = np.memmap(folder / "rows.f16", dtype="<f2", mode="r")[: rows * meta["row_length"]]
    values = values.reshape(rows, views, -1)[:, 0]
    chosen = [row_of[hashlib.sha256(file.read_bytes()).digest()] for file in files]
    features = np.sqrt(np.maximum(values[chosen].astype("f4"), 0))
    return (features - features.mean(0)) / (features.std(0) + 1e-3)


def write(folder, ids, image_rows, caption_ids, caption_rows):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "img_emb.npy", image_rows.astype("f4"))
    np.save(folder / "text_emb.npy", caption_rows.astype("f4"))
    (folder / "image_ids.txt").write_text("".join(f"{name}\n" for name in ids))
    (folder / "caption_image_ids.txt").write_text("".join(f"{name}\n" for name in caption_ids))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--noise", type=float, default=5.0, help="length of the noise; rows have length 1")
    parser.add_argument("--dim", type=int, default=256)
    args = parser.parse_args()

    data = json.loads(args.dataset.read_text())
    images = data["images"]
    random = np.random.default_rng(0)
    features = cached_features(args.features, [args.images / image["filename"] for image in images])
    projection = random.standard_normal((features.shape[1], args.dim)).astype("f4")
    rows = unit(features @ projection)
    ids = [image["filename"] for image in images]

    owner = np.repeat(np.arange(len(images)), [len(image["sentences"]) for image in images])
    noise = random.standard_normal((len(owner), args.dim)).astype("f4") / np.sqrt(args.dim)
    texts = unit(rows[owner] + args.noise * noise)
    write(args.out / "teacher", ids, rows, [ids[at] for at in owner], texts)

    first = np.searchsorted(owner, np.arange(len(images)))
    train = [at for at, image in enumerate(images) if image["split"] == "train"]
    source = np.arange(len(images))
    source[train] = random.permutation(train)
    counts = [len(images[at]["sentences"]) for at in source]
    moved = np.concatenate([np.arange(first[at], first[at] + count) for at, count in zip(source, counts)])
    sentences = [images[at]["sentences"] for at in source]
    for image, own in zip(images, sentences):
        image["sentences"] = own
    (args.out / "shuffled.json").write_text(json.dumps(data))
    caption_ids = np.repeat(ids, counts)
    write(args.out / "teacher-shuffled", ids, rows, caption_ids, texts[moved])


main()
