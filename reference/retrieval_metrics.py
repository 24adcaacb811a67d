"""Golden numbers for ranks, retrieval metrics, the bootstrap and npy files.

    python reference/retrieval_metrics.py     (needs NumPy; run from the repository's root)

writes crates/eval/tests/golden/retrieval_metrics.json and crates/eval/tests/golden/npy/*.npy.
Written independently of the Rust code: full score matrices in float64, argsort-free counting, vsepp's conventions
(ranks from 0, R@K counts rank < K, medr = floor(median) + 1, meanr = mean + 1).
The embeddings come from a linear congruential generator that the Rust test repeats.
"""
import json
import pathlib

import numpy as np

GOLDEN = pathlib.Path("crates/eval/tests/golden")
N, EACH, D = 200, 5, 16


def noise(count, seed):
    """Multiples of 1/1024 in [-0.5, 0.5)."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append((state >> 22) / 1024 - 0.5)
    return np.array(out)


def level(seed):
    images = noise(N * D, seed).reshape(N, D)
    captions = np.repeat(images, EACH, 0) + noise(N * EACH * D, seed + 1).reshape(-1, D)
    return images, captions


def score(images, captions, similarity):
    if similarity == "cosine":
        unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
        return unit(images) @ unit(captions).T
    gap = images[:, None, :] - captions[None, :, :]
    if similarity == "order_caption_minus_image":
        gap = -gap
    return -(np.maximum(gap, 0) ** 2).sum(-1)


def ranks(scores):
    owner = np.arange(N * EACH) // EACH
    right = owner[None, :] == np.arange(N)[:, None]
    best = np.where(right, scores, -np.inf).max(1)
    i2t = ((scores >= best[:, None]) & ~right).sum(1)
    best = scores[owner, np.arange(N * EACH)]
    t2i = ((scores >= best[None, :]) & ~right).sum(0)
    return i2t, t2i


def recall(r):
    hits = [100 * np.mean(r < k) for k in (1, 5, 10)]
    return hits + [float(np.floor(np.median(r)) + 1), float(r.mean() + 1)]


def metrics(i2t, t2i):
    a, b = recall(i2t), recall(t2i)
    return a + b + [sum(a[:3]) + sum(b[:3]), a[0] + a[2] + b[0] + b[2]]


def bootstrap(results, resamples=20_000):
    rng, values = np.random.default_rng(0), []
    for _ in range(resamples):
        drawn = rng.integers(0, N, N)
        captions = (drawn[:, None] * EACH + np.arange(EACH)).ravel()
        values.append([metrics(i2t[drawn], t2i[captions]) for i2t, t2i in results])
    return np.array(values)


def main():
    abstract, grounded = level(1), level(77)
    out, kept = {"results": []}, {}
    for similarity in ("cosine", "order", "order_caption_minus_image"):
        for lam in (1.0, 0.5, 0.25):
            scores = lam * score(*abstract, similarity) + (1 - lam) * score(*grounded, similarity)
            i2t, t2i = kept[similarity, lam] = ranks(scores)
            out["results"].append(
                {"similarity": similarity, "lambda": lam, "i2t": i2t.tolist(), "t2i": t2i.tolist(), "metrics": metrics(i2t, t2i)}
            )
    first, second = kept["order", 1.0], kept["order", 0.5]
    values = bootstrap([first, second])
    differences = values[:, 1] - values[:, 0]
    out["ci95_order_1.0"] = np.percentile(values[:, 0], [2.5, 97.5], axis=0).T.tolist()
    out["difference_ci95"] = np.percentile(differences, [2.5, 97.5], axis=0).T.tolist()
    (GOLDEN / "npy").mkdir(parents=True, exist_ok=True)
    (GOLDEN / "retrieval_metrics.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")

    array = np.array([[1.5, -2.0, 0.25], [0.0, 65504.0, -0.0]])
    for name in ("f2", "f4", "f8"):
        np.save(GOLDEN / "npy" / f"{name}.npy", array.astype("<" + name))
    np.save(GOLDEN / "npy" / "fortran.npy", np.asfortranarray(array.astype("<f4")))
    np.save(GOLDEN / "npy" / "integers.npy", array.astype("<i8"))
    for version in (2, 3):
        with open(GOLDEN / "npy" / f"version{version}.npy", "wb") as file:
            np.lib.format.write_array(file, array.astype("<f4"), version=(version, 0))


if __name__ == "__main__":
    main()
