"""Golden numbers for the caption metrics, from the package pycocoevalcap (PyPI, needs Java for its tokenizer), and the
comparison of `gxn score-captions` with it.

    python reference/caption_metrics.py [DATA]     (run from the repository's root; DATA defaults to $GXN_DATA)

prints, with Flickr8k in DATA, the scores that `caption_metrics_equal_the_package` in crates/eval/src/metrics/golden.rs holds, and writes the package's
tokens of all captions to $PTB_TOKENS, if that is set, for the same test. Then it compares on these captions, as

    python reference/caption_metrics.py --files RESULTS.json CAPTIONS.json

does on any two files of the coco-caption shapes, and

    python reference/caption_metrics.py --lines TEXT

on the lines of any text, such as tweets: of every six lines, five describe an image, and the caption begins like the first
of these and ends with the sixth line. It prints totals, the largest difference of any image's score, and seconds. The
program is $GXN, else target/release/gxn; without one only the package's side is printed. Seconds are the fastest of
three; tokens are reported apart, and the package's include the start of Java twice.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

SENTENCES = """\
I don't think they're here, we'll see; it's John's dog.
He cannot swim and she's gonna run, gotta go, wanna play, lemme see, gimme that.
A black/white dog and/or a cat.
The 1/2 price sign costs $5.50 or 50% off, 1,000 people at 6:55pm on 9/11.
T-shirt, U.S. flag, U.S.A. team, N.Y. street.
A man in the U.S.
He lives on St. John St. near Mt. Hood.
Mr. Smith vs. Dr. Jones, Inc. and Co. etc.
rock 'n' roll, '80s music, 1980's style, the '90s
"Quoted text" and 'single quoted' words
(parens) [brackets] {braces}
a boy -- c -- d e - f and b ... c
b&w photo, AT&T, R&B, #1 fan, @home, a+b=c, a*b, ~approx, 5'10" tall
boys' toys, the players' bench, y'all, ma'am, d'oeuvre, o'clock
café naïve “curly” ‘single’ don’t it’s – — …
2nd 3rd 21st 10-year-old mid-air x-ray e-mail 3-4 people 555-1234
wow!! what?! ok?? yes!!!
snow_board under_score
5ft 6lbs 10mph 4x4 3D 7up 20's 100m 2:30 p.m. a.m.
A dog. A cat.
jersey number 5.
an "A" & a 'B' ; semi: colon
what's who's that's let's here's there's she'd I'd I've I'm he'll won't isn't aren't shouldn't ain't
don't. can't, "won't" rock-n-roll rock&roll
mother-in-law's o'neil O'Brien l'amour d'angelo an ant's-eye-view
a / b a\\b a|b a^b
Ph.D. student M.D. J. Smith J.K. Rowling
A pedestal clock strikes 6:55 in a rainy sky.
A boy wears Mr. Potato head features.
A man with a shirt saying " -ependent " faces the camera
Sunset Blvd.
Two adults - a male and a female - are standing.
a statefarm.com hat
A S.C.U.B.A. diver swims in deep blue water.
a cat "reading" the text
""".rstrip("\n").split("\n")


KEYS = {
    "bleu_1": "Bleu_1", "bleu_2": "Bleu_2", "bleu_3": "Bleu_3", "bleu_4": "Bleu_4", "rouge_l": "ROUGE_L", "cider": "CIDEr",
}
ROUNDS = 3


def tokens(captions):
    return [t[0] for t in PTBTokenizer().tokenize({i: [{"caption": c}] for i, c in enumerate(captions)}).values()]


def fastest(work):
    """What `work` returns, and the seconds of the fastest of its rounds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def package(results, captions):
    """The package's totals and scores by image, under its own keys, and its seconds by part."""
    wanted = {entry["image_id"]: [entry] for entry in results}
    references = {image: [] for image in wanted}
    for annotation in captions["annotations"]:
        if annotation["image_id"] in references:
            references[annotation["image_id"]].append(annotation)
    seconds = {}
    (gts, res), seconds["tokens"] = fastest(
        lambda: (PTBTokenizer().tokenize(references), PTBTokenizer().tokenize(wanted))
    )
    (bleu, bleus), seconds["bleu"] = fastest(lambda: Bleu(4).compute_score(gts, res, verbose=0))
    (rouge, rouges), seconds["rouge_l"] = fastest(lambda: Rouge().compute_score(gts, res))
    (cider, ciders), seconds["cider"] = fastest(lambda: Cider().compute_score(gts, res))
    totals = dict(zip(KEYS.values(), [*map(float, bleu), float(rouge), float(cider)]))
    rows = zip(*bleus, rouges, ciders)
    return totals, {str(i): dict(zip(KEYS.values(), map(float, row))) for i, row in zip(gts, rows)}, seconds


