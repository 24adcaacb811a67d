//! `gxn demo`, with so few images that it is quick.

use crate::fixture::{gxn, text, works};
use crate::snapshots::{refused, seen};

#[test]
fn the_demo_does_the_whole_job() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let args = ["demo", text(&demo), "--images", "30"];
    let ran = works(args);
    // Which images are found depends on the last bits of the weights.
    let is_hit = |line: &&str| line.starts_with("   ");
    assert_eq!(ran.stdout.lines().filter(is_hit).filter(|line| line.contains("scene_")).count(), 9, "{}", ran.stdout);
    seen!(ran.stdout.lines().filter(|line| !is_hit(line)).collect::<Vec<_>>().join("\n"));
    // So does what is wrong with a decoder that has hardly begun to learn.
    let is_warning = |line: &&str| line.starts_with("warning: ");
    seen!(ran.stderr.lines().filter(|line| !is_warning(line)).collect::<Vec<_>>().join("\n"));
    // What it left is an ordinary dataset, run and index.
    works(["search", "a blue star", text(&demo.join("images"))]);
    works(["evaluate", text(&demo.join("runs/captions")), text(&demo.join("images"))]);
    let report = std::fs::read_to_string(demo.join("report.html")).unwrap();
    // Three hits for each of three searches, and four test images with captions.
    assert_eq!(report.matches("<figure>").count(), 9 + 4, "{report}");
    assert!(report.matches("<svg").count() > 10 && !report.contains("{{") && !report.contains("<script"), "{report}");

    refused!(args);
    let foreign = folder.path().join("home");
    std::fs::create_dir_all(foreign.join("images")).unwrap();
    std::fs::write(foreign.join("images/wedding.jpg"), "dear").unwrap();
    refused!(["demo", text(&foreign), "--force"]);
    assert!(foreign.join("images/wedding.jpg").exists());
    assert_eq!(gxn(["demo", text(&folder.path().join("few")), "--images", "3"]).code, 1);
}
