"""The package beside the command that it installs: results are equal, bit for bit."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import gxn
import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (230, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 230), "white": (245, 245, 245)}
SETTINGS = {
    "look": {"backbone": "small", "weights": "random", "finetune": True, "side_px": 16, "embed_dim": 8,
             "sentence": {"word_dim": 6, "hidden": 7}},
    "imagine": {"caption": {"hidden": 8, "min_count": 1, "max_words": 6}},
    "train": {"stage": "i2t_xe", "epochs": 2, "batch_size": 8, "learning_rate": 0.01},
}  # fmt: skip


def command(*arguments):
    """The installed command's output."""
    program = pathlib.Path(sys.executable).parent / "gxn"
    return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    lines = []
    for number in range(36):
        colour, pixels = list(COLOURS.items())[number % 4]
        array = np.full((20, 24, 3), pixels, np.uint8)
        array[: number % 5 + 3] = number * 7
        Image.fromarray(array).save(folder / f"{number}.png")
        split = "train" if number < 24 else "val"
        captions = [f"a {colour} patch with {number}", f"something {colour}"]
        lines.append(json.dumps({"image": f"{number}.png", "captions": captions, "split": split}))
    (folder / "data.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def events():
    return []


@pytest.fixture(scope="session")
def run(data, events, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "tiny"
    found = gxn.train({"data.source": data / "data.jsonl", **SETTINGS}, events.append, run=run)
    assert found["finished"] and found["epoch"] == 2
    return run


@pytest.fixture(scope="session")
def encoder(run):
    return gxn.Encoder(run)


@pytest.fixture(scope="session")
def written(run, data, tmp_path_factory):
    """What `gxn encode` writes of val."""
    out = tmp_path_factory.mktemp("written") / "val"
    command("encode", run, data / "data.jsonl", "--split", "val", "--output", out)
    return out


def val(data):
    lines = [json.loads(line) for line in (data / "data.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == "val"]


def test_the_module_is_imported_quickly():
    times = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-X", "importtime", "-c", "import gxn"], capture_output=True, text=True, check=True)
        rows = {line.split("|")[2].strip(): int(line.split("|")[1]) for line in out.stderr.splitlines() if "|" in line and "cumulative" not in line}
        times.append(rows["gxn"] / 1e6)
    assert min(times) < 0.1, times


def test_training_tells_its_events(events, run):
    kinds = [event["event"] for event in events]
    assert kinds.count("epoch") == 3 and kinds.count("step") == events[-1]["step"]
    assert (run / "best" / "model.safetensors").is_file()


def test_embeddings_are_those_of_the_command(encoder, written, data):
    paths = [data / line["image"] for line in val(data)]
    texts = [caption for line in val(data) for caption in line["captions"]]
    assert np.array_equal(encoder.encode_images(paths), np.load(written / "img_emb.npy"))
    assert np.array_equal(encoder.encode_texts(texts), np.load(written / "text_emb.npy"))
    assert encoder.encode_texts([]).shape == (0, encoder.levels * encoder.dim)


def test_an_image_is_the_same_in_every_form(encoder, data):
    path = data / "30.png"
    image = Image.open(path)
    forms = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    rows = encoder.encode_images(forms)
    assert all(np.array_equal(row, rows[0]) for row in rows)
    grey = encoder.encode_images(np.full((10, 12), 90, np.uint8))
    assert np.array_equal(grey, encoder.encode_images(np.full((10, 12, 3), 90, np.uint8)))
    with pytest.raises(TypeError, match="expected a path, bytes"):
        encoder.encode_images([3.5])


def test_evaluation_equals_the_commands(encoder, written, run, data):
    images, texts = np.load(written / "img_emb.npy"), np.load(written / "text_emb.npy")
    own = {"levels": encoder.levels, "lambda_": encoder.lambda_, "similarity": encoder.similarity}
    found = gxn.evaluate(images, texts, **own)
    report = json.loads(command("evaluate", run, data / "data.jsonl", "--format", "json"))
    assert found["metrics"] == report["metrics"] and found["ranks"] == report["ranks"]
    scores = encoder.scores(images, texts)
    owners = np.arange(len(images)).repeat(2)
    before = [(scores[:, c] >= scores[owner, c]).sum() - 1 for c, owner in enumerate(owners)]
    assert before == found["ranks"]["t2i"]
    assert gxn.evaluate(images, texts, owners[::-1].copy(), **own)["metrics"] != found["metrics"]
    with pytest.raises(gxn.InvalidError, match="expected equally many captions"):
        gxn.evaluate(images, texts[1:])
    with pytest.raises(gxn.InvalidError, match="cosine, order"):
        gxn.evaluate(images, texts, similarity="dot")


def test_caption_scores_equal_the_commands(tmp_path):
    references = {k: [f"a dog number {k} runs", "an animal runs on grass", "a dog"] for k in range(12)}
    results = {k: f"a dog {k} runs" if k % 2 else "a cat sleeps" for k in range(12)}
    found = gxn.caption_scores(results, {k: [{"caption": c} for c in v] for k, v in references.items()})
    (tmp_path / "results.json").write_text(json.dumps([{"image_id": k, "caption": v} for k, v in results.items()]))
    annotations = [{"image_id": k, "id": 3 * k + n, "caption": c} for k, v in references.items() for n, c in enumerate(v)]
    (tmp_path / "refs.json").write_text(json.dumps({"images": [{"id": k} for k in references], "annotations": annotations}))
    report = json.loads(command("score-captions", tmp_path / "results.json", "--references", tmp_path / "refs.json", "--format", "json"))
    names = {"Bleu_1": "bleu_1", "Bleu_4": "bleu_4", "ROUGE_L": "rouge_l", "CIDEr": "cider"}
    assert {ours: found[ours] for ours in names} == {ours: report[theirs] for ours, theirs in names.items()}
    assert found["images"][1]["ROUGE_L"] > found["images"][0]["ROUGE_L"]
    with pytest.raises(gxn.InvalidError, match="expected an id of the references"):
        gxn.caption_scores({99: "a"}, references)


def test_an_index_finds_adds_and_removes(encoder, run, data, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(8):
        (photos / f"{number}.png").write_bytes((data / f"{number}.png").read_bytes())
    index = gxn.Index.create(photos, run)
    assert len(index) == 8 and len(gxn.Index.open(photos)) == 8

    def of_command(*flags):
        out = command("search", "a red patch", "-C", photos, "--top", 8, "--format", "jsonl", *flags)
        return [(hit["id"], hit["rank"], np.float32(hit["score"])) for hit in map(json.loads, out.splitlines())]

    def known(hits):
        return [(hit.id, hit.rank, np.float32(hit.score)) for hit in hits]

    hits = index.search("a red patch", top=8)
    assert known(hits) == of_command()
    reranked = index.search("a red patch", top=8, rerank=4, rerank_weight=5)
    assert known(reranked) == of_command("--rerank", 4, "--rerank-weight", 5) and known(reranked) != known(hits)
    with pytest.raises(gxn.InvalidError, match="one text or one image"):
        index.search(["a red patch", "blue"], rerank=4)
    assert index.search(photos / "3.png")[0].id == "3.png"
    both = index.search([(1, "red"), (-0.5, np.asarray(Image.open(photos / "3.png")))], top=3, where="id!=2.png")
    assert len(both) == 3 and all(hit.id != "2.png" for hit in both)
    (photos / "8.png").write_bytes((data / "8.png").read_bytes())
    assert index.add(photos / "8.png") == "8.png" and len(index) == 9
    assert index.remove("0.png") and not index.remove("0.png") and len(index) == 8
    assert index.refresh()["encoded"] == 1 and len(index) == 9
    with pytest.raises(gxn.UnsupportedError, match="captions of the index"):
        index.search("red", target="text")
    # A model that is not calibrated keeps hubs.
    assert hits[0].hubness is None
    assert [hit.id for hit in index.search("red", keep_hubs=True)] == [hit.id for hit in index.search("red")]


def test_captions_are_generated(encoder, data):
    found = encoder.caption([data / "1.png", data / "2.png"], beam=2)
    assert [len(captions) for captions in found] == [2, 2]
    assert all(np.isfinite(probability) for captions in found for _, probability in captions)
    assert encoder.can_caption and not encoder.can_imagine
    with pytest.raises(gxn.UnsupportedError):
        encoder.imagine(["a red patch"])


def test_errors_have_a_kind_and_a_hint(tmp_path, data):
    with pytest.raises(gxn.NotFoundError) as error:
        gxn.Encoder(tmp_path)
    assert isinstance(error.value, gxn.Error) and error.value.hint and "hint:" in str(error.value)
    with pytest.raises(gxn.InvalidError, match="unknown"):
        gxn.train({"train.no_such_key": 1, "data.source": data / "data.jsonl"}, run=tmp_path / "run")
    with pytest.raises(gxn.NotFoundError):
        gxn.Index.open(tmp_path / "absent")


def test_a_callback_stops_a_run_that_goes_on_later(data, tmp_path):
    config = {"data.source": data / "data.jsonl", **SETTINGS}
    stopped = gxn.train(config, lambda event: event["event"] != "step" or event["step"] < 3, run=tmp_path / "run")
    assert not stopped["finished"]
    assert gxn.train({}, run=tmp_path / "run", resume=True)["finished"]
    whole = gxn.train(config, run=tmp_path / "whole")
    [resumed, once] = [(tmp_path / name / "last" / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert whole["finished"] and resumed == once

    def fail(event):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        gxn.train(config, fail, run=tmp_path / "failed")


def test_ctrl_c_is_honoured_and_other_threads_run(data, tmp_path):
    # A program in the background may have been told to ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = {"data.source": data / "data.jsonl", **SETTINGS}
    config = {**config, "train": {**config["train"], "epochs": 5000}}
    ticks = []
    over = threading.Event()

    def tick():
        while not over.wait(0.01):
            ticks.append(time.monotonic())

    threading.Thread(target=tick, daemon=True).start()
    threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        gxn.train(config, run=tmp_path / "run")
    over.set()
    assert time.monotonic() - start < 20 and len(ticks) > 20
    assert (tmp_path / "run" / "last").exists(), "what was done is saved"


def test_the_command_is_installed(run):
    assert "gxn" in command("--version")
    assert gxn.__version__ in command("--version")
    failed = subprocess.run([pathlib.Path(sys.executable).parent / "gxn", "info", "absent"], capture_output=True)
    assert failed.returncode == 1