def compare(results_path, captions_path):
    results, captions = (json.loads(pathlib.Path(p).read_text()) for p in (results_path, captions_path))
    totals, images, seconds = package(results, captions)
    metrics = seconds["bleu"] + seconds["rouge_l"] + seconds["cider"]
    print(f"{len(results)} captions; package:", {k: round(v, 4) for k, v in seconds.items()}, f"metrics {metrics:.4f} s")
    gxn = pathlib.Path(os.environ.get("GXN", "target/release/gxn"))
    if not gxn.exists():
        return print("totals", totals, "\nno program at", gxn)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        command = [gxn, "score-captions", results_path, "--references", captions_path]
        for _ in range(ROUNDS):
            run = subprocess.run([*command, "--output", folder, "--format", "json"], check=True, capture_output=True)
            runs.append(json.loads(run.stdout))
        own = json.loads(next(pathlib.Path(folder).glob("*_evalImgs.json")).read_text())
    print(f"{'':8}{'package':>22}{'gxn':>22}{'difference':>12}")
    for ours, theirs in KEYS.items():
        print(f"{ours:8}{totals[theirs]:22.17f}{runs[0][ours]:22.17f}{abs(totals[theirs] - runs[0][ours]):12.1e}")
    assert len(own) == len(images)
    def worst(image, keys):
        return max(abs(image[key] - images[str(image["image_id"])][key]) for key in keys)

    print(f"largest difference of an image's score: {max(worst(image, KEYS.values()) for image in own):.1e}")
    # CIDEr's document frequencies carry a difference in one image to all others; BLEU and ROUGE-L stay with the image.
    others = [image["image_id"] for image in own if worst(image, [key for key in KEYS.values() if key != "CIDEr"]) > 1e-6]
    if others:
        print(f"images whose BLEU or ROUGE-L differs by more than 1e-6: {len(others)}: {others[:20]}")
    score, tokenise = (min(run[key] for run in runs) for key in ("score_s", "tokenise_s"))
    print(f"metrics: package {metrics:.4f} s, gxn {score:.4f} s, {metrics / score:.1f} times as fast")
    print(f"tokens: package {seconds['tokens']:.4f} s with Java's start, gxn {tokenise:.4f} s")


def compare_lines(lines):
    groups = [lines[i : i + 6] for i in range(0, len(lines) - 5, 6)]
    half = lambda line: line[: len(line) // 2]
    compare_captions([half(group[0]) + " " + group[5] for group in groups], [group[:5] for group in groups])


def compare_captions(candidates, references):
    results = [{"image_id": i, "caption": c} for i, c in enumerate(candidates)]
    annotations = [{"image_id": i, "caption": c} for i, captions in enumerate(references) for c in captions]
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / name for name in ("captions_test_golden_results.json", "captions.json")]
        paths[0].write_text(json.dumps(results))
        paths[1].write_text(json.dumps({"images": [{"id": i} for i in range(len(references))], "annotations": annotations}))
        compare(*paths)


def main():
    if sys.argv[1:2] == ["--files"]:
        return compare(*sys.argv[2:4])
    if sys.argv[1:2] == ["--lines"]:
        return compare_lines(pathlib.Path(sys.argv[2]).read_text().split("\n"))
    data = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("GXN_DATA", "data")) / "flickr8k/dataset_flickr8k.json"
    if not data.exists():
        return print("no data at", data)
    images = [i for i in json.loads(data.read_text())["images"] if i["split"] == "test"]
    flat = tokens([s["raw"].replace("\n", " ") for i in images for s in i["sentences"]])
    captions = [flat[5 * i : 5 * i + 5] for i in range(len(images))]
    if "PTB_TOKENS" in os.environ:
        pathlib.Path(os.environ["PTB_TOKENS"]).write_text(json.dumps(captions))
    # Even images are described by their own first caption, odd ones by the next image's.
    candidates = {i: [captions[i if i % 2 == 0 else (i + 1) % len(captions)][0]] for i in range(len(captions))}
    references = {i: c[1:] for i, c in enumerate(captions)}
    print("bleu", Bleu(4).compute_score(references, candidates, verbose=0)[0])
    print("rouge_l", Rouge().compute_score(references, candidates)[0])
    print("cider", Cider().compute_score(references, candidates)[0])

    # The same in files, from the raw captions.
    raw = [[s["raw"] for s in i["sentences"]] for i in images]
    of = [i if i % 2 == 0 else (i + 1) % len(raw) for i in range(len(raw))]
    compare_captions([raw[of[i]][0] for i in range(len(raw))], [captions[1:] for captions in raw])


if __name__ == "__main__":
    main()
