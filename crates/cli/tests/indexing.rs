//! `gxn index` and `gxn info`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fixture::{command, copy, cosine, data, gxn, gxn_in, paper, patch, text, works};
use crate::snapshots::{refused, seen};

/// A folder with the tiny dataset's images, its index made with the paper run.
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
    seen!(first.stderr);
    let query = ["search", "red", text(&photos), "--format", "jsonl", "--top", "30"];
    let before = works(query).stdout;
    assert!(works(args).stderr.contains("indexed 24 images (24 unchanged)"));
    assert_eq!(works(query).stdout, before, "unchanged images keep their scores");

    // One new in a subfolder, one renamed, one gone, one hidden, one in a folder that is skipped.
    std::fs::create_dir_all(photos.join("more/skipped")).unwrap();
    patch([200, 100, 0], 1).save(photos.join("more/orange.png")).unwrap();
    patch([200, 100, 1], 1).save(photos.join("more/skipped/x.png")).unwrap();
    patch([200, 100, 2], 1).save(photos.join(".hidden.png")).unwrap();
    std::fs::rename(photos.join("red_0.png"), photos.join("renamed.png")).unwrap();
    std::fs::remove_file(photos.join("blue_1.png")).unwrap();
    let again = works([&args[..], &["--exclude-dir", "skipped"]].concat());
    let said = "indexed 24 images (22 unchanged, 1 encoded, 1 copied or moved, 1 removed)";
    assert!(again.stderr.contains(said), "{}", again.stderr);
    seen!(again.stderr);
    let paths = works(["search", "red", text(&photos), "-f", "--top", "30"]).stdout;
    assert!(!paths.contains("red_0.png"));
    // The order of a network that has hardly been trained depends on the processor.
    let mut paths: Vec<&str> = paths.lines().collect();
    paths.sort_unstable();
    seen!(paths.join("\n"));
    let hidden = works([&args[..], &["--include-hidden"]].concat());
    seen!(hidden.stderr);
}

#[test]
fn a_dataset_is_indexed_with_its_captions_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let ran = works(["index", text(data()), "--model", text(&paper().folder), "--index", text(&index)]);
    assert_eq!(ran.stdout.trim(), text(&index));
    seen!(ran.stderr);
    let facts = works(["info", text(&index), "--format", "json"]).json();
    assert_eq!((facts["images"].as_u64(), facts["captions"].as_u64()), (Some(24), Some(48)));
}

/// Images some of which have a text beside them: what is left out is reported, and how to have it all.
#[test]
fn images_without_captions_are_named_when_a_folder_is_read_as_a_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    std::fs::write(photos.join("red_0.txt"), "a red patch\n").unwrap();
    let args = ["index", text(&photos), "--model", text(&paper().folder)];
    let ran = works(args);
    seen!(ran.stderr);
    // The index of the dataset has another id for the same image.
    let all = works([&args[..], &["--images-only", "--other-source"]].concat());
    seen!(all.stderr);
}

#[test]
fn info_describes_runs_checkpoints_and_indexes() {
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
    assert!(relative.code == 0, "{relative:?}");
    seen!(relative.stdout);
    assert!(works(["info", text(run)]).stdout.contains("kind: checkpoint\n"));
    refused!(["info", text(folder.path())]);
    refused!(["info", "nowhere"]);
}

#[test]
fn an_index_refuses_a_foreign_model_until_it_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let other = text(&cosine().folder);
    refused!(["search", "red", text(&photos), "--model", other]);
    let before = works(["search", "red", text(&photos)]).stdout;
    let again = works(["index", "reindex", text(&photos), "--model", other]);
    seen!(again.stderr);
    assert_ne!(works(["search", "red", text(&photos), "--model", other]).stdout, before);
    // A refreshment goes on with the model that the index has now.
    assert!(works(["index", text(&photos)]).stderr.contains("indexed 24 images (24 unchanged)"));
}

