//! `gxn index` on files that changed without looking so, and on an index that is not what was written.

use std::path::{Path, PathBuf};

use crate::fixture::{gxn, paper, patch, text, works};
use crate::indexing::indexed_photos;
use crate::snapshots::{refused, seen};

/// Two images of equal size and time: bitmaps of one colour.
fn twins(folder: &Path) -> PathBuf {
    let photos = folder.join("photos");
    std::fs::create_dir(&photos).unwrap();
    for (name, colour) in [("a.bmp", [220, 30, 30]), ("b.bmp", [40, 60, 220])] {
        image::RgbImage::from_pixel(32, 32, image::Rgb(colour)).save(photos.join(name)).unwrap();
        set_time(&photos.join(name));
    }
    photos
}

fn set_time(path: &Path) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_704_067_200);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

fn exchange(a: &Path, b: &Path) {
    let third = a.with_extension("x");
    for (from, to) in [(a, &third), (b, &a.to_path_buf()), (third.as_path(), &b.to_path_buf())] {
        std::fs::rename(from, to).unwrap();
    }
}

/// The best hit for the image itself.
fn first(photos: &Path, name: &str) -> String {
    let hits = works(["search", text(&photos.join(name)), "-C", text(photos), "--format", "jsonl"]).json_lines();
    hits[0]["id"].as_str().unwrap().to_owned()
}

#[cfg(unix)]
#[test]
fn files_that_exchange_their_names_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let photos = twins(folder.path());
    let model = text(&paper().folder);
    works(["index", text(&photos), "--model", model]);
    assert!(works(["index", text(&photos)]).stderr.contains("(2 unchanged)"));
    exchange(&photos.join("a.bmp"), &photos.join("b.bmp"));
    let ran = works(["index", text(&photos)]).stderr;
    assert!(!ran.contains("2 unchanged"), "{ran}");
    assert_eq!([first(&photos, "a.bmp"), first(&photos, "b.bmp")], ["a.bmp", "b.bmp"]);
    works(["index", "verify", text(&photos)]);
    // So is new content in the place of the old one, with its size and time.
    let bytes = std::fs::read(photos.join("b.bmp")).unwrap();
    std::fs::write(photos.join("a.bmp"), bytes).unwrap();
    set_time(&photos.join("a.bmp"));
    assert!(works(["index", text(&photos)]).stderr.contains("1 copied or moved"));
}

/// A file system without inodes and times of change cannot tell: an index of version 2 holds neither.
#[test]
fn every_file_is_read_again_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let photos = twins(folder.path());
    let model = text(&paper().folder);
    works(["index", text(&photos), "--model", model]);
    let all = works(["index", text(&photos), "--reread"]).stderr;
    assert!(all.contains("indexed 2 images (2 unchanged)"), "the content decides: {all}");
    assert!(!works(["index", text(&photos)]).stderr.contains("--reread"), "it is not stored");
    let same = works(["index", "reindex", text(&photos), "--model", model]).stderr;
    assert!(same.contains("indexed 2 images (2 unchanged)"), "{same}");
}

#[test]
fn one_flipped_bit_costs_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let segments = photos.join(".gxn/segments");
    let rows = || std::fs::read_dir(&segments).unwrap().next().unwrap().unwrap().path();
    let before = works(["search", "red", text(&photos), "--top", "99"]).stdout;
    let flip = |at: usize| {
        let mut bytes = std::fs::read(rows()).unwrap();
        bytes[at] ^= 1;
        std::fs::write(rows(), bytes).unwrap();
    };
    flip(128 + 3);
    let found = refused!(["index", "verify", text(&photos)]);
    assert!(found.stderr.contains("gxn index repair INDEX"), "{}", found.stderr);
    // A refresh trusts the rows that it has.
    assert!(works(["index", text(&photos)]).stderr.contains("24 unchanged"));
    let repaired = works(["index", "repair", text(&photos)]).stderr;
    assert!(repaired.contains("indexed 24 images (23 unchanged, 1 encoded)"), "{repaired}");
    seen!(repaired);
    works(["index", "verify", text(&photos)]);
    assert_eq!(works(["search", "red", text(&photos), "--top", "99"]).stdout, before);
    // The header costs none.
    flip(40);
    assert_eq!(gxn(["index", "verify", text(&photos)]).code, 1);
    let repaired = works(["index", "repair", "--index", text(&photos)]).stderr;
    assert!(repaired.contains("indexed 24 images (24 unchanged)"), "{repaired}");
    works(["index", "verify", text(&photos)]);
    // What is damaged and cannot be read any more stays damaged, and is named.
    flip(128 + 3);
    let damaged = works(["search", "red", text(&photos), "--top", "99", "--format", "jsonl"]).json_lines();
    for hit in damaged {
        std::fs::write(hit["path"].as_str().unwrap(), "text").unwrap();
    }
    let kept = gxn(["index", "repair", text(&photos)]);
    assert_eq!(kept.code, 1, "{kept:?}");
    assert!(kept.stderr.contains("skipped: 24") && kept.stderr.contains("checksum of row"), "{}", kept.stderr);
    assert_eq!(works(["search", "red", text(&photos), "--top", "99", "-f"]).lines().len(), 24);
}

/// A table that cannot be read any more leaves a stray text, and the folder reads as another dataset.
#[test]
fn a_dataset_that_is_read_as_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    std::fs::create_dir(&set).unwrap();
    let mut table = String::from("image,caption\n");
    for at in 0..4 {
        patch([200, 9, at], usize::from(at)).save(set.join(format!("{at}.png"))).unwrap();
        table += &format!("{at}.png,number {at}\n");
    }
    std::fs::write(set.join("captions.csv"), &table).unwrap();
    works(["index", text(&set), "--model", text(&paper().folder)]);
    // The same sentences as pairs of files.
    std::fs::remove_file(set.join("captions.csv")).unwrap();
    (0..4).for_each(|at| std::fs::write(set.join(format!("{at}.txt")), format!("number {at}\n")).unwrap());
    refused!(["index", text(&set)]);
    assert_eq!(works(["search", "red", text(&set), "-f", "--target", "text"]).lines().len(), 4);
    let taken = works(["index", text(&set), "--other-source"]).stderr;
    assert!(taken.contains("indexed 4 images (4 unchanged) and 4 captions"), "{taken}");
    works(["index", text(&set)]);
}

/// A row whose split is misspelt names an image that is still there.
#[test]
fn what_a_table_lists_and_cannot_use_stays() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("t.csv");
    for at in 0..3 {
        patch([200, 9, at], usize::from(at)).save(folder.path().join(format!("{at}.png"))).unwrap();
    }
    let write = |splits: [&str; 3]| {
        let rows = splits.iter().enumerate().map(|(at, split)| format!("{at}.png,number {at},{split}\n"));
        std::fs::write(&table, format!("image,caption,split\n{}", rows.collect::<String>())).unwrap();
    };
    write(["train", "val", "test"]);
    works(["index", text(&table), "--model", text(&paper().folder)]);
    write(["train", "vla", "test"]);
    let ran = works(["index", text(&table)]).stderr;
    assert!(ran.contains("indexed 3 images (2 unchanged) and 3 captions"), "{ran}");
    assert!(ran.contains("1 image could not be read, nothing changed there: 1.png"), "{ran}");
    assert_eq!(works(["search", "red", text(&table), "-f", "--target", "text"]).lines().len(), 3);
    // A row that is gone is gone.
    std::fs::write(&table, "image,caption,split\n0.png,number 0,train\n2.png,number 2,test\n").unwrap();
    assert!(works(["index", text(&table)]).stderr.contains("1 removed"));
}
