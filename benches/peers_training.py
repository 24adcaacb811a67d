"""The Look + Match training step as people write it in PyTorch: nn.GRU on packed sequences, nn.Embedding with dense
gradients, the order similarity by broadcasting, clip_grad_norm_ and torch.optim.Adam.

Widths, pooling, loss and optimiser come from the same configuration files that gxn reads; the captions are drawn by the
same generator as in crates/gxn/examples/bench_ops/training.rs.
"""
import pathlib
import tomllib

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
VOCABULARY = 8000
FEATURES = 1280  # EfficientNet-Lite2
PRETRAINED = 100  # width of the pretrained word vectors, where a configuration asks for some: GloVe's


class Draw:
    """The generator that both sides share (Numerical Recipes' 32-bit congruential one)."""

    def __init__(self, state):
        self.state = state

    def below(self, bound):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return (self.state >> 8) % bound

    def caption(self):
        """5 to 25 tokens, mean 12.3, as Flickr8k's captions with start and end."""
        length = 5 + self.below(12)
        first = self.below(11)
        length += first * self.below(11) // 11
        return [1 + self.below(VOCABULARY - 1) for _ in range(length)]


class Gxn(nn.Module):
    def __init__(self, config):
        super().__init__()
        look, matching = config["look"], config["matching"]
        sentence = look["sentence"]
        self.two_levels = matching["levels"] == "both"
        self.transform = look["transform"]
        self.absolute = matching["absolute"]
        self.abstract_pooling = sentence["abstract_pooling"]
        assert self.abstract_pooling != "last", "two directions end in two places"
        self.grounded_pooling = sentence.get("grounded_pooling", "last")
        self.feature_dropout = look.get("feature_dropout", 0.0)
        self.word_dropout = sentence.get("word_dropout", 0.0)
        self.state_dropout = sentence.get("state_dropout", 0.0)
        width = PRETRAINED if "word_vectors" in sentence else sentence["word_dim"]
        hidden, joint = sentence["hidden"], look["embed_dim"]
        self.words = nn.Embedding(VOCABULARY, width)
        self.abstract_gru = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.abstract_text = nn.Linear(2 * hidden, joint)
        self.abstract_image = nn.Linear(FEATURES, joint)
        if self.two_levels:
            self.grounded_gru = nn.GRU(width, hidden, batch_first=True)
            self.grounded_text = nn.Linear(hidden, joint)
            self.grounded_image = nn.Linear(FEATURES, joint)
        if self.transform == "sqrt_standardise":
            self.register_buffer("mean", torch.zeros(FEATURES))
            self.register_buffer("scale", torch.ones(FEATURES))
        self.log_scale = nn.Parameter(torch.tensor(1 / matching.get("temperature", 0.07)).log())

    def dropout(self, x, p):
        return F.dropout(x, p, self.training) if p > 0 else x

    def unit(self, x):
        x = F.normalize(x)
        return x.abs() if self.absolute else x

    def encode_image(self, features):
        if self.transform == "l2":
            features = F.normalize(features)
        else:
            features = (features.clamp(min=0).sqrt() - self.mean) * self.scale
        features = self.dropout(features, self.feature_dropout)
        levels = [self.unit(self.abstract_image(features))]
        return levels + [self.unit(self.grounded_image(features))] if self.two_levels else levels

    def encode_text(self, ids, lengths):
        words = self.words(ids)

        def packed():
            dropped = self.dropout(words, self.word_dropout)
            return pack_padded_sequence(dropped, lengths.cpu(), batch_first=True, enforce_sorted=False)

        def level(gru, pooling, text):
            states, last = gru(packed())
            if pooling == "last":
                pooled = last[0]  # of the only direction
            else:
                pooled = pool(pad_packed_sequence(states, batch_first=True)[0], lengths, pooling)
            return self.unit(text(self.dropout(pooled, self.state_dropout)))

        levels = [level(self.abstract_gru, self.abstract_pooling, self.abstract_text)]
        if self.two_levels:
            levels.append(level(self.grounded_gru, self.grounded_pooling, self.grounded_text))
        return levels


def pool(states, lengths, pooling):
    """The mean or the largest of each value of states [B, T, H] within their lengths [B]."""
    if pooling == "mean":
        return states.sum(1) / lengths[:, None]
    padding = torch.arange(states.shape[1]) >= lengths[:, None]
    return states.masked_fill(padding[..., None], -torch.inf).max(1).values


def similarity(images, captions, kind):
    if kind == "cosine":
        return images @ captions.T
    return -(images[:, None] - captions[None]).clamp(min=0).pow(2).sum(-1)  # order


def loss_of(scores, matching, log_scale):
    if matching["loss"] == "info_nce":
        logits, pairs = scores * log_scale.exp().clamp(max=100), torch.arange(len(scores))
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
    pairs, diagonal = scores.diag(), torch.eye(len(scores), dtype=torch.bool)
    by_image = (matching["margin"] + scores - pairs[:, None]).clamp(min=0).masked_fill(diagonal, 0)
    by_caption = (matching["margin"] + scores - pairs[None]).clamp(min=0).masked_fill(diagonal, 0)
    return (by_image.sum() + by_caption.sum()) / len(scores)


def step(name, fused):
    """One Match step of configs/<name>.toml from features to updated weights, a new batch of captions each call."""
    config = tomllib.loads((CONFIGS / f"{name}.toml").read_text())
    matching, train = config["matching"], config["train"]
    model = Gxn(config)
    decay = train.get("weight_decay", 0.0)
    kind = torch.optim.AdamW if decay > 0 else torch.optim.Adam
    optimiser = kind(model.parameters(), lr=train["learning_rate"], weight_decay=decay, fused=fused)
    batch, draw = train["batch_size"], Draw(1)
    features = torch.rand(batch, FEATURES)

    def call():
        captions = [draw.caption() for _ in range(batch)]
        lengths = torch.tensor([len(caption) for caption in captions])
        ids = nn.utils.rnn.pad_sequence([torch.tensor(caption) for caption in captions], batch_first=True)
        optimiser.zero_grad()
        levels = zip(model.encode_image(features), model.encode_text(ids, lengths))
        scores = [similarity(images, captions, matching["similarity"]) for images, captions in levels]
        if len(scores) == 2:
            scores = [matching["lambda"] * scores[0] + (1 - matching["lambda"]) * scores[1]]
        loss = loss_of(scores[0], matching, model.log_scale)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), train["grad_clip"])
        optimiser.step()
        assert loss.isfinite()

    return call
