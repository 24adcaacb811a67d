//! File names and captions with characters that terminals obey, and names that read alike.

use std::path::{Path, PathBuf};

use crate::fixture::{copy, data, paper, patch, text, works};
use crate::snapshots::seen;

fn photos(folder: &Path, names: &[&str]) -> PathBuf {
    let photos = folder.join("photos");
    std::fs::create_dir(&photos).unwrap();
    for (at, name) in names.iter().enumerate() {
        patch([200, 9, at as u8], at % 4).save(photos.join(name)).unwrap();
    }
    photos
}

#[cfg(unix)]
#[test]
fn control_characters_reach_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["new\nline.png", "\u{1b}[31mred.png", "tab\there.png", "\u{202e}gnp.evil.png", "\u{9b}1mbold.png"];
    let photos = photos(folder.path(), &names);
    std::fs::write(photos.join("no\u{7}image.png"), "text").unwrap();
    let ran = works(["index", text(&photos), "--model", text(&paper().folder)]);
    seen!(ran.stderr);
    let hits = works(["search", "red", text(&photos)]);
    assert_eq!(hits.lines().len(), names.len());
    let is_obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for shown in [&ran.stderr, &hits.stdout] {
        assert!(!shown.contains(is_obeyed), "{shown:?}");
    }
    assert!(hits.stdout.contains(r"/new\nline.png") && hits.stdout.contains(r"/\u{1b}[31mred.png"), "{}", hits.stdout);
    // Programs get the names as they are.
    let of_jsonl = works(["search", "red", text(&photos), "--format", "jsonl"]).json_lines();
    let mut paths: Vec<&str> = of_jsonl.iter().map(|hit| hit["path"].as_str().unwrap()).collect();
    let ended = works(["search", "red", text(&photos), "-0"]);
    assert_eq!(ended.stdout.split_terminator('\0').collect::<Vec<_>>(), paths);
    assert_eq!(ended.stderr, "");
    let real = photos.canonicalize().unwrap();
    let mut expected: Vec<String> = names.iter().map(|name| text(&real.join(name)).to_owned()).collect();
    paths.sort_unstable();
    expected.sort_unstable();
    assert_eq!(paths, expected);
    assert!(paths.iter().all(|path| Path::new(path).is_file()));
    let lines = works(["search", "red", text(&photos), "-f"]);
    assert_eq!(lines.stderr, "note: 1 path with a line break in it; --null (-0) ends each path with a zero byte\n");
    // Gone, and named.
    std::fs::remove_file(photos.join(names[1])).unwrap();
    let gone = works(["index", text(&photos)]);
    assert!(gone.stderr.contains(r"no longer has them: \u{1b}[31mred.png"), "{}", gone.stderr);
}

#[test]
fn control_characters_of_captions_are_escaped() {
    let folder = tempfile::tempdir().unwrap();
    patch([1, 2, 200], 0).save(folder.path().join("a.png")).unwrap();
    let table = folder.path().join("t.jsonl");
    std::fs::write(&table, r#"{"image":"a.png","captions":["a red\u001b]0;title\u0007 patch\nand more"]}"#).unwrap();
    works(["index", text(&table), "--model", text(&paper().folder)]);
    let hits = works(["search", "red", text(&table), "--target", "text"]).stdout;
    assert!(hits.ends_with("  a red\\u{1b}]0;title\\u{7} patch\\nand more\n"), "{hits}");
}

/// The file's name is as a system writes it that takes `é` apart; people type it as one character.
#[cfg(unix)]
#[test]
fn names_that_read_alike_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), &["cafe\u{301}.png", "other.png"]);
    copy(&data().parent().unwrap().join("images"), &photos.join("e\u{301}te\u{301}"));
    let model = text(&paper().folder);
    works(["index", text(&photos), "--model", model]);
    let count =
        |filter: &str| works(["search", "red", text(&photos), "-f", "-t", "99", "--where", filter]).lines().len();
    for name in ["caf\u{e9}", "cafe\u{301}"] {
        assert_eq!(count(&format!("name={name}.png")), 1);
        assert_eq!(count(&format!("id='{name}*'")), 1);
    }
    assert_eq!(count("folder=\u{e9}t\u{e9}"), 24);
    let without = works(["index", text(&photos), "--exclude-dir", "\u{e9}t\u{e9}"]).stderr;
    assert!(without.contains("indexed 2 images"), "{without}");
}
