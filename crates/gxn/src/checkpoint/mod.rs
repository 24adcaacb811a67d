//! A trained network on disk: a folder that holds all that is needed to embed new pictures and sentences.
//!
//! | file | holds |
//! |---|---|
//! | `meta.json` | format version, fingerprint |
//! | `config.toml` | the run's whole configuration |
//! | `vocab.json` | the vocabulary |
//! | `preprocess.json` | how a picture becomes the CNN's input, and the views whose features are averaged |
//! | `model.safetensors` | encoders (and the CNN, where it was trained) |
//! | `backbone.safetensors` | the frozen CNN, where it was not |
//! | `card.json` | where the model comes from: data hash, seed, step, validation result |

pub mod encoder;
pub mod weights;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::RunConfig;
use crate::look::Init;
use crate::look::backbone::{Backbone, Inference};
use crate::model::{Generators, Gxn};
use gxn_base::fs::{write_atomically, write_synced};
use gxn_base::{Error, Result};
use gxn_data::{Preprocess, View, Vocabulary};

pub use encoder::{Encoder, ImaginedCaption};

/// Version of the folder's layout.
const FORMAT: u32 = 1;
const DAMAGED: &str = "a file of the checkpoint was changed or damaged; take another copy";

/// `meta.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Meta {
    format: u32,
    kind: String,
    fingerprint: String,
}

/// `preprocess.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// How a picture becomes a square.
    pub preprocess: Preprocess,
    /// The views whose mean feature stands for the picture.
    pub views: Vec<View>,
}

impl Input {
    /// The CNN's feature of a picture, mean over the views, `[F]`.
    ///
    /// # Errors
    /// When the CNN cannot take the input size.
    pub fn mean_feature(&self, inference: &Inference, picture: &RgbImage) -> Result<Vec<f32>> {
        let mut mean = vec![0.0; inference.kind().feature_dim()];
        for &view in &self.views {
            let map = inference.map(&self.preprocess.apply(picture, view))?;
            mean.iter_mut().zip(inference.feature(&map)).for_each(|(m, x)| *m += x);
        }
        mean.iter_mut().for_each(|m| *m /= self.views.len() as f32);
        Ok(mean)
    }
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
    /// The CNN's input.
    pub input: Input,
    /// The network.
    pub model: Gxn,
    /// The CNN, where it is not part of the network.
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
        write_synced(&folder.join("preprocess.json"), pretty(&self.input).as_bytes())?;
        write_synced(&folder.join("card.json"), pretty(&self.card).as_bytes())?;
        weights::save(&weights::collect(&self.model), &folder.join("model.safetensors"))?;
        if let Some(frozen) = &self.frozen {
            weights::save(&weights::collect(frozen), &folder.join("backbone.safetensors"))?;
        }
        let fingerprint = hash_files(folder)?;
        let meta = Meta { format: FORMAT, kind: "gxn checkpoint".into(), fingerprint: fingerprint.clone() };
        write_atomically(&folder.join("meta.json"), |file| std::io::Write::write_all(file, pretty(&meta).as_bytes()))?;
        Ok(fingerprint)
    }

    /// Reads a checkpoint. `path` may also be a run's folder: its best checkpoint is taken.
    ///
    /// # Errors
    /// When files are missing or damaged, when the format is of another version, when weights hold NaN or do not fit,
    /// and when the fingerprint is not that of the files.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let folder = resolve(path)?;
        let meta = read_meta(&folder)?;
        let found = hash_files(&folder)?;
        if found != meta.fingerprint {
            return Err(Error::invalid(
                format!("fingerprint of {}", folder.display()),
                short(&found),
                format!("{}, as meta.json has it", short(&meta.fingerprint)),
            )
            .with_hint(DAMAGED));
        }
        let config = RunConfig::load(Some(&folder.join("config.toml")), &[])?;
        let vocabulary = Vocabulary::load(&folder.join("vocab.json"))?;
        let input: Input = read_json(&folder.join("preprocess.json"))?;
        let card: Card = read_json(&folder.join("card.json"))?;
        let arrays = weights::load(&folder.join("model.safetensors"))?;
        let place = folder.join("model.safetensors").display().to_string();
        let model = weights::assign(skeleton(&config, &vocabulary, &arrays, device)?, arrays, &place)?;
        let frozen = if config.look.finetune {
            None
        } else {
            let path = folder.join("backbone.safetensors");
            let backbone = Backbone::random(config.look.backbone, device, 0);
            Some(weights::assign(backbone, weights::load(&path)?, &path.display().to_string())?)
        };
        Ok(Self { config, vocabulary, input, model, frozen, card })
    }
}

/// A network of the right shape whose weights are about to be replaced.
pub(crate) fn skeleton(
    config: &RunConfig,
    vocabulary: &Vocabulary,
    arrays: &weights::Arrays,
    device: &Device,
) -> Result<Gxn> {
    let init = Init::new(0, device);
    // Pretrained vectors keep their own width, which only the stored matrix knows.
    let vectors = match arrays.get("sentence.words") {
        Some(words) if words.shape.len() == 2 && words.shape[0] == vocabulary.len() => {
            Some((vec![0.0; words.values.len()], words.shape[1]))
        }
        Some(words) => {
            return Err(Error::invalid(
                "the stored word matrix",
                format!("shape {:?}", words.shape),
                format!("{} rows", vocabulary.len()),
            )
            .with_hint("vocab.json belongs to another model"));
        }
        None => None,
    };
    let backbone = config.look.finetune.then(|| Backbone::random(config.look.backbone, device, 0));
    let generators = Generators {
        words: arrays.get("caption_decoder.output_bias").map(|bias| bias.values.len()),
        pictures: arrays.contains_key("discriminator.bias"),
    };
    Ok(Gxn::new(&init, config, vocabulary.len(), vectors, backbone, generators))
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
    Err(Error::invalid(path.display().to_string(), found, "a checkpoint or a run with one")
        .with_hint("`gxn train` writes runs; name the run's folder or one of its checkpoints"))
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
    if json["format"] == "gxn-index" {
        return Err(Error::invalid(folder.display().to_string(), "an index", "a gxn checkpoint")
            .with_hint("name the run that made it: `gxn info` shows where the index noted it"));
    }
    let meta: Meta = serde_json::from_value(json).map_err(|e| {
        Error::invalid(path.display().to_string(), e.to_string(), "the file that gxn wrote").with_hint(DAMAGED)
    })?;
    if meta.kind != "gxn checkpoint" {
        return Err(Error::invalid(path.display().to_string(), format!("a {}", meta.kind), "a gxn checkpoint"));
    }
    if meta.format != FORMAT {
        return Err(Error::invalid(
            path.display().to_string(),
            format!("format {}", meta.format),
            format!("format {FORMAT}"),
        )
        .with_hint("the checkpoint was written by another version of gxn"));
    }
    Ok(meta)
}

/// SHA-256 over what decides an embedding: weights, vocabulary, preprocessing, configuration.
fn hash_files(folder: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for name in ["config.toml", "vocab.json", "preprocess.json", "model.safetensors", "backbone.safetensors"] {
        let path = folder.join(name);
        if name == "backbone.safetensors" && !path.exists() {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect())
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
        Error::invalid(path.display().to_string(), e.to_string(), "the file that gxn wrote").with_hint(DAMAGED)
    })
}
