"""Metrics on plain arrays and dictionaries."""

import json

from . import _native
from ._errors import InvalidError


def evaluate(
    image_embeddings,
    caption_embeddings,
    caption_image=None,
    *,
    similarity="cosine",
    levels=1,
    lambda_=1.0,
    protocol="full",
    pairs=None,
    ties="worst",
    drop_unpaired=False,
    seed=1,
):
    """Recall, ranks and confidence intervals of embeddings; the dictionary is the JSON of `gxn evaluate`.

    `image_embeddings` [N, D] and `caption_embeddings` [M, D] are arrays; `caption_image` [M] is the row of each caption's image. Without
    it every image has equally many captions, in order. Rows of a model with two levels are `[h ; l]`, as `Encoder` gives them:
    `levels=2`, `lambda_=encoder.lambda_`, `similarity=encoder.similarity`. `pairs` are further (image, caption) rows that are right.
    """
    import numpy as np  # here, so that the command starts without it

    images, captions = np.asarray(image_embeddings), np.asarray(caption_embeddings)
    if caption_image is None:
        each, rest = divmod(len(captions), max(len(images), 1))
        if rest or not each:
            found = f"{len(images)} images and {len(captions)} captions"
            raise InvalidError(f"the embeddings: found {found}, expected equally many captions an image", "give caption_image")
        caption_image = np.arange(len(images)).repeat(each)
    owners = [int(row) for row in caption_image]
    report = _native.evaluate(
        images, captions, owners, similarity, levels, lambda_, protocol, [(int(i), int(c)) for i, c in pairs or ()], ties,
        drop_unpaired, seed,
    )
    return json.loads(report)


def caption_scores(results, references, corpus=None):
    """BLEU-1 to 4, ROUGE-L and CIDEr with the numbers of the package pycocoevalcap and its names, without Java.

    `results` has one caption for each id, `references` a list of captions for each id: `{42: "two dogs"}` or `{42: ["two dogs"]}`. Both
    may also hold the package's `{42: [{"caption": "two dogs"}]}`. `corpus`, such as all captions of the train split, adds `CIDEr-D`
    with its document frequencies. Returns the totals; `"images"` has the scores of each id.
    """
    one = {key: _captions(value) for key, value in results.items()}
    several = [key for key, captions in one.items() if len(captions) != 1]
    if several:
        raise InvalidError(f"results: found {len(one[several[0]])} captions of {several[0]!r}, expected one")
    missing = [key for key in one if key not in references]
    if missing:
        raise InvalidError(f"results: found a caption of {missing[0]!r}, expected an id of the references")
    ids = list(one)
    totals, images = _native.caption_scores(
        [one[key][0] for key in ids],
        [_captions(references[key]) for key in ids],
        None if corpus is None else [_captions(captions) for captions in corpus.values()],
    )
    return {**totals, "images": dict(zip(ids, images))}


def _captions(value):
    if isinstance(value, str):
        return [value]
    return [caption["caption"] if isinstance(caption, dict) else caption for caption in value]

