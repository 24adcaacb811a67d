//! [`EncoderFolder`]: the files of an encoder as a model hub lays them out.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use gxn_base::{Error, Result};
use serde_json::Value;

use crate::Family;
use crate::onnx_files::OnnxFiles;

/// What every error about a folder expects.
const LAYOUT: &str = "an encoder's folder with config.json, model.safetensors and the files of its tokens and images";
/// Advice where files are missing.
const DOWNLOAD: &str = "download every file of the encoder's page into one folder; nothing is downloaded here";
/// The kinds of encoders that are read.
const READ: &str = "clip, siglip, dinov2 or bert";

/// A folder that holds one encoder, with its configuration read. Weights, tokens and image sizes are read by others.
#[derive(Debug, Clone)]
pub struct EncoderFolder {
    path: PathBuf,
    family: Family,
    config: Value,
    onnx: Option<OnnxFiles>,
}

impl EncoderFolder {
    /// The encoder in the folder `path`. A folder of the hub's cache (`models--NAME`) stands for its current snapshot.
    ///
    /// # Errors
    /// When there is no such folder, when it is laid out in another way, and when its kind of encoder is not read here.
    pub fn open(path: &Path) -> Result<Self> {
        let meta =
            std::fs::metadata(path).map_err(|error| Error::io("cannot open", path, error).with_hint(DOWNLOAD))?;
        if !meta.is_dir() {
            return Err(Error::invalid(path.display().to_string(), "a file", LAYOUT)
                .with_hint("name the folder that the file lies in"));
        }
        let path = snapshot(path)?;
        if !path.join("config.json").exists() {
            return Err(without_config(&path));
        }
        let config = read_json(&path.join("config.json"))?;
        let onnx = if has_own_weights(&path) { None } else { OnnxFiles::find(&path)? };
        let family = match family_of(&path, &config) {
            // Its layers are in the file, whatever they are.
            Err(_) if onnx.is_some() => Family::Other,
            family => family?,
        };
        Ok(Self { path, family, config, onnx })
    }

    /// Where the files lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which kind of encoder this is.
    pub fn family(&self) -> Family {
        self.family
    }

    /// What config.json holds.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The ONNX files, of an encoder without weights in safetensors.
    pub(crate) fn onnx(&self) -> Option<&OnnxFiles> {
        self.onnx.as_ref()
    }

    /// The error of an encoder without images or texts.
    pub(crate) fn lacks(&self, what: &str) -> Error {
        let found = format!("an encoder of family {}", self.family);
        Error::unsupported(self.path.display().to_string(), found, format!("one that embeds {what}"))
    }

    /// The files with the weights: those of ONNX, or model.safetensors, or the shards that model.safetensors.index.json names, in the
    /// order of their names.
    ///
    /// # Errors
    /// When a file is missing, is of another format, or is a pointer of Git LFS in place of the file.
    pub fn weights(&self) -> Result<Vec<PathBuf>> {
        if let Some(onnx) = &self.onnx {
            let files = onnx.all();
            files.iter().try_for_each(|file| refuse_stand_in(file))?;
            return Ok(files);
        }
        let single = self.path.join("model.safetensors");
        let index = self.path.join("model.safetensors.index.json");
        let files = if single.exists() {
            vec![single]
        } else if index.exists() {
            self.shards(&index)?
        } else {
            return Err(without_weights(&self.path));
        };
        files.iter().try_for_each(|file| refuse_stand_in(file))?;
        Ok(files)
    }

    fn shards(&self, index: &Path) -> Result<Vec<PathBuf>> {
        let wrong = |found: String| Error::invalid(index.display().to_string(), found, "a weight_map of file names");
        let json = read_json(index)?;
        let map = json["weight_map"].as_object().ok_or_else(|| wrong("no weight_map".to_owned()))?;
        let mut files = Vec::new();
        for name in map.values() {
            let plain = name.as_str().filter(|name| Path::new(name).file_name() == Some(name.as_ref()));
            files.push(self.path.join(plain.ok_or_else(|| wrong(name.to_string()))?));
        }
        files.sort();
        files.dedup();
        if files.is_empty() {
            return Err(wrong("an empty one".to_owned()));
        }
        match files.iter().find(|file| !file.exists()) {
            Some(missing) => Err(Error::not_found(missing.display().to_string(), "no file", "a part of the weights")
                .with_hint(format!("{} names it; {DOWNLOAD}", index.display()))),
            None => Ok(files),
        }
    }

    /// The JSON object in the file `name`, or none where there is no such file.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Value>> {
        let path = self.path.join(name);
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// The text in the file `name`, or none where there is no such file.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        let path = self.path.join(name);
        if path.exists() { read_text(&path).map(Some) } else { Ok(None) }
    }
}

