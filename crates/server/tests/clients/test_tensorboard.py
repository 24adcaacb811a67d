"""TensorBoard reads the same numbers from a run's event files as stand in its log, also after it was killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tiny

STEP_KEYS = ("step", "epoch", "finished_epoch")


def logged(run):
    """Every number of the log by its tag: (step, number)."""
    found = {}
    for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()):
        for name, value in line.items():
            group = value if isinstance(value, dict) else {name: value}
            prefix = name if isinstance(value, dict) else "train"
            for own, number in group.items():
                if own not in STEP_KEYS and isinstance(number, (int, float)):
                    found.setdefault(f"{prefix}/{own}", []).append((line["step"], number))
    return found


def read(run):
    """What TensorBoard finds, nothing thinned out."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def start(folder, *more):
    program = shutil.which(os.environ["GXN_PROGRAM"])
    return subprocess.Popen([program, "train", *more], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_killed_and_resumed_run_has_no_step_twice(tmp_path):
    tiny.write_data(tmp_path)
    (tmp_path / "tiny.toml").write_text(tiny.CONFIG)
    run = tmp_path / "runs" / "mine"
    options = ["--train-data", "tiny.json", "--name", "mine", "--set", "train.save_every=4", "--report-to", "tensorboard"]
    training = start(tmp_path, "tiny.toml", *options)
    log = run / "log.jsonl"
    # Behind a saved step and before the next: these steps are done once more.
    deadline = time.time() + 120
    while time.time() < deadline and not (log.exists() and len(log.read_text().splitlines()) > 18):
        time.sleep(0.005)
    training.send_signal(signal.SIGKILL)
    assert training.wait() == -signal.SIGKILL
    resumed = start(tmp_path, "--resume", "runs/mine")
    assert resumed.wait() == 0, resumed.stderr.read()
    assert len(list(run.glob("events.out.tfevents.*"))) == 2
    expected, found = logged(run), read(run)
    assert {"train/loss", "train/lr", "val/rsum", "val/i2t_r1"} <= expected.keys()
    assert found.keys() == expected.keys()
    for tag, numbers in expected.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in numbers], tag
        assert [value for _, value in found[tag]] == pytest.approx([value for _, value in numbers], rel=1e-6), tag
    print(f"{len(expected)} tags, {sum(map(len, expected.values()))} numbers, files: {sorted(path.name for path in run.glob('events*'))}")
