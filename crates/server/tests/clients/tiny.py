"""A model that captions and imagines, trained in seconds on coloured patches, and an index of them."""

import json
import random
import subprocess
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (40, 60, 220),
    "yellow": (230, 220, 40),
    "white": (245, 245, 245),
    "black": (10, 10, 10),
}
PLACES = ["top left", "top right", "bottom left", "bottom right"]
IMAGES = 240
CONFIG = """
[look]
backbone = "small"
finetune = true
weights = "random"
side_px = 32
embed_dim = 32
[look.sentence]
word_dim = 16
hidden = 24
[imagine.caption]
hidden = 64
min_count = 1
learning_rate = 1e-2
[imagine.image]
generator_width = 8
discriminator_width = 4
condition_dim = 4
noise_dim = 4
[train]
epochs = 12
batch_size = 20
learning_rate = 3e-3
"""


def patch(colour, place, rng):
    """A square of 96 pixels with a patch in one quarter."""
    grey = rng.randrange(100, 156)
    image = Image.new("RGB", (96, 96), (grey, grey, grey))
    x, y = 48 * (place % 2), 48 * (place // 2)
    corners = [x + rng.randrange(8), y + rng.randrange(8), x + 47 - rng.randrange(8), y + 47 - rng.randrange(8)]
    ImageDraw.Draw(image).rectangle(corners, fill=COLOURS[colour])
    return image


def write_data(folder):
    """The images, two copies among them, and their captions; val is large enough for a calibration."""
    rng = random.Random(1)
    (folder / "images").mkdir(parents=True)
    images = []
    for number in range(IMAGES):
        colour, place = list(COLOURS)[number % 6], number // 6 % 4
        name = f"{colour}_{place}_{number}.png"
        patch(colour, place, rng).save(folder / "images" / name)
        split = "train" if number < 110 else "val" if number < 216 else "test"
        texts = [f"a {colour} patch at the {PLACES[place]}", f"the {PLACES[place]} is {colour}"]
        sentences = [{"raw": text, "sentid": 2 * number + at} for at, text in enumerate(texts)]
        images.append({"filename": name, "imgid": number, "split": split, "sentences": sentences})
    # The last test image is a copy of the first of train: a duplicate in the index, and a leak between the splits.
    copy = folder / "images" / images[-1]["filename"]
    copy.write_bytes((folder / "images" / images[0]["filename"]).read_bytes())
    (folder / "tiny.json").write_text(json.dumps({"dataset": "tiny", "images": images}))


def build(program, folder):
    """Data, runs, a report and an index in `folder`: 20 seconds on two cores."""
    write_data(folder)
    (folder / "tiny.toml").write_text(CONFIG)

    def gxn(*arguments):
        done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"gxn {' '.join(arguments)}: {done.stderr}"

    def train(name, *more):
        gxn("train", *more, "--train-data", "tiny.json", "--logs", "runs", "--name", name)

    train("look", "tiny.toml")
    train("captions", "--stage", "i2t_xe", "--init-from", "runs/look", "--set", "train.select_by=last")
    train("images", "--stage", "t2i_pretrain", "--init-from", "runs/look", "--set", "train.epochs=2")
    merged = ["--init-from", "runs/captions", "--merge-from", "runs/images", "--set", "train.epochs=2"]
    train("joint", "--stage", "joint", *merged)
    gxn("evaluate", "runs/joint", "tiny.json", "--split", "test", "-o", "runs/test.json")
    gxn("index", "tiny.json", "--model", "runs/joint", "--index", "index")
    (folder / "done").touch()


def built(program, folder):
    """Builds unless `folder` holds a finished build."""
    folder = Path(folder).resolve()
    if not (folder / "done").exists():
        build(program, folder)
    return folder
