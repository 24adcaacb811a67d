//! Captions and tables that are not what they should be.

use crate::fixture::{config, gxn, paper, patch, text, tiny_dataset, works};
use crate::snapshots::{refused, seen};

#[test]
fn no_data_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    refused!(["data", "check", text(folder.path())]);
    let gone = folder.path().join("gone.json");
    refused!(["data", "check", text(&gone)]);
    refused!(["evaluate", text(&paper().folder), text(&gone)]);
    let empty = folder.path().join("empty.csv");
    std::fs::write(&empty, "").unwrap();
    refused!(["data", "check", text(&empty)]);
    std::fs::write(&empty, "id,width\n1,2\n").unwrap();
    refused!(["data", "check", text(&empty)]);
    std::fs::write(&empty, "{\"images\": [").unwrap();
    refused!(["data", "check", text(&empty)]);
}

/// A folder of pairs with one image too many and one text too many: both counted and named; an error when strict.
#[test]
fn captions_without_image_and_images_without_caption() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (at, name) in ["a", "b", "c", "lonely"].iter().enumerate() {
        patch([10, 20, 30], at).save(path(&format!("{name}.png"))).unwrap();
        std::fs::write(path(&format!("{name}.txt")), format!("picture {name}\n")).unwrap();
    }
    std::fs::remove_file(path("lonely.txt")).unwrap();
    std::fs::write(path("ghost.txt"), "nobody\n").unwrap();
    let ran = works(["data", "check", text(folder.path()), "--for", "index"]);
    seen!(ran.stdout);
    let strict = gxn(["data", "check", text(folder.path()), "--for", "index", "--strict"]);
    assert_eq!(strict.code, 1);
    seen!(strict.stdout);
    refused!(["data", "convert", text(folder.path()), text(&path("out.csv")), "--to", "csv", "--strict"]);

    let photos = tempfile::tempdir().unwrap();
    patch([10, 20, 30], 0).save(photos.path().join("a.png")).unwrap();
    let photos = gxn(["data", "check", text(photos.path()), "--for", "index"]);
    assert!(photos.code == 1 && photos.stderr.contains("gxn index takes photos without captions"), "{photos:?}");

    let table = path("captions.jsonl");
    std::fs::write(&table, "{\"image\":\"a.png\",\"caption\":\"x\"}\n{\"image\":\"gone.png\",\"caption\":\"y\"}\n{\"image\":\"../a.png\",\"caption\":\"z\"}\n").unwrap();
    let ran = works(["data", "check", text(&table), "--for", "index"]);
    seen!(ran.stdout);
}

#[test]
fn text_that_is_not_utf_8_is_named_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("captions.csv");
    std::fs::write(&table, b"image,caption\na.png,fine\nb.png,caf\xe9\n").unwrap();
    refused!(["data", "check", text(&table)]);
    // One text of many: left out, the rest is used.
    let pairs = folder.path().join("pairs");
    std::fs::create_dir(&pairs).unwrap();
    for name in ["a", "b"] {
        patch([10, 20, 30], name.len()).save(pairs.join(format!("{name}.png"))).unwrap();
    }
    std::fs::write(pairs.join("a.txt"), "fine\n").unwrap();
    std::fs::write(pairs.join("b.txt"), b"caf\xe9\n").unwrap();
    let ran = works(["data", "check", text(&pairs), "--for", "index"]);
    seen!(ran.stdout);
}

#[cfg(unix)]
#[test]
fn arguments_and_file_names_may_hold_any_byte() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    patch([200, 0, 0], 0).save(photos.join("good.png")).unwrap();
    // Some file systems refuse such names; then there is nothing to test.
    if std::fs::copy(photos.join("good.png"), photos.join(OsStr::from_bytes(b"caf\xe9.png"))).is_ok() {
        let ran = works(["index", text(&photos), "--model", text(&paper().folder)]);
        seen!(ran.stderr);
        assert_eq!(works(["search", "red", text(&photos)]).lines().len(), 2);
    }
    let ran = gxn([OsStr::new("data"), OsStr::new("check"), OsStr::from_bytes(b"caf\xe9")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(gxn([OsStr::new("search"), OsStr::from_bytes(b"caf\xe9")]).code, 2);
}

/// The same image in train and in test makes scores too good: a check and training say so alike, and refuse it when strict.
#[test]
fn an_image_in_two_splits_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let images = folder.path().join("images");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&source).unwrap()).unwrap();
    let name = |split: &str| {
        let image = json["images"].as_array().unwrap().iter().find(|image| image["split"] == split).unwrap();
        image["filename"].as_str().unwrap().to_owned()
    };
    std::fs::copy(images.join(name("train")), images.join(name("test"))).unwrap();
    let ran = works(["data", "check", text(&source)]);
    seen!(ran.stdout);
    assert_eq!(gxn(["data", "check", text(&source), "--strict"]).code, 1);
    let train =
        ["train", text(config()), "--train-data", text(&source), "--logs", text(folder.path()), "--epochs", "1"];
    let ran = works(train);
    assert!(ran.stderr.contains("warning: identical images lie in more than one split"), "{ran:?}");
    refused!([&train[..], &["--name", "strict", "--strict"]].concat());
}

#[test]
fn external_embeddings_that_do_not_fit_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let junk = folder.path().join("junk.npy");
    std::fs::write(&junk, "1.0 2.0").unwrap();
    let junk = text(&junk);
    refused!(["evaluate", "--image-embeddings", junk, "--caption-embeddings", junk]);
    refused!(["evaluate", "--image-embeddings", "gone.npy", "--caption-embeddings", junk]);
}
