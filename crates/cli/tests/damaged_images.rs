//! Images that are not what they should be: counted, named, and no end of everything.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::fixture::{CONFIG, data, gxn, paper, patch, text, tiny_dataset, works};
use crate::snapshots::{refused, seen};

/// CRC-32 of PNG chunks.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// A PNG of `side` × `side` pixels in a few bytes: a valid header and no pixels behind it.
fn huge_png(side: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    for (name, content) in [(b"IHDR", &header[..]), (b"IDAT", &[0x78, 0x9c][..]), (b"IEND", &[][..])] {
        let chunk = [&name[..], content].concat();
        png.extend((content.len() as u32).to_be_bytes());
        png.extend(&chunk);
        png.extend(crc(&chunk).to_be_bytes());
    }
    png
}

/// Writes one good image with a wrong name and five bad ones into `folder`.
fn write_oddities(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let png = folder.join("really-a-png.png");
    patch([9, 200, 9], 2).save(&png).unwrap();
    std::fs::rename(&png, folder.join("really-a-png.jpg")).unwrap();
    let jpeg = folder.join("cut.jpg");
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y) as u8, x as u8, y as u8])).save(&jpeg).unwrap();
    let bytes = std::fs::read(&jpeg).unwrap();
    std::fs::write(&jpeg, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(folder.join("text.jpg"), "Dear diary, today I took a picture.").unwrap();
    std::fs::write(folder.join("huge.png"), huge_png(30_000)).unwrap();
    std::fs::write(folder.join("empty.png"), "").unwrap();
    std::fs::write(folder.join("noise.gif"), [0u8, 159, 146, 150, 7]).unwrap();
}

/// The tiny dataset and the oddities, each with a caption, in train.
fn data_with_oddities(folder: &Path) -> PathBuf {
    let source = tiny_dataset(folder);
    write_oddities(&folder.join("images"));
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&source).unwrap()).unwrap();
    let names = ["cut.jpg", "text.jpg", "huge.png", "empty.png", "noise.gif", "really-a-png.jpg"];
    for (at, name) in names.into_iter().enumerate() {
        json["images"].as_array_mut().unwrap().push(json!({
            "filename": name, "imgid": 100 + at, "split": "train",
            "sentences": [{"raw": format!("an odd picture number {at}"), "sentid": 1000 + at}],
        }));
    }
    std::fs::write(&source, json.to_string()).unwrap();
    source
}

#[test]
fn the_check_names_each_and_is_strict_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let source = data_with_oddities(folder.path());
    let ran = works(["data", "check", text(&source), "--full"]);
    seen!(ran.stdout);
    let strict = gxn(["data", "check", text(&source), "--full", "--strict"]);
    assert_eq!(strict.code, 1, "{strict:?}");
    assert!(strict.stdout.contains("fatal: 5 images cannot be read"), "{strict:?}");
    assert!(!ran.stdout.contains("really-a-png"), "the name's ending does not count: {}", ran.stdout);
}

#[test]
fn an_index_of_the_rest_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    write_oddities(&photos);
    let model = text(&paper().folder);
    let ran = works(["index", text(&photos), "--model", model]);
    seen!(ran.stderr);
    let found = works(["search", "green", text(&photos), "-f"]).stdout;
    assert_eq!(found.trim(), text(&photos.canonicalize().unwrap().join("really-a-png.jpg")));
    // The limit is the user's.
    patch([1, 2, 3], 0).save(photos.join("small.png")).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    let strict =
        ["index", text(&photos), "--model", model, "--index", text(&elsewhere), "--max-image-megapixels", "0.0001"];
    refused!(strict);
    assert!(!elsewhere.exists());
}

/// Both ways of reading images: decoded ahead for a CNN that is trained, and features of a frozen one.
#[test]
fn training_and_evaluation_leave_them_out() {
    let folder = tempfile::tempdir().unwrap();
    let source = data_with_oddities(folder.path());
    let config = folder.path().join("tiny.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let logs = text(folder.path());
    for finetune in ["true", "false"] {
        let set = format!("look.finetune={finetune}");
        let ran = works([
            "train",
            text(&config),
            "--train-data",
            text(&source),
            "--logs",
            logs,
            "--name",
            finetune,
            "--epochs",
            "1",
            "--set",
            &set,
        ]);
        seen!(ran.stderr);
        let strict = ["--logs", logs, "--name", "strict", "--epochs", "1", "--set", &set, "--strict"];
        refused!([&["train", text(&config), "--train-data", text(&source)], &strict[..]].concat());
    }
    refused!(["evaluate", &format!("{logs}/true"), text(&source), "--split", "train", "--strict"]);
    let json = works(["evaluate", &format!("{logs}/true"), text(&source), "--split", "train", "--format", "json"]);
    assert_eq!(json.json()["n_images"], 17);
    seen!(json.stderr);
    let all_bad = folder.path().join("bad.jsonl");
    std::fs::write(&all_bad, "{\"image\":\"text.jpg\",\"caption\":\"a letter\",\"split\":\"val\"}\n").unwrap();
    refused!(["evaluate", text(&paper().folder), text(&all_bad)]);
    refused!(["evaluate", text(&paper().folder), text(&all_bad), "--split", "test"]);
    // A convert that copies keeps bytes as they are, bad ones too; nothing is lost in silence.
    let copied = folder.path().join("copied");
    works(["data", "convert", text(&source), text(&copied), "--to", "jsonl", "--copy-images"]);
    assert_eq!(gxn(["data", "check", text(&copied), "--full", "--strict"]).code, 1);
    assert_eq!(works(["data", "check", text(data()), "--full"]).code, 0);
}
