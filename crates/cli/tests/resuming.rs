//! Ctrl-C and SIGKILL: a resumed run equals the uninterrupted one, line by line.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{Ran, command, config, data, gxn, gxn_in, paper, snapshot, text, tiny_dataset, train_args, works};
use crate::full_disk::{HINT, with_little_room};
use crate::snapshots::{assert_is_refusal, refusal};

/// Everything that has state or randomness is on: dropout, views, warm-up, schedule, hardest negatives, moving average.
const SETTINGS: [&str; 21] = [
    "--epochs",
    "6",
    "--batch-size",
    "3",
    "--set",
    "matching.loss=hardest",
    "--set",
    "look.views=flip",
    "--set",
    "look.feature_dropout=0.1",
    "--set",
    "look.sentence.word_dropout=0.1",
    "--set",
    "train.schedule=cosine",
    "--set",
    "train.warmup_steps=3",
    "--set",
    "train.ema_decay=0.9",
    "--set",
    "train.save_every=2",
    "--seed=3",
];
const FROZEN: [&str; 2] = ["--set", "look.finetune=false"];

fn settings(finetune: bool) -> Vec<&'static str> {
    let frozen: &[&str] = if finetune { &[] } else { &FROZEN };
    [&SETTINGS[..], frozen].concat()
}

/// The uninterrupted run.
fn whole(finetune: bool) -> &'static Path {
    static RUNS: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    RUNS[usize::from(finetune)].get_or_init(|| {
        let logs = paper().folder.parent().unwrap();
        let name = if finetune { "whole-trained" } else { "whole-frozen" };
        works(train_args(logs, name, &settings(finetune)));
        logs.join(name)
    })
}

/// The lines of a run's log, without the seconds.
fn log(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let strip = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("seconds");
        value
    };
    text.lines().map(strip).collect()
}

fn start(args: Vec<String>) -> Child {
    command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the log has a line of step `step`.
fn wait_for_step(run: &Path, step: usize, child: &mut Child) {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap_or_default();
        if text.contains(&format!("{{\"step\":{step},\"epoch\"")) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "the run ended before step {step}");
        assert!(begun.elapsed() < Duration::from_secs(120), "no step {step} after two minutes");
        std::thread::sleep(Duration::from_millis(3));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(sent.success());
}

fn same_as_whole(run: &Path, finetune: bool) {
    let whole = whole(finetune);
    let (ours, theirs) = (log(run), log(whole));
    for (line, other) in ours.iter().zip(&theirs) {
        assert_eq!(line, other);
    }
    assert_eq!(ours.len(), theirs.len());
    for file in ["last/trainer.safetensors", "last/model.safetensors", "best/model.safetensors"] {
        assert!(std::fs::read(run.join(file)).unwrap() == std::fs::read(whole.join(file)).unwrap(), "{file} differs");
    }
}

/// Ctrl-C twice in one run, at steps that are not those of `save_every` or of the end of an epoch only by luck.
fn after_interrupts(finetune: bool) {
    let logs = tempfile::tempdir().unwrap();
    let run = logs.path().join("cut");
    let mut args = train_args(logs.path(), "cut", &settings(finetune));
    let mut resumed = 0;
    for step in [3, 17] {
        let mut child = start(args);
        wait_for_step(&run, step, &mut child);
        signal(&child, "INT");
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stdout.as_str()), (130, ""), "{ran:?}");
        assert!(ran.stderr.contains("press Ctrl-C again to stop at once"), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("continue with: gxn train --resume {}", run.display())), "{}", ran.stderr);
        assert!(log(&run).len() < log(whole(finetune)).len(), "it was interrupted before its end");
        args = ["train", "--resume", text(&run), "--features", text(&logs.path().join("features"))]
            .map(String::from)
            .into();
        resumed += 1;
    }
    let ran = works(args);
    assert_eq!(ran.stdout, format!("{}\n", run.join("best").display()));
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    assert_eq!(resumed, 2);
    same_as_whole(&run, finetune);
}

#[test]
fn after_ctrl_c_with_a_trained_cnn() {
    after_interrupts(true);
}

#[test]
fn after_ctrl_c_with_a_frozen_cnn() {
    after_interrupts(false);
}

/// SIGKILL in the middle of an epoch, three times; the log may be ahead of the last save and must be cut back.
#[test]
fn after_a_kill() {
    let logs = tempfile::tempdir().unwrap();
    let run = logs.path().join("killed");
    let mut args = train_args(logs.path(), "killed", &settings(true));
    for step in [4, 15, 27] {
        let mut child = start(args);
        wait_for_step(&run, step, &mut child);
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none());
        args = ["train", "--resume", "latest", "--logs", text(logs.path())].map(String::from).into();
    }
    works(args);
    same_as_whole(&run, true);
    // What the killed processes left half-written is gone.
    let entries = std::fs::read_dir(run.join("checkpoints")).unwrap().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.len() <= 2 && names.iter().all(|name| name.starts_with("step_")), "{names:?}");
}

