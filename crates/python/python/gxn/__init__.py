"""Look, Imagine and Match: image-text retrieval on your own captioned images.

    encoder = gxn.Encoder("runs/mine")
    images, texts = encoder.encode_images(["a.jpg", "b.jpg"]), encoder.encode_texts(["two dogs"])

    index = gxn.Index.create("photos", "runs/mine")
    for hit in index.search("two dogs on a beach", top=5):
        print(hit.score, hit.path)
"""

from ._errors import (
    BusyError,
    ConflictError,
    DamagedError,
    Error,
    InvalidError,
    NotFoundError,
    SystemRefusedError,
    UnsupportedError,
)
from ._evaluation import caption_scores, evaluate
from ._native import Encoder, Hit, Index, __version__
from ._training import train

__all__ = [
    "BusyError",
    "ConflictError",
    "DamagedError",
    "Encoder",
    "Error",
    "Hit",
    "Index",
    "InvalidError",
    "NotFoundError",
    "SystemRefusedError",
    "UnsupportedError",
    "__version__",
    "caption_scores",
    "evaluate",
    "train",
]
