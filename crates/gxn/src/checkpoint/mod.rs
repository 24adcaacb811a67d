//! A trained network on disk: a folder that holds all that is needed to embed new images and captions.
//!
//! | file | holds |
//! |---|---|
//! | `meta.json` | format version, fingerprint, size and hash of each file |
//! | `config.toml` | the run's whole configuration |
//! | `vocab.json` | the vocabulary |
//! | `preprocess.json` | how an image becomes the CNN's input, and the views whose features are averaged |
//! | `model.safetensors` | encoders (and the CNN, where it was trained) |
//! | `backbone.safetensors` | the frozen CNN, where it was not and no pretrained encoder stands in its place |
//! | `card.json` | where the model comes from: data hash, seed, step, validation result |
//!
//! Of a pretrained encoder `config.toml` has path and fingerprint; its files are inside, in `encoders`, where the configuration
//! asks for it (`look.embed_encoders`).

mod stored;
pub mod weights;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::config::{DataPlaces, RunConfig};
use crate::look::backbone::Backbone;
use crate::look::held_encoders::hold;
use crate::look::{ImagePipeline, Init};
use crate::model::{Generators, Gxn};
use gxn_base::fs::{write_atomically, write_synced};
use gxn_base::{Error, Remedy, Result};
use gxn_data::Vocabulary;

pub(crate) use stored::StoredCheckpoint;

/// Version of the folder's layout.
const FORMAT: u32 = 1;
const KIND: &str = "gxn checkpoint";
const DAMAGED: &str = "a file of the checkpoint was changed or damaged; take another copy";

/// `meta.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Meta {
    format: u32,
    kind: String,
    fingerprint: String,
    /// By name; absent in checkpoints of before files were verified one by one.
    #[serde(default)]
    files: BTreeMap<String, stored::FileHash>,
    /// Fingerprint of the CNN's weights, so that cached features are found without reading them.
    #[serde(default)]
    cnn: Option<String>,
}

/// A checkpoint that a run began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// What it was trained by.
    pub stage: crate::config::Stage,
    /// Its steps.
    pub steps: u64,
    /// Steps of Eq. 3 among them; a step of Algorithm 1 may have none, one or two.
    pub match_steps: u64,
    /// Its fingerprint.
    pub fingerprint: String,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Card {
    /// Version of the program.
    pub program: String,
    /// Name of the data set.
    pub dataset: String,
    /// Hash of its ids, captions and splits.
    pub data_sha: String,
    /// Where it lies as seen from the run's folder; absent in models of before paths were stored so.
    #[serde(default)]
    pub data_from_run: DataPlaces,
    /// Train images.
    pub train_images: usize,
    /// Train captions.
    pub train_captions: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Steps behind these weights.
    pub step: u64,
    /// Finished epochs.
    pub epoch: usize,
    /// Steps of Eq. 3 behind these weights in this run; absent in models of before it was counted, which have one a step.
    #[serde(default)]
    pub match_steps: Option<u64>,
    /// The checkpoints behind `train.init_from`, the oldest first.
    #[serde(default)]
    pub ancestry: Vec<Ancestor>,
    /// Validation result, by metric name, in percent.
    pub validation: serde_json::Map<String, serde_json::Value>,
    /// What has to be known before the model is passed on.
    pub licence_note: String,
}

/// A trained network with all that belongs to it.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The run's configuration.
    pub config: RunConfig,
    /// Words.
    pub vocabulary: Vocabulary,
    /// From image to feature.
    pub pipeline: ImagePipeline,
    /// The network.
    pub model: Gxn,
    /// The CNN, where there is one that is not part of the network.
    pub frozen: Option<Backbone>,
    /// Where it comes from.
    pub card: Card,
}

