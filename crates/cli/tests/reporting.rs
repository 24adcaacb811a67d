//! `gxn report`, and event files for TensorBoard.

use std::path::Path;

use crate::fixture::{copy, gxn, paper, speaking, text, tiny_dataset, train_args, works};
use crate::snapshots::{refused, seen};

fn page(path: &Path) -> String {
    let page = std::fs::read_to_string(path).unwrap();
    assert!(!page.contains("{{") && !page.contains("<script") && !page.contains("src=\"/"), "{page}");
    page
}

#[test]
fn a_run_becomes_a_page_with_what_is_measured_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("paper.html");
    let ran = works(["report", text(&paper().folder), "-o", text(&out)]);
    assert_eq!(ran.stdout, format!("{}\n", out.display()));
    let paper_page = page(&out);
    for part in [
        "Sweep of λ",
        "weight of the abstract level",
        "Loss on train",
        "<tr><td>train</td><td>4</td>",
        "<tr><td>val</td><td>4</td>",
        "<dt>fingerprint</dt>",
        "<dt>seed</dt><dd>1</dd>",
        "tiny, hash ",
        "i2t_r1",
        "learning_rate = 0.003",
    ] {
        assert!(paper_page.contains(part), "{part} not in {paper_page}");
    }
    assert!(!paper_page.contains("Generated captions"));

    // A checkpoint's page is its run's; the page lies in the run unless it is to lie elsewhere.
    let run = folder.path().join("speaking");
    copy(&speaking().folder, &run);
    std::fs::remove_file(run.join("report.html")).unwrap();
    works(["report", text(&run.join("best"))]);
    let captions = page(&run.join("report.html"));
    assert_eq!(captions.matches("<figure>").count(), 4, "{captions}");
    assert!(captions.contains("<p class=\"generated\">") && captions.contains("begun with"), "{captions}");
    // A run that is refused leaves the page of the one before it.
    let refused = gxn(["train", "--resume", text(&run), "--train-data", "absent.json"]);
    assert!(refused.code == 1 && page(&run.join("report.html")) == captions, "{refused:?}");
    works(["report", text(&run), "--stored-only"]);
    let stored = page(&run.join("report.html"));
    assert!(stored.contains("--stored-only") && !stored.contains("Sweep of λ") && stored.contains("Loss on train"));
}

#[test]
fn what_is_no_run_has_no_page() {
    let folder = tempfile::tempdir().unwrap();
    refused!(["report", text(folder.path())]);
    refused!(["report", text(&paper().folder), "--data", "nowhere.json"]);
    assert_eq!(gxn(["report", text(&paper().folder), "-o", text(folder.path())]).code, 1);
}

/// The files and the steps that they begin with are read by TensorBoard itself in crates/server/tests/clients.
#[test]
fn curves_go_to_tensorboard_and_a_page_does_without_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let data = tiny_dataset(&folder.path().join("data"));
    let mut args = train_args(folder.path(), "run", &["--report-to", "tensorboard"]);
    let place = args.iter().position(|arg| arg == "--train-data").unwrap() + 1;
    args[place] = text(&data).to_owned();
    works(args);
    let run = folder.path().join("run");
    let events = || {
        let names = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("events.out.tfevents.")).collect();
        names.sort();
        names
    };
    assert_eq!(events().len(), 1);
    let written = std::fs::read(run.join(&events()[0])).unwrap();
    for tag in ["brain.Event:2", "train/loss", "train/lr", "val/rsum", "val/i2t_r1"] {
        assert!(written.windows(tag.len()).any(|bytes| bytes == tag.as_bytes()), "{tag}");
    }
    // A resumed run goes on as it began, unless it is told not to.
    works(["train", "--resume", text(&run), "--report-to", "none"]);
    assert_eq!(events().len(), 1);
    works(["train", "--resume", text(&run)]);
    assert_eq!(events().len(), 2);

    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let ran = works(["report", text(&run)]);
    seen!(ran.stderr);
    let page = page(&run.join("report.html"));
    assert!(page.contains("Nothing was measured for this page: ") && page.contains("Loss on train"), "{page}");
}
