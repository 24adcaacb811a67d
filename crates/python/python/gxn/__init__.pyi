from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

Path = str | PathLike[str]
#: A file, the bytes of one, a PIL image, or an array [H, W, 3] or [H, W] of uint8.
Image = Path | bytes | NDArray[np.uint8] | Any
#: Words, or an image as a pathlib path, bytes, PIL image or array; a str is always words.
Part = str | PathLike[str] | bytes | NDArray[np.uint8] | Any
Caption = str | Mapping[str, str]

class Error(Exception):
    hint: str | None

class NotFoundError(Error, LookupError): ...
class InvalidError(Error, ValueError): ...
class DamagedError(Error): ...
class ConflictError(Error): ...
class UnsupportedError(Error): ...
class BusyError(Error): ...
class SystemRefusedError(Error, OSError): ...

class Encoder:
    path: str
    fingerprint: str
    dim: int
    levels: int
    lambda_: float
    similarity: Literal["cosine", "order", "order_reversed"]
    can_caption: bool
    can_imagine: bool
    def __init__(self, path: Path, *, prompts: Sequence[str] = ()) -> None: ...
    def encode_images(self, images: Sequence[Image]) -> NDArray[np.float32]: ...
    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]: ...
    def scores(self, images: NDArray[np.float32], texts: NDArray[np.float32], *, lambda_: float | None = None) -> NDArray[np.float32]: ...
    def caption(self, images: Sequence[Image], *, beam: int = 3) -> list[list[tuple[str, float]]]: ...
    def imagine(self, texts: Sequence[str], *, n: int = 4, seed: int = 1) -> NDArray[np.uint8]: ...

class Hit:
    rank: int
    id: str
    path: str
    score: float
    relevance: float | None
    abstract: float
    grounded: float
    hubness: float | None
    caption: str | None
    image_id: str | None

class Index:
    path: str
    def __len__(self) -> int: ...
    @staticmethod
    def open(path: Path, model: Path | None = None) -> Index: ...
    @staticmethod
    def create(source: Path, model: Path, *, path: Path | None = None) -> Index: ...
    def search(
        self,
        query: Part | Sequence[Part | tuple[float, Part]],
        top: int = 10,
        *,
        target: Literal["image", "text"] = "image",
        where: str | None = None,
        lambda_: float | None = None,
        offset: int = 0,
        min_relevance: float | None = None,
        exact: bool = False,
        keep_hubs: bool = False,
        rerank: int | None = None,
        rerank_weight: float = 0.008,
    ) -> list[Hit]: ...
    def add(self, image: Path) -> str: ...
    def remove(self, id: str) -> bool: ...
    def refresh(self) -> dict[str, Any]: ...

def evaluate(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: Sequence[int] | NDArray[np.integer] | None = None,
    *,
    similarity: Literal["cosine", "order", "order_reversed"] = "cosine",
    levels: Literal[1, 2] = 1,
    lambda_: float = 1.0,
    protocol: Literal["full", "coco1k-5fold", "coco5k", "f30k1k", "flickr8k1k"] = "full",
    pairs: Sequence[tuple[int, int]] | None = None,
    ties: Literal["worst", "best", "mean"] = "worst",
    drop_unpaired: bool = False,
    seed: int = 1,
) -> dict[str, Any]: ...
def caption_scores(
    results: Mapping[Any, str | Sequence[Caption]],
    references: Mapping[Any, Sequence[Caption]],
    corpus: Mapping[Any, Sequence[Caption]] | None = None,
) -> dict[str, Any]: ...
def train(
    config: Path | dict[str, Any],
    callback: Callable[[dict[str, Any]], bool | None] | None = None,
    *,
    run: Path,
    features: Path | None = None,
    resume: bool = False,
) -> dict[str, Any]: ...