impl Checkpoint {
    /// Writes the folder `path`, which must not exist; it appears whole or not at all. Returns the fingerprint.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, path: &Path) -> Result<String> {
        gxn_base::fs::build_folder_atomically(path, |folder| self.write(folder).map(|_| ()))?;
        fingerprint_of(path)
    }

    /// Writes the files into the existing folder `folder` and returns the fingerprint.
    pub(crate) fn write(&self, folder: &Path) -> Result<String> {
        write_synced(&folder.join("config.toml"), self.config.to_toml().as_bytes())?;
        self.vocabulary.save(&folder.join("vocab.json"))?;
        write_synced(&folder.join("preprocess.json"), pretty(&self.pipeline).as_bytes())?;
        write_synced(&folder.join("card.json"), pretty(&self.card).as_bytes())?;
        weights::save(&weights::collect(&self.model), &folder.join("model.safetensors"))?;
        if let Some(frozen) = &self.frozen {
            weights::save(&weights::collect(frozen), &folder.join("backbone.safetensors"))?;
        }
        hold(&self.config.look, folder)?;
        let (fingerprint, files) = stored::hash_files(folder)?;
        let cnn = self.frozen.as_ref().or(self.model.backbone.as_ref()).map(Backbone::fingerprint);
        let meta = Meta { format: FORMAT, kind: KIND.into(), fingerprint: fingerprint.clone(), files, cnn };
        write_atomically(&folder.join("meta.json"), |file| std::io::Write::write_all(file, pretty(&meta).as_bytes()))?;
        Ok(fingerprint)
    }

    /// Reads a checkpoint. `path` may also be a run's folder: its best checkpoint is taken.
    ///
    /// # Errors
    /// When files are missing or damaged, when the format is of another version, when weights hold NaN or do not fit,
    /// and when the fingerprint is not that of the files.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        StoredCheckpoint::open(path)?.load(device)
    }
}

/// A network without a CNN, of the shapes of `stored`, whose weights are about to be replaced.
fn skeleton(stored: &StoredCheckpoint, arrays: &weights::Arrays, device: &Device) -> Result<Gxn> {
    let words = stored.vocabulary.len();
    // Pretrained vectors keep their own width, which only the stored matrix knows.
    let vectors = match arrays.get("sentence.words") {
        Some(matrix) if matrix.shape.len() == 2 && matrix.shape[0] == words => {
            Some((vec![0.0; matrix.values.len()], matrix.shape[1]))
        }
        Some(matrix) => {
            let (what, found) = ("the stored word matrix", format!("shape {:?}", matrix.shape));
            return Err(
                Error::damaged(what, found, format!("{words} rows")).with_hint("vocab.json belongs to another model")
            );
        }
        None => None,
    };
    let generators = Generators {
        words: arrays.get("caption_decoder.output_bias").map(|bias| bias.values.len()),
        images: arrays.contains_key("discriminator.bias"),
    };
    Ok(Gxn::new(&Init::zeros(device), &stored.config, words, vectors, None, generators))
}

/// The checkpoint's folder: `path` itself, or `path/best` where `path` is a run.
///
/// # Errors
/// When neither holds a `meta.json`.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    for folder in [path.to_path_buf(), path.join("best"), path.join("checkpoints/best")] {
        if folder.join("meta.json").is_file() {
            return Ok(folder);
        }
    }
    let found = if path.exists() { "a folder without meta.json" } else { "nothing" };
    Err(Error::not_found(path.display().to_string(), found, "a checkpoint or a run with one")
        .with_remedy(Remedy::NameRun))
}

/// The stored fingerprint of the checkpoint at `path`: a hash of weights, vocabulary and preprocessing.
///
/// # Errors
/// As [`resolve`], and when `meta.json` is damaged.
pub fn fingerprint_of(path: &Path) -> Result<String> {
    Ok(read_meta(&resolve(path)?)?.fingerprint)
}

fn read_meta(folder: &Path) -> Result<Meta> {
    let path = folder.join("meta.json");
    let json: serde_json::Value = read_json(&path)?;
    let place = || path.display().to_string();
    if json["format"] == "gxn-index" {
        return Err(Error::invalid(folder.display().to_string(), "an index", "a gxn checkpoint")
            .with_remedy(Remedy::NameIndexModel));
    }
    let meta: Meta = serde_json::from_value(json)
        .map_err(|e| Error::damaged(place(), e.to_string(), "the file that gxn wrote").with_hint(DAMAGED))?;
    if meta.kind != KIND {
        return Err(Error::invalid(place(), format!("a {}", meta.kind), "a gxn checkpoint"));
    }
    if meta.format != FORMAT {
        return Err(Error::unsupported(place(), format!("format {}", meta.format), format!("format {FORMAT}"))
            .with_hint("the checkpoint was written by another version of gxn"));
    }
    Ok(meta)
}

/// The first twelve digits of a fingerprint, for people.
pub fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(12).collect()
}

pub(crate) fn pretty<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain data always serialises");
    text.push('\n');
    text
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    serde_json::from_str(&text).map_err(|e| {
        Error::damaged(path.display().to_string(), e.to_string(), "the file that gxn wrote").with_hint(DAMAGED)
    })
}