/// The disk is full when the run goes on: the last checkpoint stays, and when there is room it goes on from there.
#[test]
fn after_a_full_disk() {
    let logs = tempfile::tempdir().unwrap();
    let run = logs.path().join("full");
    let mut child = start(train_args(logs.path(), "full", &settings(true)));
    wait_for_step(&run, 5, &mut child);
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let before = snapshot(&run.join("checkpoints"));
    let refused = with_little_room(60, &["train", "--resume", text(&run)]);
    assert_is_refusal(&refused);
    assert!(refused.stderr.contains(HINT), "{}", refused.stderr);
    assert!(snapshot(&run.join("checkpoints")) == before, "no half of a checkpoint, and the last one stays");
    works(["train", "--resume", text(&run)]);
    same_as_whole(&run, true);
}

/// A run on another number of threads goes on, and says that it is not bit-equal.
#[test]
fn another_number_of_threads_is_a_warning() {
    let logs = tempfile::tempdir().unwrap();
    let run = logs.path().join("threads");
    let mut child = start(train_args(logs.path(), "threads", &[&settings(true)[..], &["--workers", "3"]].concat()));
    wait_for_step(&run, 2, &mut child);
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let ran = works(["train", "--resume", text(&run), "--workers", "1"]);
    let warned = ran.stderr.contains("warning: the run was saved on") && ran.stderr.contains("not bit-equal");
    assert!(warned, "{}", ran.stderr);
}

/// Two trainers would write into each other's log.
#[test]
fn one_process_trains_a_run() {
    let logs = tempfile::tempdir().unwrap();
    let run = logs.path().join("taken");
    let args = train_args(logs.path(), "taken", &[&["--epochs", "400"], &settings(true)[2..]].concat());
    let mut child = start(args.clone());
    wait_for_step(&run, 3, &mut child);
    let process = format!("process {}", child.id());
    for again in [args, ["train", "--resume", text(&run)].map(String::from).into()] {
        let mut refused = gxn(again);
        assert!(refused.stderr.contains(&process), "{}", refused.stderr);
        refused.stderr = without_process(&refused.stderr);
        refusal!(refused);
    }
    // Those that only read need no lock.
    works(["info", text(&run)]);
    works(["evaluate", text(&run), text(data()), "--split", "val"]);
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

/// A message without number and host of a process.
fn without_process(text: &str) -> String {
    let one = |line: &str| match line.split_once("found process ") {
        Some((before, after)) => {
            format!("{before}found [PROCESS] training{}", after.split_once(" training").unwrap().1)
        }
        None => line.to_owned(),
    };
    text.lines().map(one).collect::<Vec<_>>().join("\n")
}

/// Starts a run of two epochs in `folder` with a relative path to its data, and interrupts it.
fn interrupted_in(folder: &Path) {
    let more = ["--epochs", "4", "--set", "train.save_every=2"];
    let fixed = ["train", text(config()), "--train-data", "data/tiny.json", "--logs", "runs", "--name", "a"];
    let mut child = command([&fixed[..], &more].concat())
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_step(&folder.join("runs/a"), 2, &mut child);
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

/// Data are known by their content: the run finds them from every folder, also after they were moved together.
#[test]
fn from_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) =
        (folder.path().join("first"), folder.path().join("second"), folder.path().join("third"));
    std::fs::create_dir(&first).unwrap();
    let source = tiny_dataset(&first.join("data"));
    interrupted_in(&first);
    let resume = |run: &str, more: &[&str]| gxn_in(folder.path(), [&["train", "--resume", run], more].concat());

    // Other data are refused, the same in another place are not.
    let copied = tiny_dataset(&third);
    let other = std::fs::read_to_string(&copied).unwrap().replace("the top left is red", "something else");
    std::fs::write(third.join("other.json"), other).unwrap();
    refusal!(resume("first/runs/a", &["--train-data", "third/other.json"]));
    refusal!(resume("first/runs/a", &["--train-data", "third/none.json"]));
    refusal!(resume("first/runs/a", &["--train-data", "third/tiny.json", "--seed", "7"]));
    for same in [text(&source), "first/data/../data/tiny.json", "third/tiny.json"] {
        let ran = resume("first/runs/a", &["--train-data", same]);
        assert_eq!(ran.code, 0, "{same}: {ran:?}");
    }

    std::fs::remove_dir_all(first.join("runs")).unwrap();
    interrupted_in(&first);
    std::fs::rename(&first, &second).unwrap();
    let ran = resume("second/runs/a", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The calibration found the data, too.
    assert!(!ran.stderr.contains("the run is complete, but"), "{}", ran.stderr);
    assert!(ran.stderr.contains("val has fewer than 100 images"), "{}", ran.stderr);
}
