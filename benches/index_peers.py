"""An index of gxn beside faiss (flat, HNSW) and turbovec on the same rows and the same machine, one after the other.

    pip install numpy faiss-cpu turbovec
    cargo build --release -p gxn-index --examples
    python benches/index_peers.py [--rows 10000 100000] [--level 1024] [--threads 2] [--order] [--skip hnsw]
    python benches/index_peers.py --export FOLDER        (FOLDER is what `gxn index export` wrote: its images are the rows, its captions the queries)

Rows are two levels of length 1 near 1,000 centres; queries are 200 others. An export's own rows are taken as they are. Every engine is a process of its own, so that
its peak memory is its own; a million rows of 2 x 1024 values take 8 GiB as f32 on disk and as much again in faiss.
`flat` is the truth for the recall of `hnsw` and `turbovec`; gxn's sketches are compared with its own exact scan.
turbovec proposes 50 candidates, which are scored again in f32; it and HNSW know inner products only, so with --order
they are left out and faiss has nothing to compare. Each engine's times are of the same 200 queries; "together" is all of
them in one call, the best of three. gxn's peak memory is that of both its strategies, mapped files included.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CENTRES, QUERIES, TOP, CANDIDATES = 1000, 200, 10, 50


def embeddings(numpy, seed, count, level):
    """[count, 2 * level] f32."""
    random = numpy.random.default_rng(seed)
    centres = numpy.random.default_rng(99).standard_normal((CENTRES, 2, level), dtype=numpy.float32)
    rows = random.standard_normal((count, 2, level), dtype=numpy.float32)
    rows += centres[random.integers(0, CENTRES, count)]
    rows /= numpy.linalg.norm(rows, axis=2, keepdims=True)
    return rows.reshape(count, 2 * level)


def measured(find, queries):
    """Milliseconds of single queries, queries a second of all at once, and the answers."""
    find(queries[:1])
    times, answers = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(find(query[None])[0].tolist())
        times.append((time.perf_counter() - start) * 1e3)
    together = 0
    for _ in range(3):
        start = time.perf_counter()
        find(queries)
        together = max(together, len(queries) / (time.perf_counter() - start))
    times.sort()
    p50, p95 = times[len(times) // 2], times[len(times) * 95 // 100]
    return {"p50": p50, "p95": p95, "best": times[0], "together": together}, answers


def peer(engine, folder, level, threads):
    """Measures one engine in this process and prints the result as JSON."""
    import numpy

    dims = 2 * level
    rows = numpy.fromfile(folder / "rows.f32", dtype=numpy.float32).reshape(-1, dims)
    queries = numpy.fromfile(folder / "queries.f32", dtype=numpy.float32).reshape(-1, dims)
    # One dot product is the mean of both levels.
    queries = queries * 0.5
    start = time.perf_counter()
    if engine == "turbovec":
        import turbovec

        index = turbovec.TurboQuantIndex(dims, 4)
        index.calibrate(rows[numpy.random.default_rng(1).choice(len(rows), min(len(rows), 1024), replace=False)])
        index.add(rows)
        index.prepare()

        def find(asked):
            near = numpy.asarray(index.search(asked, CANDIDATES)[1]).reshape(len(asked), -1)
            scores = numpy.einsum("qd,qkd->qk", asked, rows[near])
            return numpy.take_along_axis(near, numpy.argsort(-scores, axis=1, kind="stable")[:, :TOP], axis=1)
    else:
        import faiss

        faiss.omp_set_num_threads(threads)
        flat = faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexFlatIP(dims) if engine == "flat" else faiss.IndexHNSWFlat(dims, 32, flat)
        if engine == "hnsw":
            index.hnsw.efSearch = 128
        index.add(rows)

        def find(asked):
            return index.search(asked, TOP)[1]

    result = {"build": time.perf_counter() - start}
    figures, answers = measured(find, queries)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    written = folder / "written"
    index.write(str(written)) if engine == "turbovec" else faiss.write_index(index, str(written))
    result["disk"] = written.stat().st_size / 1e6
    written.unlink()
    print(json.dumps({**result, **figures, "peak": peak, "answers": answers}))


def run(command, threads, **options):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads))
    return subprocess.run(command, env=environment, check=True, text=True, capture_output=True, **options).stdout


def row(engine, figures):
    """A line of the table."""
    build, recall, disk, peak = (figures[name] for name in ["build", "recall", "disk", "peak"])
    times = " | ".join(f"{figures[name]:.2f}" for name in ["p50", "p95", "best"])
    together = figures["together"]
    print(f"| {engine} | {build:.1f} | {times} | {together:.0f} | {recall:.4f} | {disk:.0f} | {peak:.0f} |", flush=True)


def gxn_rows(output):
    """The lines of gxn's two strategies, read from what `bench_index` prints."""

    def number(pattern):
        return float(re.search(pattern, output, re.MULTILINE)[1])

    written, peak = number(r"^rows written +([\d.]+) s"), number(r"^peak memory.* (\d+) MB")
    makings = {"exact": 0, "sketches": number(r"^sketches made +([\d.]+) s")}
    disk = {"exact": 0, "sketches": number(r"^  sketch +([\d.]+) MB")}
    stored = number(r"^on disk +([\d.]+) MB") - disk["sketches"]
    names = ["p50", "p95", "best", "together", "recall"]
    pattern = r" +one query +([\d.]+) ms p50 +([\d.]+) ms p95 +([\d.]+) ms best; +([\d.]+) queries/s together; recall@10 (\S+)"
    for strategy, making in makings.items():
        found = re.search(f"^{strategy}{pattern}", output, re.MULTILINE)
        sizes = {"build": written + making, "disk": stored + disk[strategy], "peak": peak}
        row(f"gxn {strategy}", {**sizes, **dict(zip(names, map(float, found.groups())))})


