//! The committed indexes of format versions 2 and 3 must open in every later build; version 1 is refused.

use gxn_index::{
    CaptionItem, FileIdentity, ImageItem, Index, IndexMeta, IndexSettings, IndexWriter, Modality, PartKind, QueryPart,
    Similarity, Space,
};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

pub fn committed(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Three images and four captions; all values are exact in f16.
pub fn write(dir: &Path, model: &str) -> Index {
    let similarity = Similarity::Order;
    let space = Space { similarity, lambda: 0.25, dims_abstract: 2, dims_grounded: 3 };
    let extra = json!({"model_path": "runs/demo/best"}).as_object().unwrap().clone();
    let mut writer = IndexWriter::create(dir, IndexSettings { model: model.into(), space, extra }).unwrap();
    let images = [[1.0, 0.0, 0.5, 0.5, 0.25], [0.0, 1.0, 0.25, 0.75, 0.5], [0.5, 0.5, 0.0, 0.0, 1.0]];
    let captions =
        [("a", "un café", [1.0, 0.25, 0.5, 0.5, 0.25]), ("a", "a \"quoted\"\nline", [0.75, 0.0, 0.5, 0.25, 0.0])];
    let captions = captions
        .into_iter()
        .chain([("b", "two dogs", [0.0, 1.0, 0.5, 0.75, 0.5]), ("c", "", [0.5, 0.5, 0.0, 0.0, 0.5])]);
    for (number, (image_id, text, embedding)) in captions.enumerate() {
        let item = CaptionItem { id: format!("{image_id}#{number}"), image_id: image_id.into(), text: text.into() };
        writer.put_caption(&item, &embedding).unwrap();
    }
    for (id, embedding) in ["a", "b", "c"].into_iter().zip(images) {
        let meta = json!({"camera": "none"}).as_object().unwrap().clone();
        let sha256 = id.repeat(64);
        let (path, size, mtime_unix_ms) = (format!("{id}.jpg"), 1000, 1_700_000_000_000);
        let file = FileIdentity { mtime_nanos: 123_456_789, ctime_unix_ns: 1_700_000_001_000_000_000, inode: 7 };
        let (id, file) = (id.into(), Some(file));
        let item = ImageItem { id, path, sha256, size, mtime_unix_ms, file, width: 640, height: 480, meta };
        writer.put_image(&item, &embedding).unwrap();
    }
    writer.finish().unwrap()
}

/// Writes the committed one: `cargo test --release -p gxn-index -- --ignored write_version_3`.
#[test]
#[ignore = "writes the committed fixture"]
fn write_version_3() {
    let dir = committed("v3");
    let _ = fs::remove_dir_all(&dir);
    drop(write(&dir, "fixture-model"));
    fs::remove_file(dir.join("lock")).unwrap();
}

#[test]
fn version_1_is_refused_and_can_be_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    copy(&committed("v1"), &dir);
    for error in [Index::open(&dir).unwrap_err(), IndexMeta::read(&dir).unwrap_err()] {
        assert!(error.to_string().ends_with("meta.json: found 1, expected 2 to 3"), "{error}");
        assert_eq!(error.remedy(), Some(&gxn_index::Remedy::IndexAgain));
    }
    let index = write(&dir, "new");
    index.verify().unwrap();
    assert_eq!(index.count(Modality::Image), 3);
    assert!(!dir.join("generation-1").exists());
}

#[test]
fn versions_2_and_3_open() {
    for version in ["v2", "v3"] {
        // Opening may repair, so a copy.
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("index");
        copy(&committed(version), &dir);
        opens(&dir);
        let index = Index::open(&dir).unwrap();
        let known = index.image(2).unwrap().file;
        let written = FileIdentity { mtime_nanos: 123_456_789, ctime_unix_ns: 1_700_000_001_000_000_000, inode: 7 };
        assert_eq!(known, (version == "v3").then_some(written));
        // A writer brings it to the version of today, and changes nothing else.
        let meta = index.meta().clone();
        let settings = IndexSettings { model: meta.model, space: meta.space, extra: meta.extra };
        drop(IndexWriter::update(&dir, settings).unwrap());
        assert!(fs::read_to_string(dir.join("meta.json")).unwrap().contains("\"version\": 3"));
        opens(&dir);
    }
}

fn opens(dir: &Path) {
    let index = Index::open(dir).unwrap();
    index.verify().unwrap();
    index.require_model("fixture-model").unwrap();
    assert_eq!((index.count(Modality::Image), index.count(Modality::Text)), (3, 4));
    assert_eq!(index.meta().extra["model_path"], "runs/demo/best");
    assert_eq!(index.row(Modality::Image, 1).unwrap(), [0.0, 1.0, 0.25, 0.75, 0.5]);
    let c = index.image(2).unwrap();
    assert_eq!((c.path.as_str(), c.size, c.mtime_unix_ms, c.width), ("c.jpg", 1000, 1_700_000_000_000, 640));
    assert_eq!(c.meta["camera"], "none");
    assert_eq!(index.row_of_content(Modality::Image, &"b".repeat(64)).unwrap(), Some(1));
    assert_eq!(index.caption(1).unwrap().text, "a \"quoted\"\nline");
    assert_eq!(index.row_of(Modality::Text, "b#2").unwrap(), Some(2));

    // t = (0, 1 | 0.5, 0.75, 0.5) lies above image b, so its violation is 0. Image a: h 1² = 1, l 0 → −0.25.
    // Image c: h 0.5² = 0.25, l 0.5² = 0.25 → −0.25 · 0.25 − 0.75 · 0.25 = −0.25; the tie goes to the lower row.
    let vector = index.row(Modality::Text, 2).unwrap();
    let hits =
        index.search(&[QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }], Modality::Image, 9, 0);
    let hits = hits.unwrap();
    let found: Vec<_> = hits.iter().map(|h| (h.id.as_str(), h.score)).collect();
    assert_eq!(found, [("b", 0.0), ("a", -0.25), ("c", -0.25)]);
    assert_eq!((hits[2].parts.abstract_level, hits[2].parts.grounded_level), (-0.0625, -0.1875));
}

/// Older builds wrote 8-bit codes beside the rows: readers ignore them, a writer removes them.
#[test]
fn old_codes_are_ignored_and_removed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    copy(&committed("v2"), &dir);
    let codes = ["images-2.i8", "captions-1.i8"].map(|name| dir.join("segments").join(name));
    codes.iter().for_each(|path| fs::write(path, b"GXNCODE\0 and more").unwrap());
    let index = Index::open(&dir).unwrap();
    index.verify().unwrap();
    assert_eq!((index.count(Modality::Image), index.count(Modality::Text)), (3, 4));
    let meta = index.meta().clone();
    assert!(codes.iter().all(|path| path.exists()));
    let settings = IndexSettings { model: meta.model, space: meta.space, extra: meta.extra };
    let index = IndexWriter::update(&dir, settings).unwrap().finish().unwrap();
    assert_eq!((index.count(Modality::Image), index.count(Modality::Text)), (3, 4));
    assert!(!codes.iter().any(|path| path.exists()));
}
