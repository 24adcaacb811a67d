//! `meta.json`: what an index is, and its commit point.

use crate::error::{Error, Result};
use crate::file::{FileRecord, REINDEX};
use crate::metric::Space;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// Version of the index directory that this build reads and writes.
pub const INDEX_VERSION: u64 = 1;
/// Name of the file that makes a folder an index.
pub(crate) const META_FILE: &str = "meta.json";
const FORMAT: &str = "gxn-index";

/// The content of `meta.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexMeta {
    /// Always `gxn-index`.
    pub format: String,
    /// [`INDEX_VERSION`] of the program that wrote it.
    pub version: u64,
    /// Number of the subfolder `generation-N` that holds the rows.
    pub generation: u64,
    /// Fingerprint of the model that made the embeddings.
    pub model: String,
    /// Similarity, λ and widths.
    #[serde(flatten)]
    pub space: Space,
    /// When it was written, in seconds since 1970-01-01 UTC.
    pub created_unix_s: u64,
    /// The image rows.
    pub images: Collection,
    /// The caption rows, if captions were indexed.
    pub captions: Option<Collection>,
    /// Whatever the caller stored, such as where the model lies.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A row file and its items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Number of rows, and of items.
    pub count: u64,
    /// The row file, `images.f16` or `captions.f16`.
    pub vectors: FileRecord,
    /// The items, `images.jsonl` or `captions.jsonl`.
    pub items: FileRecord,
}

impl IndexMeta {
    pub(crate) fn new(
        generation: u64,
        model: &str,
        space: Space,
        images: Collection,
        extra: Map<String, Value>,
    ) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            format: FORMAT.to_string(),
            version: INDEX_VERSION,
            generation,
            model: model.to_string(),
            space,
            created_unix_s: now.map_or(0, |d| d.as_secs()),
            images,
            captions: None,
            extra,
        }
    }

    /// Reads the `meta.json` of the index folder `dir`.
    ///
    /// # Errors
    /// If there is none, or it is not of an index, or of another version, or damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(META_FILE);
        let bytes = fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        Self::parse(&bytes, &path)
    }

    /// Reads the bytes of a `meta.json`; `name` is the file's, for messages.
    ///
    /// # Errors
    /// As [`IndexMeta::read`].
    pub fn parse(bytes: &[u8], name: &Path) -> Result<Self> {
        let what = |part: &str| format!("{part}{}", name.display());
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|e| Error::unexpected(what(""), e.to_string(), "JSON").with_hint(REINDEX))?;
        let found = |key: &str| value.get(key).map_or("nothing".to_string(), Value::to_string);
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(Error::unexpected(what("format in "), found("format"), format!("\"{FORMAT}\""))
                .with_hint("this folder is not an index: name another one"));
        }
        if value.get("version").and_then(Value::as_u64) != Some(INDEX_VERSION) {
            return Err(Error::unexpected(what("version in "), found("version"), INDEX_VERSION.to_string())
                .with_hint("the index was made by another version of this program: make it again"));
        }
        let meta: Self = serde_json::from_value(value)
            .map_err(|e| Error::unexpected(what(""), e.to_string(), "the fields of an index").with_hint(REINDEX))?;
        meta.space.check()?;
        Ok(meta)
    }

    /// True if `dir` holds a `meta.json` of an index, of whatever version.
    pub(crate) fn is_ours(dir: &Path) -> bool {
        let value = fs::read(dir.join(META_FILE)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        value.is_some_and(|value| value["format"] == FORMAT)
    }

    /// The bytes of this `meta.json`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data is valid JSON");
        bytes.push(b'\n');
        bytes
    }

    pub(crate) fn generation_dir(&self, dir: &Path) -> PathBuf {
        generation_dir(dir, self.generation)
    }
}

pub(crate) fn generation_dir(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("generation-{generation}"))
}
