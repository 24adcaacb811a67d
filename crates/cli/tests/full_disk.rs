//! Write errors: what was there before stays whole, nothing is half-written.

use std::process::{Command, Stdio};

use crate::fixture::{Ran, command, cosine, data, other_seed, paper, patch, snapshot, text, train_args, works};
use crate::indexing::indexed_photos;
use crate::snapshots::{refusal, refused};

/// Runs `gxn` so that no file can grow beyond `blocks` (of 512 or 1024 bytes, as the shell counts): what a full disk
/// does to a program, without one.
pub fn with_little_room<S: AsRef<str>>(blocks: u32, args: &[S]) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let args = args.iter().map(AsRef::as_ref);
    let shell = ["-c", &script, env!("CARGO_BIN_EXE_gxn")].into_iter().chain(args);
    Ran::of(Command::new("sh").args(shell).output().unwrap())
}

pub const HINT: &str = "hint: make room on the disk";

#[test]
fn results_on_a_full_device() {
    let model = text(&paper().folder);
    let out = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = command(["info", model]).stdout(Stdio::from(out)).output().unwrap();
    refusal!(&Ran::of(ran));
    refused!(["evaluate", model, text(data()), "-o", "/dev/full"]);
    assert!(!std::fs::metadata("/dev/full").unwrap().is_file(), "a device is never replaced by a file");
    let stdout = works(["evaluate", model, text(data()), "-o", "/dev/stdout"]).stdout;
    assert!(stdout.starts_with("{\n") && stdout.contains("Image to text"), "{stdout}");
}

#[test]
fn a_result_file_is_kept_or_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    works(["evaluate", text(&cosine().folder), text(data()), "-o", text(&file)]);
    let before = snapshot(folder.path());
    let args = ["evaluate", text(&other_seed().folder), text(data()), "-o", text(&file)];
    refusal!(&with_little_room(1, &args));
    assert_eq!(snapshot(folder.path()), before);
    refused!(["evaluate", text(&paper().folder), text(data()), "-o", text(&folder.path().join("no/where.json"))]);
}

#[test]
fn the_former_index_stands() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    // The catalogue may be written to, but says the same: the rows it adopted and the hits below are what counts.
    let rows = || {
        let mut files = snapshot(&photos.join(".gxn"));
        files.retain(|(path, _)| !path.ends_with("catalogue.redb"));
        files
    };
    let before = rows();
    let found = works(["search", "red", text(&photos)]).stdout;
    patch([1, 1, 200], 3).save(photos.join("new.png")).unwrap();
    let args = ["index", text(&photos), "--model", text(&paper().folder)];
    refusal!(&with_little_room(1, &args));
    assert_eq!(rows(), before);
    assert_eq!(works(["search", "red", text(&photos)]).stdout, found);
    works(args);

    let index = folder.path().join("elsewhere");
    let args = [&args[..], &["--index", text(&index)]].concat();
    refusal!(&with_little_room(1, &args));
    assert!(!index.exists(), "a first index leaves nothing");
    let encoded = folder.path().join("encoded");
    refusal!(&with_little_room(1, &["encode", text(&paper().folder), text(data()), "-o", text(&encoded)]));
    assert!(!encoded.exists());
    let converted = folder.path().join("converted");
    let convert = ["data", "convert", text(data()), text(&converted), "--to", "wds", "--copy-images"];
    refusal!(&with_little_room(1, &convert));
    assert!(!converted.exists());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["photos"], "no temporary files");
}

/// The disk fills up while the first checkpoint is written (for a later one, see `resuming`).
#[test]
fn a_run_without_a_first_checkpoint_can_be_started_again() {
    let logs = tempfile::tempdir().unwrap();
    let run = logs.path().join("full");
    let args = train_args(logs.path(), "full", &[]);
    // Enough for the configuration and the log, too little for the weights.
    refusal!(&with_little_room(40, &args));
    assert!(std::fs::read_dir(run.join("checkpoints")).unwrap().next().is_none(), "no half of a checkpoint");
    refused!(["train", "--resume", text(&run)]);
    works(args);
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    assert_eq!(log.matches("\"finished_epoch\":0").count(), 1, "{log}");
}