def made(numpy, folder, count, level):
    """Writes rows and queries near the centres."""
    with open(folder / "rows.f32", "wb") as out:
        for first in range(0, count, 20_000):
            embeddings(numpy, first + 1, min(20_000, count - first), level).tofile(out)
    embeddings(numpy, 10**9, QUERIES, level).tofile(folder / "queries.f32")
    return count, level


def exported(numpy, folder, export):
    """Writes an export's images as rows and some of its captions as queries."""
    rows = numpy.load(export / "img_emb" / "img_emb_0.npy")
    asking = numpy.load(export / "text_emb" / "text_emb_0.npy")
    rows.tofile(folder / "rows.f32")
    asking[:: max(1, len(asking) // QUERIES)][:QUERIES].tofile(folder / "queries.f32")
    return len(rows), rows.shape[1] // 2


def compare(arguments, count):
    import numpy

    with tempfile.TemporaryDirectory(prefix="gxn-peers") as folder:
        folder = pathlib.Path(folder)
        export = arguments.export
        count, level = exported(numpy, folder, export) if export else made(numpy, folder, count, arguments.level)
        print(f"\n## {count} rows of 2 x {level} values, {arguments.threads} threads\n")
        print(f"| engine | build s | p50 ms | p95 ms | best ms | queries/s together | recall@{TOP} | disk MB | peak MB |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        truth = None
        for engine in ["flat", "hnsw", "turbovec"]:
            if arguments.order or engine in arguments.skip:
                continue
            command = [sys.executable, __file__, "--peer", engine, "--folder", folder, "--level", level]
            result = json.loads(run([*map(str, command), "--threads", str(arguments.threads)], arguments.threads))
            answers = result.pop("answers")
            truth = truth or ("flat" not in arguments.skip and answers)
            same = sum(len(set(a) & set(b)) for a, b in zip(truth, answers)) if truth else float("nan")
            row(f"faiss {engine}" if engine != "turbovec" else engine, {**result, "recall": same / (TOP * len(answers))})
        examples = ROOT / "target/release/examples"
        command = [examples / "bench_index", "--level", level, "--folder", folder]
        command += ["--vectors", folder / "rows.f32", "--queries", folder / "queries.f32"]
        output = run([*map(str, command), *(["--order"] if arguments.order else [])], arguments.threads)
        gxn_rows(output)
        print(f"\n```text\n{output}```", flush=True)
        if level == 1024:
            print(f"\n```text\n{run([str(examples / 'bench_scan'), str(count)], arguments.threads)}```", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--level", type=int, default=1024)
    parser.add_argument("--export", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--order", action="store_true")
    parser.add_argument("--skip", nargs="*", default=[], choices=["flat", "hnsw", "turbovec"])
    parser.add_argument("--peer", choices=["flat", "hnsw", "turbovec"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer(arguments.peer, arguments.folder, arguments.level, arguments.threads)
        return
    for count in arguments.rows if arguments.export is None else [0]:
        compare(arguments, count)


if __name__ == "__main__":
    main()
