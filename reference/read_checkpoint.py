"""Caption embeddings from a checkpoint with NumPy alone, compared with those of an index: docs/formats.md as a program.

    pip install numpy safetensors
    gxn index MY_DATA --model runs/mine --index idx && gxn index export idx -o exported
    python reference/read_checkpoint.py runs/mine/best exported

Prints the largest difference of any value; rows of an index are f16, so about 1e-4 is expected. Words are found by a
simple pattern, which equals the program's tokeniser for plain English.
"""
import json
import pathlib
import re
import sys
import tomllib

import numpy as np
from safetensors.numpy import load_file

checkpoint, exported = (pathlib.Path(argument) for argument in sys.argv[1:])
config = tomllib.loads((checkpoint / "config.toml").read_text())
sentence = config["look"]["sentence"]
number = {token: at for at, token in enumerate(json.loads((checkpoint / "vocab.json").read_text())["tokens"])}
weights = load_file(checkpoint / "model.safetensors")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(words, prefix):
    """[T, E] -> [T, H]; gates r, z, n as in PyTorch."""
    w_ih, w_hh, b_ih, b_hh = (weights[f"{prefix}.{part}"] for part in ("w_ih", "w_hh", "b_ih", "b_hh"))
    state, states = np.zeros(w_hh.shape[1], np.float32), []
    for word in words:
        x_r, x_z, x_n = np.split(w_ih @ word + b_ih, 3)
        h_r, h_z, h_n = np.split(w_hh @ state + b_hh, 3)
        update = sigmoid(x_z + h_z)
        state = (1 - update) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + update * state
        states.append(state)
    return np.stack(states)


def pool(states, pooling):
    return {"mean": lambda: states.mean(0), "max": lambda: states.max(0), "last": lambda: states[-1]}[pooling]()


def linear(x, prefix):
    return x @ weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]


def unit(u):
    u = u / np.sqrt(np.square(u).sum() + 1e-12)
    return np.abs(u) if config["matching"]["absolute"] else u


def embedding(caption):
    """[t_h ; t_l], or t_h alone for a model of one level."""
    tokens = ["<start>", *re.findall("[a-z0-9]+(?:['.][a-z0-9]+)*", caption.lower()), "<end>"]
    words = weights["sentence.words"][[number.get(token, 3) for token in tokens]]
    if "sentence.word_map.weight" in weights:
        words = linear(words, "sentence.word_map")
    forward = gru(words, "sentence.abstract_gru.forward")
    reverse = gru(words[::-1], "sentence.abstract_gru.reverse")[::-1]
    if sentence["abstract_pooling"] == "last":
        pooled = np.concatenate([forward[-1], reverse[0]])
    else:
        pooled = pool(np.concatenate([forward, reverse], 1), sentence["abstract_pooling"])
    levels = [unit(linear(pooled, "sentence.abstract_map"))]
    if config["matching"]["levels"] == "both":
        pooled = pool(gru(words, "sentence.grounded_gru"), sentence["grounded_pooling"])
        levels.append(unit(linear(pooled, "sentence.grounded_map")))
    return np.concatenate(levels)


lines = (exported / "text_metadata/text_metadata_0.jsonl").read_text().splitlines()[:200]
rows = np.load(exported / "text_emb/text_emb_0.npy")
differences = [np.abs(embedding(json.loads(line)["caption"]) - row).max() for line, row in zip(lines, rows)]
print(f"{len(differences)} captions of {rows.shape[1]} values: largest difference {max(differences):.1e}")
