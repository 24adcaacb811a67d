//! `gxn index`, called again: nothing leaves an index because of what a call does not say or cannot see.

use std::path::{Path, PathBuf};

use crate::fixture::{copy, data, gxn, paper, patch, text, works};
use crate::indexing::indexed_photos;
use crate::snapshots::{refused, seen};

fn listed(index: &Path) -> Vec<String> {
    let hits = works(["search", "red", "--index", text(index), "--format", "jsonl", "--top", "99"]).json_lines();
    let mut ids: Vec<String> = hits.iter().map(|hit| hit["id"].as_str().unwrap().to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn options_hold_until_others_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    patch([200, 100, 2], 1).save(photos.join(".hidden.png")).unwrap();
    std::fs::create_dir(photos.join("more")).unwrap();
    patch([200, 100, 1], 1).save(photos.join("more/x.png")).unwrap();
    let args = ["index", text(&photos), "--model", text(&paper().folder)];
    let first = works([&args[..], &["--include-hidden"]].concat());
    assert!(!first.stderr.contains("as before"), "{}", first.stderr);
    seen!(first.stderr);
    let again = works(args).stderr;
    seen!(again);
    let less = works([&args[..], &["--exclude-dir", "more"]].concat()).stderr;
    seen!(less);
    let again = works(args).stderr;
    seen!(again);
    // To begin without them is said.
    let again = works([&args[..], &["--other-source"]].concat()).stderr;
    seen!(again);
    assert!(!works(args).stderr.contains("as before"));
}

/// A folder with a text beside each of three images, and the index of that dataset.
fn indexed_pairs(folder: &Path) -> (PathBuf, PathBuf) {
    let pairs = folder.join("pairs");
    std::fs::create_dir(&pairs).unwrap();
    for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
        patch([250 - at as u8, 10, 10], at).save(pairs.join(format!("{name}.png"))).unwrap();
        std::fs::write(pairs.join(format!("{name}.txt")), format!("picture {name}\n")).unwrap();
    }
    works(["index", text(&pairs), "--model", text(&paper().folder)]);
    (pairs.clone(), pairs.join(".gxn"))
}

#[test]
fn a_dataset_that_is_none_any_more_keeps_its_captions() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, _) = indexed_pairs(folder.path());
    for name in ["one.csv", "two.csv"] {
        std::fs::write(pairs.join(name), "image,caption\na.png,x\n").unwrap();
    }
    refused!(["index", text(&pairs)]);
    refused!(["index", text(&pairs), "--images-only"]);
    assert_eq!(works(["search", "red", text(&pairs), "--target", "text"]).lines().len(), 3);
    let taken = works(["index", text(&pairs), "--other-source"]).stderr;
    seen!(taken);
}

#[test]
fn a_text_beside_a_photo_does_not_make_a_dataset_of_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    std::fs::write(photos.join("red_0.txt"), "a red patch\n").unwrap();
    refused!(["index", text(&photos)]);
    assert_eq!(listed(&photos.join(".gxn")).len(), 24);
    assert!(works(["index", text(&photos), "--images-only"]).stderr.contains("indexed 24 images (24 unchanged)"));
    // That is stored too.
    assert!(works(["index", text(&photos)]).stderr.contains("indexed 24 images (24 unchanged)"));
    let taken = works(["index", text(&photos), "--other-source"]).stderr;
    seen!(taken);
}

/// A folder on another disk, which is away for a while: of plain images, of pairs, of a table.
#[cfg(unix)]
#[test]
fn what_lies_on_a_disk_that_is_away_stays() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    patch([1, 2, 250], 0).save(disk.join("far.png")).unwrap();
    std::fs::write(disk.join("far.txt"), "far away\n").unwrap();
    let away = folder.path().join("away");
    let model = text(&paper().folder);

    let (pairs, of_pairs) = indexed_pairs(folder.path());
    symlink(&disk, pairs.join("disk")).unwrap();
    let photos = indexed_photos(folder.path());
    symlink(&disk, photos.join("disk")).unwrap();
    let of_photos = photos.join(".gxn");
    let (table, of_table) = (folder.path().join("set/t.csv"), folder.path().join("of-table"));
    // A table's images must lie below its folder, and so must what links lead to.
    let images = folder.path().join("set/images");
    copy(&disk, &images.join("store"));
    symlink("store", images.join("disk")).unwrap();
    patch([1, 250, 2], 0).save(folder.path().join("set/images/near.png")).unwrap();
    std::fs::write(&table, "image,caption\nnear.png,near\ndisk/far.png,far away\n").unwrap();
    let calls = [
        (vec!["index", text(&photos), "--images-only"], &of_photos, 25, "disk/far.png"),
        (vec!["index", text(&pairs)], &of_pairs, 4, "disk/far.png"),
        (vec!["index", text(&table), "--index", text(&of_table), "--model", model], &of_table, 2, "disk/far.png"),
    ];
    for (call, index, images, _) in &calls {
        let ran = works(call).stderr;
        seen!(ran);
        assert_eq!(listed(index).len(), *images);
    }
    let stores = [(disk.clone(), away), (images.join("store"), folder.path().join("away-too"))];
    stores.iter().for_each(|(here, away)| std::fs::rename(here, away).unwrap());
    for (call, index, _, far) in &calls {
        let ran = works(call).stderr;
        seen!(ran);
        assert!(!ran.contains("removed"), "{ran}");
        assert!(listed(index).contains(&far.to_string()));
    }
    stores.iter().for_each(|(here, away)| std::fs::rename(away, here).unwrap());
    for (call, ..) in &calls {
        let ran = works(call).stderr;
        seen!(ran);
    }
    // What the folder no longer has, though it can be encoded, is gone.
    stores.iter().for_each(|(here, _)| std::fs::remove_file(here.join("far.png")).unwrap());
    for (call, index, images, far) in &calls {
        assert!(works(call).stderr.contains("1 removed)"));
        assert!(listed(index).len() == images - 1 && !listed(index).contains(&far.to_string()));
    }
}