#[test]
fn nothing_to_index_is_an_error_that_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let model = text(&paper().folder);
    refused!(["index", text(&empty), "--model", model]);
    std::fs::write(empty.join("notes.md"), "text").unwrap();
    refused!(["index", text(&empty), "--model", model]);
    std::fs::write(empty.join("text.jpg"), "not a picture").unwrap();
    refused!(["index", text(&empty), "--model", model]);
    assert!(!empty.join(".gxn").exists());
    refused!(["index", text(&folder.path().join("gone")), "--model", model]);
    refused!(["index", text(&empty), "--model", text(&empty)]);
    refused!(["index", text(&empty), "--model", "gone"]);
}

/// 600 images that look alike but differ in their bytes: what follows the end of a PNG is ignored.
fn many_photos(folder: &Path) -> PathBuf {
    let photos = folder.join("photos");
    std::fs::create_dir(&photos).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(1600, 1200, image::Rgb([9, 90, 200]));
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    for at in 0..600u32 {
        let mut own = bytes.get_ref().clone();
        own.extend(at.to_le_bytes());
        std::fs::write(photos.join(format!("{at}.png")), own).unwrap();
    }
    photos
}

#[test]
fn an_interrupted_index_goes_on_where_it_was() {
    use std::io::{BufRead, BufReader, Read};
    let folder = tempfile::tempdir().unwrap();
    let photos = many_photos(folder.path());
    let args = ["index", text(&photos), "--model", text(&paper().folder)];
    let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("note: indexing images without captions") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended too early: {said}");
    }
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
    stderr.read_to_string(&mut said).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(130), 0), "{said}");
    assert!(said.ends_with("interrupted; what was done is kept: run the same command again to continue\n"), "{said}");
    refused!(["index", "verify", text(&photos)]);
    // Half an index is none: nobody is told that the rest does not exist.
    refused!(["search", "red", text(&photos)]);
    let again = works(args).stderr;
    let unchanged: usize =
        again.split("indexed 600 images (").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((64..600).contains(&unchanged), "{again}");
    assert!(again.contains(&format!("{} encoded", 600 - unchanged)), "{again}");
    works(["index", "verify", text(&photos)]);
}

/// A file that can no longer be read, and one that was replaced by other data, stay in the index as they were.
#[test]
fn what_cannot_be_read_any_more_stays() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let listed = || {
        let mut paths: Vec<String> = works(["search", "red", text(&photos), "-f", "--top", "99"])
            .lines()
            .into_iter()
            .map(String::from)
            .collect();
        paths.sort();
        paths
    };
    let before = listed();
    std::fs::write(photos.join("red_0.png"), "cut off").unwrap();
    let ran = works(["index", text(&photos)]);
    seen!(ran.stderr);
    assert_eq!(listed(), before);
    // A source without any image is a disk that is not there: nothing is removed.
    let away = folder.path().join("away");
    std::fs::rename(&photos, &away).unwrap();
    std::fs::create_dir(&photos).unwrap();
    std::fs::rename(away.join(".gxn"), photos.join(".gxn")).unwrap();
    refused!(["index", text(&photos)]);
    assert_eq!(listed().len(), 24);
}

#[test]
fn an_index_takes_another_source_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let index = photos.join(".gxn");
    let args = ["index", text(data()), "--index", text(&index)];
    refused!(args);
    let taken = works([&args[..], &["--other-source"]].concat());
    // Ids are the same in both, and the images were copied with their times.
    seen!(taken.stderr);
    refused!(["index", text(&photos)]);
}

#[test]
fn captions_of_a_dataset_follow_their_file() {
    let folder = tempfile::tempdir().unwrap();
    copy(&data().parent().unwrap().join("images"), &folder.path().join("images"));
    let table = folder.path().join("captions.csv");
    let index = folder.path().join("index");
    let refresh = |rows: &str| {
        std::fs::write(&table, format!("image,caption\n{rows}")).unwrap();
        works([
            "index",
            text(&table),
            "--images",
            text(&folder.path().join("images")),
            "--index",
            text(&index),
            "--model",
            text(&paper().folder),
        ])
        .stderr
    };
    let first = refresh("red_0.png,a red patch\nred_1.png,a red patch\nblue_0.png,something blue\n");
    seen!(first);
    let again = refresh("red_0.png,a red patch\nred_1.png,a red patch\nblue_0.png,something blue\n");
    assert!(!again.contains("encoded"), "{again}");
    seen!(again);
    let less = refresh("red_0.png,a red patch\nblue_0.png,a blue patch\n");
    seen!(less);
    let texts = works(["search", "red", "--index", text(&index), "--target", "text", "--format", "jsonl"]).json_lines();
    let mut texts: Vec<&str> = texts.iter().map(|hit| hit["caption"].as_str().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["a blue patch", "a red patch"]);
    works(["index", "verify", text(&index)]);
}

