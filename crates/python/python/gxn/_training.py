"""Training from a recipe, a file or a dictionary."""

import json
import os

from . import _native


def train(config, callback=None, *, run, features=None, resume=False):
    """Trains a model and returns where it is and how good it was.

    `config` is a recipe's name or a file (see `gxn config list`), or a dictionary: `{"recipe": "own", "data.source": "captions.jsonl",
    "train": {"epochs": 10}}`. `run` is the folder of the run, `features` that of cached features (default: beside the run).
    `callback` gets a dictionary for every step, epoch and alarm; if it returns False, or at Ctrl-C, the run is saved and stops.
    `resume=True` continues a run that was stopped.
    """
    recipe, pairs = (config, []) if not isinstance(config, dict) else (config.get("recipe"), list(_pairs(config)))
    features = features or os.path.join(os.path.dirname(os.path.abspath(run)), "features")
    listener = None if callback is None else lambda event: callback(json.loads(event)) is not False
    return _native.train(None if recipe is None else os.fspath(recipe), pairs, run, features, resume, listener)


def _pairs(table, prefix=""):
    for key, value in table.items():
        if key == "recipe" and not prefix:
            continue
        if isinstance(value, dict):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            # A JSON value is a TOML value too.
            yield f"{prefix}{key}={json.dumps(os.fspath(value) if isinstance(value, os.PathLike) else value)}"
