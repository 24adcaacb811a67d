//! Checkpoints that are damaged or of something else.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::fixture::{copy, cosine, data, paper, text, works};
use crate::indexing::indexed_photos;
use crate::snapshots::refused;

/// The last weight becomes NaN.
fn poison(checkpoint: &Path) {
    let path = checkpoint.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
}

/// Makes the stored fingerprint that of the files.
fn forge_fingerprint(checkpoint: &Path) {
    let mut hasher = Sha256::new();
    for name in ["config.toml", "vocab.json", "preprocess.json", "model.safetensors"] {
        let bytes = std::fs::read(checkpoint.join(name)).unwrap();
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    let fingerprint: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = checkpoint.join("meta.json");
    let mut meta: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    meta["fingerprint"] = fingerprint.into();
    // As in checkpoints of before each file had a hash.
    meta.as_object_mut().unwrap().remove("files");
    std::fs::write(&path, meta.to_string()).unwrap();
}

#[test]
fn damage_is_seen_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let fresh = || {
        let _ = std::fs::remove_dir_all(&model);
        copy(&paper().folder.join("best"), &model);
    };
    let evaluate = ["evaluate", text(&model), text(data())];
    fresh();
    works(evaluate);
    let weights = model.join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    refused!(evaluate);
    forge_fingerprint(&model);
    refused!(evaluate);
    fresh();
    poison(&model);
    refused!(evaluate);
    forge_fingerprint(&model);
    refused!(evaluate);
    fresh();
    std::fs::remove_file(&weights).unwrap();
    refused!(evaluate);
    fresh();
    std::fs::write(model.join("meta.json"), "{").unwrap();
    refused!(evaluate);
    std::fs::write(model.join("meta.json"), r#"{"format": 99, "kind": "gxn checkpoint", "fingerprint": "x"}"#).unwrap();
    refused!(evaluate);
}

#[test]
fn parts_of_another_checkpoint_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy(&paper().folder.join("best"), &model);
    std::fs::copy(cosine().folder.join("best/model.safetensors"), model.join("model.safetensors")).unwrap();
    forge_fingerprint(&model);
    refused!(["evaluate", text(&model), text(data())]);
}

#[test]
fn an_index_is_no_model_and_a_model_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let index = photos.join(".gxn");
    refused!(["evaluate", text(&index), text(data())]);
    let best = paper().folder.join("best");
    refused!(["search", "red", "--index", text(&best)]);
    refused!(["index", text(&photos), "--model", text(&best), "--index", text(&best)]);
}

#[test]
fn a_damaged_index_says_so_and_can_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let segments = std::fs::read_dir(photos.join(".gxn/segments")).unwrap().flatten().map(|entry| entry.path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let rows = segments.into_iter().find(|path| name(path).starts_with("images-")).unwrap();
    let bytes = std::fs::read(&rows).unwrap();
    std::fs::write(&rows, &bytes[..bytes.len() - 7]).unwrap();
    refused!(["search", "red", text(&photos)]);
    works(["index", text(&photos), "--model", text(&paper().folder)]);
    works(["search", "red", text(&photos)]);
}

#[test]
fn a_run_whose_data_changed_or_whose_state_is_damaged_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy(&paper().folder, &run);
    let trainer = run.join("last/trainer.safetensors");
    let bytes = std::fs::read(&trainer).unwrap();
    std::fs::write(&trainer, &bytes[..bytes.len() / 2]).unwrap();
    refused!(["train", "--resume", text(&run)]);
    std::fs::write(&trainer, &bytes).unwrap();
    works(["train", "--resume", text(&run)]);
}
