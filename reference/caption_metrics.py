"""Golden numbers for the caption metrics, from the package pycocoevalcap (PyPI, needs Java for its tokenizer).

    python reference/caption_metrics.py [DATA]     (run from the repository's root; DATA defaults to ../shared/data)

writes crates/gxn/tests/golden/ptb_tokens.json (sentences below and their tokens). With Flickr8k in DATA it also prints
the scores that `caption_metrics_equal_the_package` in crates/gxn/src/metrics/golden.rs holds, and writes the package's
tokens of all captions to $PTB_TOKENS, if that is set, for the same test.
"""
import json
import os
import pathlib
import sys

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


def tokens(captions):
    return [t[0] for t in PTBTokenizer().tokenize({i: [{"caption": c}] for i, c in enumerate(captions)}).values()]


def main():
    golden = list(zip(SENTENCES, tokens(SENTENCES)))
    path = pathlib.Path("crates/gxn/tests/golden/ptb_tokens.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n")

    data = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data") / "flickr8k/dataset_flickr8k.json"
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


if __name__ == "__main__":
    main()
