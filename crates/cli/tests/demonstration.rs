//! `gxn demo`, with so few pictures that it is quick.

use crate::fixture::{gxn, refused, text, works};

#[test]
fn the_demo_does_the_whole_job() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let args = ["demo", text(&demo), "--pictures", "30"];
    let ran = works(args);
    for part in ["ready to train", "R@10", "times chance", "\"a red circle\"\n   1 ", "With your own images:"] {
        assert!(ran.stdout.contains(part), "{part:?} not in {}", ran.stdout);
    }
    for part in [
        "1/6 rendering 30",
        "2/6 gxn data check",
        "3/6 gxn train",
        "4/6 gxn evaluate",
        "5/6 gxn index",
        "6/6 gxn search",
    ] {
        assert!(ran.stderr.contains(part), "{part:?} not in {}", ran.stderr);
    }
    assert!(ran.stderr.contains("test images are too few to judge the model by"), "{}", ran.stderr);
    // What it left is an ordinary data set, run and index.
    works(["search", "a blue star", text(&demo.join("pictures"))]);
    works(["evaluate", text(&demo.join("runs/demo")), text(&demo.join("pictures"))]);

    refused(args, &["found an earlier demo", "hint: replace it with --force"]);
    let foreign = folder.path().join("home");
    std::fs::create_dir_all(foreign.join("pictures")).unwrap();
    std::fs::write(foreign.join("pictures/wedding.jpg"), "dear").unwrap();
    refused(["demo", text(&foreign), "--force"], &["images or runs of something else"]);
    assert!(foreign.join("pictures/wedding.jpg").exists());
    assert_eq!(gxn(["demo", text(&folder.path().join("few")), "--pictures", "3"]).code, 1);
}