fn has_own_weights(path: &Path) -> bool {
    ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| path.join(name).exists())
}

/// In the hub's cache the files lie in `snapshots/COMMIT`, and `refs/main` holds the current commit.
fn snapshot(path: &Path) -> Result<PathBuf> {
    let reference = path.join("refs").join("main");
    if path.join("config.json").exists() || !reference.exists() {
        return Ok(path.to_path_buf());
    }
    let commit = read_text(&reference)?;
    let commit = commit.trim();
    let inside = path.join("snapshots").join(commit);
    if commit.chars().all(|c| c.is_ascii_alphanumeric()) && inside.is_dir() {
        return Ok(inside);
    }
    Err(Error::not_found(inside.display().to_string(), "no folder", "the snapshot that refs/main names"))
}

fn without_config(path: &Path) -> Error {
    let error = |found: String| Error::not_found(path.display().to_string(), found, LAYOUT);
    if ["open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
        .iter()
        .any(|name| path.join(name).exists())
    {
        let hint = "most publishers give config.json and model.safetensors on the same page: download these; \
                    otherwise convert the weights with transformers' convert_open_clip script";
        let found = "OpenCLIP's own layout (open_clip_config.json) without config.json";
        return Error::unsupported(path.display().to_string(), found, LAYOUT).with_hint(hint);
    }
    let inside: Vec<String> = std::fs::read_dir(path)
        .map(|entries| entries.flatten().filter(|entry| entry.path().join("config.json").exists()).collect())
        .map(|entries: Vec<_>| entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    match inside.iter().filter(|name| !name.contains("Pooling")).min() {
        Some(name) => error(format!("config.json in {name} only"))
            .with_hint(format!("name the folder {name} in place of this one")),
        None => error("no config.json".to_owned()).with_hint(DOWNLOAD),
    }
}

fn without_weights(path: &Path) -> Error {
    let expected = "model.safetensors, or model.safetensors.index.json with its parts";
    let others = ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"];
    match others.iter().find(|name| path.join(name).exists()) {
        Some(other) => Error::unsupported(path.display().to_string(), format!("{other} alone"), expected).with_hint(
            "the encoder's page usually holds model.safetensors too, sometimes in a pull request by its conversion \
             bot; or load the folder with transformers and save it with save_pretrained",
        ),
        None => Error::not_found(path.display().to_string(), "no weights", expected).with_hint(DOWNLOAD),
    }
}

fn family_of(path: &Path, config: &Value) -> Result<Family> {
    let file = path.join("config.json").display().to_string();
    match config["model_type"].as_str() {
        Some("clip") => Ok(Family::Clip),
        Some("siglip") => Ok(Family::Siglip),
        Some("dinov2") => Ok(Family::Dinov2),
        Some("bert") => Ok(Family::Bert),
        Some("siglip2") => Err(Error::unsupported(
            file,
            "model_type siglip2, whose images keep their own shape (NaFlex)",
            "a SigLIP 2 of fixed resolution, which has model_type siglip",
        )
        .with_hint("take a variant whose name ends in its size, such as siglip2-base-patch16-224")),
        Some(other) => Err(Error::unsupported(file, format!("model_type {other}"), READ)),
        None => Err(Error::invalid(file, "no model_type", READ)
            .with_hint("is this the config.json of transformers' layout? its page may have another")),
    }
}

/// The JSON object in a file.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let value = read_value(path, "a JSON object")?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Error::invalid(path.display().to_string(), "another value", "a JSON object"))
}

/// What a JSON file holds; `expected` stands in errors.
pub(crate) fn read_value(path: &Path, expected: &str) -> Result<Value> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|error| Error::invalid(path.display().to_string(), error.to_string(), expected))
}

fn read_text(path: &Path) -> Result<String> {
    refuse_stand_in(path)?;
    let bytes = std::fs::read(path).map_err(|error| Error::io("cannot read", path, error))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(path.display().to_string(), "bytes that are no text", "UTF-8"))
}

/// What often lies in place of a file: a pointer of Git LFS, or a page that says no.
fn refuse_stand_in(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|error| Error::io("cannot open", path, error))?;
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start).map_err(|error| Error::io("cannot read", path, error))?;
    let found = if start.starts_with(b"version https://git-lfs") {
        "a pointer of Git LFS in place of the file"
    } else if start.trim_ascii_start().to_ascii_lowercase().starts_with(b"<!doctype html") {
        "a web page in place of the file"
    } else if start.is_empty() {
        "an empty file"
    } else {
        return Ok(());
    };
    Err(Error::invalid(path.display().to_string(), found, "the file itself")
        .with_hint("run `git lfs pull` in a clone of the encoder's page, or download the file from the page"))
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