/// Shards are merged into what is theirs, and nothing is deleted for a shard that is not named.
#[test]
fn a_merge_checks_its_target_and_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    for shard in ["1/2", "2/2"] {
        works(["index", text(&photos), "--model", text(&paper().folder), "--shard", shard]);
    }
    let parts = ["1", "2"].map(|number| photos.join(format!(".gxn-shard-{number}-of-2")));
    let other = folder.path().join("other");
    copy(&data().parent().unwrap().join("images"), &other);
    patch([7, 7, 250], 1).save(other.join("own.png")).unwrap();
    works(["index", text(&other), "--model", text(&paper().folder)]);
    let target = other.join(".gxn");
    refused!(["index", "merge", text(&target), text(&parts[0]), text(&parts[1])]);
    assert_eq!(listed(&target).len(), 25);
    let own = photos.join(".gxn");
    refused!(["index", "merge", text(&own), text(&parts[1]), "--only-parts"]);
    assert_eq!(listed(&own).len(), 24);
    works(["index", "merge", text(&own), text(&parts[0]), text(&parts[1]), "--only-parts"]);
    assert!(works(["index", text(&photos)]).stderr.contains("indexed 24 images (24 unchanged)"));
    refused!(["index", "merge", text(&own), text(&folder.path().join("gone"))]);
}

#[test]
fn a_folder_without_an_index_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for command in ["info", "verify", "compact"] {
        refused!(["index", command, text(&photos)]);
        refused!(["index", command, text(&photos.join("x"))]);
    }
    std::fs::create_dir(photos.join(".gxn")).unwrap();
    std::fs::write(photos.join(".gxn/catalogue.redb"), "").unwrap();
    refused!(["index", "verify", text(&photos)]);
}

#[test]
fn info_tells_what_an_index_is_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path()).canonicalize().unwrap();
    std::fs::remove_file(photos.join("red_0.png")).unwrap();
    works(["index", text(&photos), "--exclude-dir", "x"]);
    let facts = works(["index", "info", text(&photos), "--format", "json"]).json();
    assert_eq!((facts["source"].as_str(), facts["dataset"].as_bool()), (Some(text(&photos)), Some(false)));
    assert_eq!((facts["rows"]["images"].as_u64(), facts["dead_rows"]["images"].as_u64()), (Some(23), Some(1)));
    assert_eq!(facts["rows_with_sketches"], serde_json::json!({"images": 0, "captions": 0}));
    assert_eq!(facts["options"]["excluded_folders"][0], "x");
    let bytes = facts["bytes"].as_u64().unwrap();
    assert!((24 * 64..10_000_000).contains(&bytes), "{bytes}");
    let text_form = works(["index", "info", text(&photos)]).stdout;
    assert!(!text_form.contains("shard"), "{text_form}");
    seen!(text_form);
    works(["index", text(&photos), "--shard", "1/2", "--model", text(&paper().folder)]);
    let shard = works(["info", text(&photos.join(".gxn-shard-1-of-2")), "--format", "json"]).json();
    assert_eq!(shard["shard"], "1/2");
}

/// A disk that is not mounted leaves an empty folder.
#[test]
fn what_was_in_an_empty_folder_stays_until_the_folder_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    std::fs::create_dir(photos.join("disk")).unwrap();
    patch([1, 2, 250], 0).save(photos.join("disk/far.png")).unwrap();
    let call = ["index", text(&photos), "--model", text(&paper().folder)];
    works(call);
    std::fs::remove_file(photos.join("disk/far.png")).unwrap();
    let kept = works(call).stderr;
    assert!(kept.contains("disk: an empty folder, where the index has 1 image, which stay"), "{kept}");
    assert!(!kept.contains("removed") && listed(&photos.join(".gxn")).contains(&"disk/far.png".to_owned()), "{kept}");
    assert_eq!(gxn([&call[..], &["--strict"]].concat()).code, 1);
    std::fs::remove_dir(photos.join("disk")).unwrap();
    assert!(works(call).stderr.contains("1 removed)"));
    // The user may also say so.
    std::fs::create_dir(photos.join("disk")).unwrap();
    std::fs::rename(photos.join("red_0.png"), photos.join("disk/red_0.png")).unwrap();
    works(call);
    std::fs::remove_file(photos.join("disk/red_0.png")).unwrap();
    assert!(works([&call[..], &["--other-source"]].concat()).stderr.contains("1 removed)"));
    // A source that is empty altogether has nothing to index.
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let ran = gxn(["index", text(&empty), "--index", text(&photos.join(".gxn")), "--other-source"]);
    assert!(ran.code == 1 && ran.stderr.contains("the folder is empty; if a disk belongs there, mount it"), "{ran:?}");
}