/// A caption without a word would answer any query; a column may have the name of a field that every image has.
#[test]
fn captions_without_a_word_are_left_out_and_hidden_columns_named() {
    let folder = tempfile::tempdir().unwrap();
    copy(&data().parent().unwrap().join("images"), &folder.path().join("images"));
    let (table, index) = (folder.path().join("captions.csv"), folder.path().join("index"));
    let rows = "red_0.png,a red patch,XL\nred_0.png,👍,XL\nblue_0.png,something blue,S\n";
    std::fs::write(&table, format!("image,caption,size\n{rows}")).unwrap();
    let (images, model) = (folder.path().join("images"), &paper().folder);
    let args = ["index", text(&table), "--images", text(&images), "--index", text(&index), "--model", text(model)];
    let said = works(args).stderr;
    assert!(said.contains("2 images") && said.contains("2 captions"), "{said}");
    assert!(said.contains("left out, as there is no word in them: 1 caption: red_0.png#1"), "{said}");
    assert!(said.contains("--where reaches the columns as meta.size\n"), "{said}");
    let found = works(["search", "red", "--index", text(&index), "--where", "meta.size=XL", "-f"]).stdout;
    assert!(found.ends_with("red_0.png\n") && found.lines().count() == 1, "{found}");
    let texts = works(["search", "red", "--index", text(&index), "--target", "text", "--format", "jsonl"]).json_lines();
    assert_eq!(texts.len(), 2);
    assert!(works(args).stderr.contains("2 unchanged"));
}

/// Two shards merged hold, and find, what one index of everything does.
#[test]
fn shards_become_one_index() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let model = text(&paper().folder);
    let mut counts = Vec::new();
    for shard in ["1/2", "2/2"] {
        let ran = works(["index", text(&photos), "--model", model, "--shard", shard]);
        let dir = photos.join(format!(".gxn-shard-{}", shard.replace('/', "-of-")));
        assert_eq!(ran.stdout.trim(), text(&dir));
        counts.push(works(["index", "info", text(&dir), "--format", "json"]).json()["images"].as_u64().unwrap());
    }
    assert!(counts.iter().sum::<u64>() == 24 && counts.iter().all(|&count| count > 0), "{counts:?}");
    let merged = folder.path().join("merged");
    let parts = [photos.join(".gxn-shard-1-of-2"), photos.join(".gxn-shard-2-of-2")];
    works(["index", "merge", text(&merged), text(&parts[0]), text(&parts[1])]);
    let found = |index: &Path| {
        let mut lines = works(["search", "a red patch", "--index", text(index), "--top", "99"])
            .stdout
            .lines()
            .map(|line| line[4..].to_string())
            .collect::<Vec<_>>();
        lines.sort();
        lines
    };
    assert_eq!(found(&merged), found(&photos.join(".gxn")));
    // An image that left the source is deleted from the merged index when its shards are all named.
    std::fs::remove_file(photos.join("red_0.png")).unwrap();
    for shard in ["1/2", "2/2"] {
        works(["index", text(&photos), "--shard", shard]);
    }
    let kept = works(["index", "merge", text(&merged), text(&parts[0]), text(&parts[1])]);
    seen!(kept.stderr);
    let left = works(["index", "merge", text(&merged), text(&parts[0]), text(&parts[1]), "--only-parts"]);
    seen!(left.stderr);
    // It is an index of the same folder: it can be refreshed as such.
    assert!(
        works(["index", text(&photos), "--index", text(&merged)]).stderr.contains("indexed 23 images (23 unchanged)")
    );
}

