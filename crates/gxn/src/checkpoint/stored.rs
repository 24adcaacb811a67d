//! [`StoredCheckpoint`]: an open checkpoint whose weights are still on disk, and what each file is verified with.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::weights::{self, Arrays};
use super::{Card, Checkpoint, DAMAGED, read_json, read_meta, resolve, short, skeleton};
use crate::config::RunConfig;
use crate::look::ImagePipeline;
use crate::look::backbone::Backbone;
use crate::model::Gxn;
use gxn_base::words::hex;
use gxn_base::{Error, Result};
use gxn_data::Vocabulary;

/// What the fingerprint covers, in its order; the last is absent where the CNN is part of the network.
const FILES: [&str; 5] = ["config.toml", "vocab.json", "preprocess.json", MODEL, BACKBONE];
pub(super) const MODEL: &str = "model.safetensors";
pub(super) const BACKBONE: &str = "backbone.safetensors";
/// Prefix of the CNN's tensors in the network's file, where it was trained with the rest.
const CNN: &str = "backbone";

/// Size and SHA-256 of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileHash {
    bytes: u64,
    sha256: String,
}

/// The fingerprint of the files in `folder`, a SHA-256 over what decides an embedding (weights, vocabulary,
/// preprocessing, configuration), and the hash of each.
///
/// # Errors
/// When one cannot be read.
pub(super) fn hash_files(folder: &Path) -> Result<(String, BTreeMap<String, FileHash>)> {
    let mut all = Sha256::new();
    let mut each = BTreeMap::new();
    for name in FILES {
        let path = folder.join(name);
        if name == BACKBONE && !path.exists() {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        update(&mut all, &bytes);
        each.insert(name.to_owned(), FileHash { bytes: bytes.len() as u64, sha256: hex(Sha256::digest(&bytes)) });
    }
    Ok((hex(all.finalize()), each))
}

fn update(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn require_hash(path: &Path, found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let expected = format!("{}, as meta.json has it", short(expected));
    Err(Error::damaged(format!("fingerprint of {}", path.display()), short(found), expected).with_hint(DAMAGED))
}

/// A file of weights, memory-mapped. It is verified when tensors are first read from it.
#[derive(Debug)]
struct WeightsOnDisk {
    path: PathBuf,
    map: Mmap,
    expected: Option<String>,
    verified: AtomicBool,
}

impl WeightsOnDisk {
    fn open(path: PathBuf, expected: Option<&FileHash>) -> Result<Self> {
        let fail = |error| Error::io("cannot read", &path, error);
        let file = File::open(&path).map_err(fail)?;
        let bytes = file.metadata().map_err(fail)?.len();
        let least = 8; // safetensors begins with the length of its header; an empty file cannot be mapped
        let wrong = expected.filter(|hash| hash.bytes != bytes);
        if bytes < least || wrong.is_some() {
            let whole = wrong.map_or_else(|| "a safetensors file".to_owned(), |hash| format!("{} bytes", hash.bytes));
            let what = path.display().to_string();
            return Err(Error::damaged(what, format!("{bytes} bytes"), whole).with_hint(DAMAGED));
        }
        // SAFETY: the map is only read. Checkpoints are renamed into place and never written again; a file that someone
        // changes under the map gives wrong numbers, as it would to any reader.
        let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
        let expected = expected.map(|hash| hash.sha256.clone());
        let verified = AtomicBool::new(expected.is_none());
        Ok(Self { path, map, expected, verified })
    }

    /// The tensors whose names `keep` accepts. The file is hashed while they are read.
    fn arrays(&self, keep: impl Fn(&str) -> bool + Send) -> Result<Arrays> {
        let place = self.path.display().to_string();
        let (sound, arrays) = rayon::join(|| self.verify(), || weights::decode(&self.map, &place, keep));
        sound.and(arrays)
    }

    fn verify(&self) -> Result<()> {
        if let (false, Some(expected)) = (self.verified.load(Ordering::Relaxed), &self.expected) {
            require_hash(&self.path, &hex(Sha256::digest(&self.map)), expected)?;
            self.verified.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// An open checkpoint. Its small files are read and verified; weights are read when they are asked for.
#[derive(Debug)]
pub(crate) struct StoredCheckpoint {
    pub folder: PathBuf,
    pub fingerprint: String,
    /// Fingerprint of the CNN's weights; checkpoints of before it was stored have none.
    pub cnn_fingerprint: Option<String>,
    pub config: RunConfig,
    pub vocabulary: Vocabulary,
    pub pipeline: ImagePipeline,
    pub card: Card,
    model: WeightsOnDisk,
    frozen: Option<WeightsOnDisk>,
}

impl StoredCheckpoint {
    /// Opens the checkpoint at `path`, which may also be a run.
    ///
    /// # Errors
    /// When files are missing, of another version or damaged as far as they are read.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = resolve(path)?;
        // A run's `best` may come to point elsewhere meanwhile: all files are of one checkpoint.
        let folder = std::fs::canonicalize(&folder).map_err(|e| Error::io("cannot open", &folder, e))?;
        let meta = read_meta(&folder)?;
        let open = |name: &str| WeightsOnDisk::open(folder.join(name), meta.files.get(name));
        let model = open(MODEL)?;
        let has_frozen = meta.files.contains_key(BACKBONE) || folder.join(BACKBONE).exists();
        let frozen = if has_frozen { Some(open(BACKBONE)?) } else { None };
        // Checkpoints of before files had hashes of their own are verified whole.
        let mut whole = meta.files.is_empty().then(Sha256::new);
        for name in &FILES[..3] {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
            match (&mut whole, meta.files.get(*name)) {
                (Some(whole), _) => update(whole, &bytes),
                (None, Some(hash)) => require_hash(&path, &hex(Sha256::digest(&bytes)), &hash.sha256)?,
                (None, None) => return Err(Error::damaged(path.display().to_string(), "no hash", "one in meta.json")),
            }
        }
        if let Some(mut whole) = whole {
            update(&mut whole, &model.map);
            if let Some(frozen) = &frozen {
                update(&mut whole, &frozen.map);
            }
            require_hash(&folder, &hex(whole.finalize()), &meta.fingerprint)?;
        }
        let mut config = RunConfig::load_stored(&folder.join("config.toml"))?;
        config.look.held_in = Some(folder.clone());
        if frozen.is_none() && !config.look.finetune && config.look.encoder.is_none() {
            let what = folder.display().to_string();
            return Err(Error::damaged(what, format!("no {BACKBONE}"), "the weights of the CNN").with_hint(DAMAGED));
        }
        Ok(Self {
            vocabulary: Vocabulary::load(&folder.join("vocab.json"))?,
            pipeline: read_json(&folder.join("preprocess.json"))?,
            card: read_json(&folder.join("card.json"))?,
            fingerprint: meta.fingerprint,
            cnn_fingerprint: meta.cnn,
            config,
            model,
            frozen,
            folder,
        })
    }

    /// The network without a CNN.
    ///
    /// # Errors
    /// When weights are damaged, do not fit, or are not finite.
    pub fn network(&self, device: &Device) -> Result<Gxn> {
        let arrays = self.model.arrays(|name| !name.starts_with("backbone."))?;
        weights::assign(skeleton(self, &arrays, device)?, arrays, &self.model.path.display().to_string())
    }

    /// The CNN, in a checkpoint that has one.
    ///
    /// # Errors
    /// As [`StoredCheckpoint::network`].
    pub fn backbone(&self, device: &Device) -> Result<Backbone> {
        let (file, arrays) = match &self.frozen {
            Some(file) if !self.config.look.finetune => (file, file.arrays(|_| true)?),
            _ => {
                let mut arrays = self.model.arrays(|name| name.starts_with("backbone."))?;
                (&self.model, weights::take_prefix(&mut arrays, CNN))
            }
        };
        let backbone = Backbone::zeros(self.config.look.backbone, device);
        weights::assign(backbone, arrays, &file.path.display().to_string())
    }

    /// All of it in memory.
    ///
    /// # Errors
    /// As [`StoredCheckpoint::network`].
    pub fn load(self, device: &Device) -> Result<Checkpoint> {
        let backbone = if self.config.look.encoder.is_some() { None } else { Some(self.backbone(device)?) };
        let mut model = self.network(device)?;
        let frozen = if self.config.look.finetune {
            model.backbone = backbone;
            None
        } else {
            backbone
        };
        let Self { config, vocabulary, pipeline, card, .. } = self;
        Ok(Checkpoint { config, vocabulary, pipeline, model, frozen, card })
    }
}
