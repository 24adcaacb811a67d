//! Tests of the check on small datasets with known faults.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::SourceOptions;
use crate::testing::png;
use crate::vocabulary::UnknownWords;

/// Progress as it was reported.
#[derive(Default)]
struct Seen(Mutex<Vec<(usize, usize)>>);

impl Progress for Seen {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        assert_eq!(unit, "images");
        self.0.lock().unwrap().push((done, total));
    }
}

fn open(folder: &Path, lines: &str) -> Dataset {
    fs::write(folder.join("d.jsonl"), lines).unwrap();
    Dataset::open(&folder.join("d.jsonl"), &SourceOptions::default()).unwrap()
}

/// Two training images, one of them a copy of the test image; a shared caption; a text file named .jpg.
#[test]
fn finds_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), png(1)).unwrap();
    fs::write(folder.path().join("b.png"), png(5)).unwrap();
    fs::write(folder.path().join("copy.png"), png(1)).unwrap();
    fs::write(folder.path().join("text.jpg"), "not an image").unwrap();
    let mut cut = png(9);
    cut.truncate(cut.len() - 20);
    fs::write(folder.path().join("cut.png"), cut).unwrap();
    let data = open(
        folder.path(),
        r#"{"image":"a.png","captions":["a dog runs","a dog"],"split":"train"}
{"image":"b.png","captions":["a dog"],"split":"train"}
{"image":"copy.png","captions":["a cat sits"],"split":"test"}
{"image":"text.jpg","captions":["!"],"split":"val"}
{"image":"cut.png","captions":["a dog"],"split":"val"}
{"image":"gone.png","captions":["x"],"split":"val"}"#,
    );
    let seen = Seen::default();
    let options = CheckOptions { long_words: 2, ..CheckOptions::default() };
    let report = check(&data, &options, &seen).unwrap();
    let mut seen = seen.0.into_inner().unwrap();
    seen.sort();
    assert_eq!(seen, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    let counts: Vec<_> = report.splits.iter().map(|count| (count.images, count.captions)).collect();
    assert_eq!(counts, [(2, 3), (2, 2), (1, 1)]);
    assert_eq!(report.captions_per_image, BTreeMap::from([(1, 4), (2, 1)]));
    // Words: 3, 2, 2, 3, 0, 2.
    let lengths = CaptionLengths { least: 0, median: 2, p95: 3, most: 3, long: 2, wordless: 1 };
    assert_eq!(report.lengths, lengths);
    assert_eq!(report.wordless.len(), 1);
    let [said] = report.warnings.iter().filter(|line| line.contains("word: ")).collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert_eq!(*said, format!("without any word: 1 caption: {} {:?}", report.wordless[0].id, report.wordless[0].text));
    // Words at least twice in train: a, dog. Test has "a cat sits": 2 of 3 unknown.
    assert_eq!(report.vocabulary, 2);
    assert_eq!(report.splits[2].unknown_words, UnknownWords { words: 3, unknown: 2 });
    assert_eq!(report.unreadable.len(), 1, "a header does not tell that data are missing: {:?}", report.unreadable);
    assert!(report.unreadable[0].reason.contains("text beginning \"not an image\""));
    let leaks: Vec<_> = report.leaks().collect();
    assert_eq!(leaks[0].images, ["a.png", "copy.png"]);
    assert_eq!(leaks[0].splits, [Split::Train, Split::Test]);
    assert_eq!(report.repeated_captions, [RepeatedCaption { text: "a dog".into(), images: 3 }]);
    assert_eq!(report.sizes, Some([(2, 2), (10, 2)]));
    assert_eq!(report.fatal, [] as [&str; 0]);
    let text = report.to_string();
    for part in [
        "train         2         3",
        "warning: 1 image cannot",
        "a.png = copy.png (train, test)",
        "longer than 2 words: 2 captions",
        "ready to train",
    ] {
        assert!(text.contains(part), "{part:?} not in\n{text}");
    }
    let strict = check(&data, &CheckOptions { strict: true, ..options.clone() }, &()).unwrap();
    // Unreadable, skipped, in two splits, too long.
    assert_eq!(strict.fatal.len(), 4, "{:?}", strict.fatal);
    assert!(strict.to_string().ends_with("not ready to train: see fatal above"));
    assert!(serde_json::to_string(&report).unwrap().contains("\"fatal\":["));

    let closely = check(&data, &CheckOptions { decode_pixels: true, ..options }, &()).unwrap();
    assert_eq!(closely.unreadable.len(), 2, "{:?}", closely.unreadable);
}

#[test]
fn a_healthy_set_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for (at, split) in ["train", "train", "val", "test"].iter().enumerate() {
        fs::write(folder.path().join(format!("{at}.png")), png(at as u8)).unwrap();
        lines += &format!("{{\"image\":\"{at}.png\",\"caption\":\"image {at}\",\"split\":\"{split}\"}}\n");
    }
    let report =
        check(&open(folder.path(), &lines), &CheckOptions { min_count: 1, ..CheckOptions::default() }, &()).unwrap();
    assert!(report.fatal.is_empty() && report.unreadable.is_empty() && report.duplicates.is_empty());
    assert!(report.to_string().ends_with("ready to train"));
}

/// The check, training and evaluation ask the same of a dataset.
#[test]
fn a_split_that_lacks_images_is_fatal_for_what_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), png(1)).unwrap();
    fs::write(folder.path().join("b.png"), png(2)).unwrap();
    fs::write(folder.path().join("c.png"), "not an image").unwrap();
    let line = |name: &str, split: &str| {
        format!("{{\"image\":\"{name}.png\",\"captions\":[\"x\",\"x\"],\"split\":\"{split}\"}}\n")
    };
    let data = open(folder.path(), &(line("a", "val") + &line("b", "val") + &line("c", "test")));
    let judged = |purpose| check(&data, &CheckOptions { purpose, ..CheckOptions::default() }, &()).unwrap();
    let report = judged(Purpose::Train);
    assert_eq!(report.fatal, ["no train image: training needs at least 2"]);
    assert!(data.require(Purpose::Train).is_err());
    assert!(judged(Purpose::Evaluate(Split::Val)).to_string().ends_with("ready to evaluate on val"));
    assert!(judged(Purpose::Index).fatal.is_empty());
    // The only image of test cannot be read.
    assert_eq!(judged(Purpose::Evaluate(Split::Test)).fatal, ["no test image: evaluation needs at least 1"]);
    assert_eq!(report.equal_within, EqualCaptions { images: 3, example: Some(("a.png".into(), "x".into())) });
    assert!(report.to_string().contains("equal captions of one image: under 3 images"), "{report}");
}

#[test]
fn a_check_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), png(1)).unwrap();
    let data = open(folder.path(), r#"{"image":"a.png","caption":"a"}"#);
    let stop = std::sync::atomic::AtomicBool::new(true);
    let error = check(&data, &CheckOptions::default(), &stop).unwrap_err();
    assert_eq!(error.kind(), gxn_base::Kind::Interrupted);
}