/// The rows of an npy file of little-endian f32.
fn npy_rows(path: &Path, width: usize) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values: Vec<f32> = bytes[start..].as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
    values.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn an_index_is_exported_verified_and_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    works(["index", text(data()), "--model", text(&paper().folder), "--index", text(&index)]);
    let out = folder.path().join("out");
    works(["index", "export", text(&index), "-o", text(&out)]);
    // A second one would be mixed with what the first one left.
    assert!(gxn(["index", "export", text(&index), "-o", text(&out)]).stderr.contains("an empty or a new folder"));
    let lines = |path: &str| -> Vec<serde_json::Value> {
        let file = std::fs::read_to_string(out.join(path)).unwrap();
        file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (images, captions) = (lines("metadata/metadata_0.jsonl"), lines("text_metadata/text_metadata_0.jsonl"));
    assert_eq!((images.len(), captions.len()), (24, 48));
    assert!(Path::new(images[0]["image_path"].as_str().unwrap()).is_file() && images[0]["width"].as_u64() > Some(0));
    assert!(captions[0]["caption"].is_string() && captions[0]["image_id"].is_string());
    for (file, rows) in [("img_emb/img_emb_0.npy", 24), ("text_emb/text_emb_0.npy", 48)] {
        let header = String::from_utf8_lossy(&std::fs::read(out.join(file)).unwrap()[..128]).into_owned();
        assert!(header.contains(&format!("'shape': ({rows}, 32)")), "{header}");
    }
    // The values are those that the model gives, as halves keep them, and each row is its item's.
    let encoded = folder.path().join("encoded");
    works(["encode", text(&paper().folder), text(data()), "-o", text(&encoded)]);
    let again = gxn(["encode", text(&paper().folder), text(data()), "-o", text(&encoded)]).stderr;
    assert!(again.contains("an empty or a new folder") && !again.contains("encoded 24"), "refused at once: {again}");
    let facts: serde_json::Value =
        serde_json::from_slice(&std::fs::read(encoded.join("metadata.json")).unwrap()).unwrap();
    let ids =
        |key: &str| -> Vec<&str> { facts[key].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect() };
    for (rows, exported, own, items) in [
        ("img_emb.npy", "img_emb/img_emb_0.npy", ids("image_ids"), &images),
        ("text_emb.npy", "text_emb/text_emb_0.npy", ids("caption_ids"), &captions),
    ] {
        let (expected, found) = (npy_rows(&encoded.join(rows), 32), npy_rows(&out.join(exported), 32));
        assert_eq!((expected.len(), found.len()), (own.len(), items.len()));
        for (item, found) in items.iter().zip(&found) {
            let id = item["id"].as_str().unwrap();
            let expected = &expected[own.iter().position(|own| *own == id).unwrap()];
            let near = expected.iter().zip(found).all(|(e, f)| (e - f).abs() <= 1e-3 * e.abs().max(0.01));
            assert!(near, "{id}: {found:?} for {expected:?}");
        }
    }
    let sound = works(["index", "verify", text(&index)]).stdout;
    seen!(sound);
    assert!(works(["index", "compact", text(&index)]).stdout.contains("0 rows deleted"));
    // A bit of a row is turned: only reading everything can tell.
    let segment = std::fs::read_dir(index.join("segments"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "f16"))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    refused!(["index", "verify", text(&index)]);
    refused!(["index", "verify", text(folder.path())]);
}

#[test]
fn a_watched_folder_is_kept_up_to_date() {
    use std::io::{BufRead, BufReader, Read};
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let mut child =
        command(["index", text(&photos), "--watch=0.2"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut wait_for = |what: &str| {
        let mut said = String::new();
        while !said.contains(what) {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        said
    };
    wait_for("looking for changes every 0.2 s");
    patch([200, 100, 0], 1).save(folder.path().join("orange.png")).unwrap();
    std::fs::rename(folder.path().join("orange.png"), photos.join("orange.png")).unwrap();
    let said = wait_for("indexed 25 images");
    assert!(said.contains("24 unchanged, 1 encoded"), "{said}");
    std::fs::remove_file(photos.join("orange.png")).unwrap();
    assert!(wait_for("no longer has them").contains("orange.png"));
    Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
}
