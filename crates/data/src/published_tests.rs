//! Layouts in which datasets are published: COCO's two files, Kaggle's captions.txt, Conceptual Captions.

use proptest::prelude::*;
use tempfile::TempDir;

use crate::testing::folder;
use crate::{Dataset, Result, SourceOptions};

fn open(folder: &TempDir, name: &str) -> Result<Dataset> {
    let path = if name.is_empty() { folder.path().to_path_buf() } else { folder.path().join(name) };
    Dataset::open(&path, &SourceOptions::default())
}

fn pairs(data: &Dataset) -> Vec<String> {
    data.captions.iter().map(|c| format!("{}: {}", data.images[c.image].id, c.text)).collect()
}

fn coco(id: usize, file: &str) -> String {
    format!(
        r#"{{"images":[{{"id":{id},"file_name":"{file}"}}],"annotations":[{{"id":{id},"image_id":{id},"caption":"of {file}"}}]}}"#
    )
}

#[test]
fn coco_files_side_by_side() {
    let files = [
        ("annotations/captions_train2017.json", coco(1, "a.jpg")),
        ("annotations/captions_val2017.json", coco(2, "b.jpg")),
        ("annotations/instances_val2017.json", "{}".to_owned()),
        ("train2017/a.jpg", String::new()),
        ("val2017/b.jpg", String::new()),
    ];
    let folder = folder(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    for name in ["", "annotations"] {
        let data = open(&folder, name).unwrap();
        let lines: Vec<String> = data.images.iter().map(|image| format!("{} {}", image.id, image.split)).collect();
        assert_eq!(lines, ["1 train", "2 val"], "{name}");
        assert_eq!(pairs(&data), ["1: of a.jpg", "2: of b.jpg"]);
    }
    // One file alone gives no splits: the content of the images does.
    let one = self::folder(&[("annotations/captions_val2017.json", &coco(1, "a.jpg")), ("val2017/a.jpg", "")]);
    let data = open(&one, "").unwrap();
    assert!(data.images[0].content.is_some());
    // Numbered from one each: both are kept.
    std::fs::write(folder.path().join("annotations/captions_val2017.json"), coco(1, "b.jpg")).unwrap();
    assert_eq!(pairs(&open(&folder, "").unwrap()), ["1: of a.jpg", "captions_val2017:1: of b.jpg"]);
}

#[test]
fn kaggle_captions() {
    let text = "image,caption\na.jpg,A dog , a cat , and a cow .\na.jpg,Two\nb.jpg,\"A\" is a letter , it says .\n";
    let folder = folder(&[("captions.txt", text), ("Images/a.jpg", ""), ("Images/b.jpg", "")]);
    let data = open(&folder, "").unwrap();
    assert_eq!(pairs(&data)[..2], ["a.jpg: A dog , a cat , and a cow .", "a.jpg: Two"]);
    assert_eq!(data.captions.len(), 3);
}

#[test]
fn two_columns_without_header() {
    let tsv = "a dog , running\tx/a.jpg\nthe title\tx/b.jpg\nno tab here\nthree\tof\tthem\ngone\tx/c.jpg\n";
    let data = open(&folder(&[("Train_GCC.tsv", tsv), ("x/a.jpg", ""), ("x/b.jpg", "")]), "Train_GCC.tsv").unwrap();
    assert_eq!(data.format, "TSV without header");
    assert_eq!(pairs(&data), ["x/a.jpg: a dog , running", "x/b.jpg: the title"]);
    let dropped: Vec<_> = data.account.dropped.iter().map(|dropped| dropped.what.as_str()).collect();
    assert_eq!(dropped, ["line 3", "line 4", "x/c.jpg"]);
    let turned = open(&folder(&[("t.tsv", "a.jpg\ta dog\nb.jpg\ta cat\n"), ("a.jpg", ""), ("b.jpg", "")]), "").unwrap();
    assert_eq!(pairs(&turned), ["a.jpg: a dog", "b.jpg: a cat"]);
    let published =
        "a very typical bus station\thttp://lh6.example.com/a.jpg\nsierra looked stunning\thttps://b.example/c.jpg\n";
    let error = open(&folder(&[("Validation_GCC.tsv", published)]), "Validation_GCC.tsv").unwrap_err();
    assert!(error.to_string().contains("web addresses and no header"), "{error}");
    assert!(error.hint().unwrap().contains("nothing is downloaded"), "{error}");
}

proptest! {
    #![proptest_config(crate::testing::cases())]
    /// Every line of two cells is a pair or is counted.
    #[test]
    fn no_line_is_lost(lines in proptest::collection::vec("[a-c\t\"., ]{0,9}", 0..8)) {
        let text = format!("first\ta.jpg\n{}\n", lines.join("\n"));
        let rows = text.lines().filter(|line| !line.trim().is_empty()).count();
        let folder = folder(&[("t.tsv", &text), ("a.jpg", "")]);
        if let Ok(data) = open(&folder, "t.tsv") && data.format == "TSV without header" {
            prop_assert!(data.captions.len() + data.account.dropped.len() >= 1);
            prop_assert!(data.captions.len() <= rows);
        }
    }
}
