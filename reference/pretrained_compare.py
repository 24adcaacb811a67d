"""Embeddings of an encoder here and in transformers: the largest difference and the smallest cosine.

    pip install torch transformers pillow
    cargo build --release -p gxn-pretrained --example embed
    python reference/pretrained_compare.py FOLDER {image|text} LINES.txt

A line is the path of an image, or a text. The folder is laid out as a model hub has it. A sentence encoder's tokens are
averaged.
"""
import pathlib
import os
import subprocess
import sys

import numpy as np
import torch
import transformers
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
folder, kind, path = sys.argv[1:]
lines = pathlib.Path(path).read_text().splitlines()
target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
example = [target / "release" / "examples" / "embed", folder, kind]
with open(path, "rb") as file:
    out = subprocess.run(example, stdin=file, stdout=subprocess.PIPE, check=True).stdout
here = np.frombuffer(out, "<f4").reshape(len(lines), -1)

model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
siglip = model.config.model_type == "siglip"


def embed(batch):
    if kind == "image":
        images = [Image.open(name).convert("RGB") for name in batch]
        pixels = transformers.AutoImageProcessor.from_pretrained(folder)(images, return_tensors="pt")["pixel_values"]
        out = model.get_image_features(pixels) if hasattr(model, "get_image_features") else model(pixels)
        return out if torch.is_tensor(out) else out.pooler_output
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(batch, padding="max_length" if siglip else True, truncation=True, return_tensors="pt")
    if hasattr(model, "get_text_features"):
        out = model.get_text_features(**tokens)
        return out if torch.is_tensor(out) else out.pooler_output
    weight = tokens["attention_mask"][..., None]
    return (model(**tokens).last_hidden_state * weight).sum(1) / weight.sum(1)


with torch.no_grad():
    theirs = torch.cat([embed(lines[k : k + 16]) for k in range(0, len(lines), 16)])
theirs = torch.nn.functional.normalize(theirs.double()).numpy()
cosines = (here * theirs).sum(1) / np.linalg.norm(here.astype(float), axis=1)
print(f"{len(lines)} lines, {here.shape[1]} values: largest difference {np.abs(here - theirs).max():.2e}, smallest cosine 1 - {1 - cosines.min():.2e}")
