//! Image formats that are not decoded here, and datasets in archives.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::fixture::{Ran, command, data, gxn, paper, patch, text, works};
use crate::snapshots::seen;

/// What a telephone's photo begins with; the program reads no more of it.
const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0";

/// Two photos that need a command and one that does not.
fn photos(folder: &Path) -> PathBuf {
    let photos = folder.join("photos");
    fs::create_dir_all(&photos).unwrap();
    patch([220, 30, 30], 0).save(photos.join("red.png")).unwrap();
    for (name, number) in [("phone.heic", 1), ("camera.CR2", 2)] {
        fs::write(photos.join(name), [HEIC, &[number]].concat()).unwrap();
    }
    photos
}

/// A command that makes a green image of anything, and writes a line for each call.
fn decoder(folder: &Path) -> String {
    let (script, image, calls) = (folder.join("decode.sh"), folder.join("green.png"), folder.join("calls"));
    patch([30, 200, 40], 3).save(&image).unwrap();
    let body = format!("#!/bin/sh\necho call >> {}\ncp {} \"$2.png\"\n", text(&calls), text(&image));
    fs::write(&script, body).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{} {{in}} {{out}}", text(&script))
}

/// Runs `gxn ARGS` with a cache folder of its own.
fn run(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(command(args).env("XDG_CACHE_HOME", folder.join("cache")).output().unwrap())
}

#[test]
fn an_index_counts_them_and_a_command_makes_them_usable() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, decode) = (photos(folder.path()), decoder(folder.path()));
    let (dir, model) = (text(&photos), text(&paper().folder));
    let without = run(folder.path(), &["index", dir, "--model", model]);
    assert_eq!(without.code, 0, "{without:?}");
    seen!(without.stderr);
    let with = run(folder.path(), &["index", dir, "--decode-cmd", &decode]);
    assert_eq!(with.code, 0, "{with:?}");
    assert!(!with.stderr.contains("skipped"), "{with:?}");
    let calls = || fs::read_to_string(folder.path().join("calls")).unwrap().lines().count();
    assert_eq!(calls(), 2);
    let found = works(["search", "green", dir, "-f", "--top", "3"]).stdout;
    assert_eq!(found.lines().count(), 3, "{found}");
    // The command is never stored: without it the index keeps what it cannot see.
    fs::write(photos.join("phone.heic"), [HEIC, &[9, 9]].concat()).unwrap();
    let again = run(folder.path(), &["index", dir]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(works(["search", "green", dir, "-f", "--top", "3"]).stdout, found);
    // An image as the query.
    let query = text(&photos.join("camera.CR2")).to_owned();
    let refused = run(folder.path(), &["search", &query, "-C", dir]);
    assert_eq!(refused.code, 1);
    seen!(refused.stderr);
    let searched = run(folder.path(), &["search", &query, "-C", dir, "--decode-cmd", &decode]);
    assert_eq!((searched.code, searched.stdout.lines().count()), (0, 3), "{searched:?}");
    assert_eq!(calls(), 2, "the result of the index is used again");
}

#[test]
fn a_check_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, decode) = (photos(folder.path()), decoder(folder.path()));
    for name in ["red", "phone", "camera"] {
        fs::write(photos.join(format!("{name}.txt")), format!("the photo {name}")).unwrap();
    }
    let without = run(folder.path(), &["data", "check", text(&photos)]);
    seen!(format!("{}{}", without.stdout, without.stderr));
    let with = run(folder.path(), &["data", "check", text(&photos), "--full", "--decode-cmd", &decode]);
    assert!(!with.stdout.contains("cannot be read") && !with.stderr.contains("hint"), "{with:?}");
    let out = folder.path().join("copied");
    let args =
        ["data", "convert", text(&photos), text(&out), "--to", "jsonl", "--copy-images", "--decode-cmd", &decode];
    assert_eq!(run(folder.path(), &args).code, 0);
    let names: Vec<_> = fs::read_to_string(out.join("captions.jsonl")).unwrap().lines().map(str::to_owned).collect();
    assert!(names.iter().any(|line| line.contains("images/phone.heic.png")), "{names:?}");
    let wrong = gxn(["data", "check", text(&photos), "--decode-cmd", "no-such-program {in} {out}.png"]);
    assert_eq!(wrong.code, 2);
    seen!(wrong.stderr);
}

#[test]
fn a_dataset_as_parquet_is_evaluated_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shards");
    works(["data", "convert", text(data()), text(&out), "--to", "parquet", "--copy-images"]);
    let checked = works(["data", "check", text(&out), "--full"]);
    seen!(checked.stdout);
    let metrics = |source: &Path| {
        let ran = works(["evaluate", text(&paper().folder), text(source), "--split", "train", "--format", "json"]);
        ran.json()["metrics"]["rsum"].clone()
    };
    assert_eq!(metrics(&out), metrics(data()));
    let index = folder.path().join("index");
    works(["index", text(&out), "--model", text(&paper().folder), "--index", text(&index)]);
    let found = works(["search", "red", "--index", text(&index), "-f", "--top", "1"]).stdout;
    assert!(found.contains(".parquet#"), "{found}");
}
