//! `gxn index` and `gxn info`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fixture::{command, copy, cosine, data, gxn_in, paper, patch, refused, text, works};

/// A folder with the tiny data set's pictures, its index made with the paper run.
pub fn indexed_photos(folder: &Path) -> PathBuf {
    let photos = folder.join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    works(["index", text(&photos), "--model", text(&paper().folder)]);
    photos
}

#[test]
fn a_folder_is_indexed_and_refreshed() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    let args = ["index", text(&photos), "--model", text(&paper().folder)];
    let first = works(args);
    assert_eq!(first.stdout, format!("{}\n", photos.join(".gxn").display()));
    assert!(first.stderr.contains("indexed 24 images (0 unchanged) and 0 captions"), "{}", first.stderr);
    let query = ["search", "red", text(&photos), "--format", "jsonl", "--top", "30"];
    let before = works(query).stdout;
    assert!(works(args).stderr.contains("indexed 24 images (24 unchanged)"));
    assert_eq!(works(query).stdout, before, "unchanged pictures keep their scores");

    // One new in a subfolder, one renamed, one gone, one hidden, one in a folder that is passed over.
    std::fs::create_dir_all(photos.join("more/skipped")).unwrap();
    patch([200, 100, 0], 1).save(photos.join("more/orange.png")).unwrap();
    patch([200, 100, 1], 1).save(photos.join("more/skipped/x.png")).unwrap();
    patch([200, 100, 2], 1).save(photos.join(".hidden.png")).unwrap();
    std::fs::rename(photos.join("red_0.png"), photos.join("renamed.png")).unwrap();
    std::fs::remove_file(photos.join("blue_1.png")).unwrap();
    let again = works([&args[..], &["--exclude-dir", "skipped"]].concat());
    assert!(again.stderr.contains("indexed 24 images (23 unchanged)"), "{}", again.stderr);
    let paths = works(["search", "x", text(&photos), "-f", "--top", "30"]).stdout;
    assert!(paths.contains("more/orange.png") && paths.contains("renamed.png") && !paths.contains("red_0.png"));
    let hidden = works([&args[..], &["--include-hidden"]].concat());
    assert!(hidden.stderr.contains("indexed 26 images (24 unchanged)"), "{}", hidden.stderr);
}

#[test]
fn a_data_set_is_indexed_with_its_captions_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let ran = works(["index", text(data()), "--model", text(&paper().folder), "--index", text(&index)]);
    assert_eq!(ran.stdout.trim(), text(&index));
    assert!(ran.stderr.contains("indexed 24 images (0 unchanged) and 48 captions"), "{}", ran.stderr);
    let facts = works(["info", text(&index), "--format", "json"]).json();
    assert_eq!((facts["images"].as_u64(), facts["captions"].as_u64()), (Some(24), Some(48)));
}

/// Pictures some of which have a text beside them: what is left out is said, and how to have it all.
#[test]
fn pictures_without_captions_are_named_when_a_folder_is_read_as_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    std::fs::write(photos.join("red_0.txt"), "a red patch\n").unwrap();
    let args = ["index", text(&photos), "--model", text(&paper().folder)];
    let ran = works(args);
    assert!(ran.stderr.contains("left out: 23") && ran.stderr.contains("note: --pictures indexes"), "{}", ran.stderr);
    assert!(works([&args[..], &["--pictures"]].concat()).stderr.contains("indexed 24 images"));
}

#[test]
fn info_describes_runs_checkpoints_and_indices() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let run = &paper().folder;
    let of_run = works(["info", text(run), "--format", "json"]).json();
    let of_checkpoint = works(["info", text(&run.join("best")), "--format", "json"]).json();
    assert_eq!(of_run["kind"], "checkpoint");
    assert_eq!(of_run["fingerprint"], of_checkpoint["fingerprint"]);
    assert_eq!((of_run["embed_dim"].as_u64(), of_run["similarity"].as_str()), (Some(16), Some("order")));
    assert_eq!(of_run["card"]["train_captions"], 32);
    assert!(of_run["card"]["licence_note"].as_str().unwrap().contains("terms"));
    for path in [photos.clone(), photos.join(".gxn")] {
        let of_index = works(["info", text(&path), "--format", "json"]).json();
        assert_eq!((of_index["kind"].as_str(), of_index["images"].as_u64()), (Some("index"), Some(24)));
        assert_eq!(of_index["model"], of_run["fingerprint"]);
    }
    let relative = gxn_in(folder.path(), ["info", "photos"]);
    assert!(relative.code == 0 && relative.stdout.contains("kind: index\n"), "{relative:?}");
    assert!(works(["info", text(run)]).stdout.contains("kind: checkpoint\n"));
    refused(["info", text(folder.path())], &["a folder without meta.json", "a checkpoint or a run with one", "hint: "]);
    refused(["info", "nowhere"], &["found nothing"]);
}

#[test]
fn an_index_refuses_a_foreign_model_until_it_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let other = text(&cosine().folder);
    let hint = "hint: use the model that made the index, or index the pictures again with this one";
    refused(["search", "red", text(&photos), "--model", other], &["model for the index", "which made it", hint]);
    let again = works(["index", text(&photos), "--model", other]);
    assert!(again.stderr.contains("(0 unchanged)"), "embeddings of another model are not taken over: {}", again.stderr);
    works(["search", "red", text(&photos), "--model", other]);
}

#[test]
fn nothing_to_index_is_an_error_that_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let model = text(&paper().folder);
    refused(["index", text(&empty), "--model", model], &["none among 0 files", "hint: hidden files"]);
    std::fs::write(empty.join("notes.md"), "text").unwrap();
    refused(["index", text(&empty), "--model", model], &["none among 1 files"]);
    std::fs::write(empty.join("text.jpg"), "not a picture").unwrap();
    refused(["index", text(&empty), "--model", model], &["none of them readable", "text.jpg", "text beginning"]);
    assert!(!empty.join(".gxn").exists());
    refused(["index", text(&folder.path().join("gone")), "--model", model], &["cannot open the data", "gone"]);
    refused(
        ["index", text(&empty), "--model", text(&empty)],
        &["a checkpoint or a run with one", "hint: `gxn train` writes runs"],
    );
    refused(["index", text(&empty), "--model", "gone"], &["gone: found nothing"]);
}

#[test]
fn an_interrupted_index_leaves_nothing_and_ends_with_130() {
    use std::io::{BufRead, BufReader, Read};
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    // One picture under many names: quickly made, slowly looked at.
    image::RgbImage::from_pixel(1600, 1200, image::Rgb([9, 90, 200])).save(photos.join("0.png")).unwrap();
    (1..600).for_each(|at| std::fs::hard_link(photos.join("0.png"), photos.join(format!("{at}.png"))).unwrap());
    let mut child = command(["index", text(&photos), "--model", text(&paper().folder)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("indexing 64/600") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended too early: {said}");
    }
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
    stderr.read_to_string(&mut said).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(130), 0), "{said}");
    assert!(said.ends_with("interrupted\n"), "{said}");
    assert!(!photos.join(".gxn").exists());
}
