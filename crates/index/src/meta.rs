//! What an index is made for: `meta.json` marks a folder as an index of one version, the catalogue holds all else.

use crate::fault::OTHER_PROGRAM;
use crate::file;
use crate::segment::Header;
use crate::space::Space;
use gxn_base::{Error, Modality, Remedy, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// Version of the index directory that this build writes.
pub const INDEX_VERSION: u64 = 3;
/// The oldest version that this build reads. Version 2 is the same but for [`ImageItem::file`](crate::ImageItem::file).
const OLDEST_VERSION: u64 = 2;
/// Name of the file that makes a folder an index.
pub(crate) const META_FILE: &str = "meta.json";
const FORMAT: &str = "gxn-index";

/// What an index is made for and how much it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexMeta {
    /// Number of this build of the index; replacing an index by another model's makes a new one.
    pub generation: u64,
    /// Fingerprint of the model that made the embeddings.
    pub model: String,
    /// Similarity, λ and widths.
    #[serde(flatten)]
    pub space: Space,
    /// When it was begun, in seconds since 1970-01-01 UTC.
    pub created_unix_s: u64,
    /// The images.
    pub images: Collection,
    /// The captions, if captions were indexed.
    pub captions: Option<Collection>,
    /// Whatever the caller stored, such as where the model lies.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// How much there is of one modality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Items.
    pub count: u64,
    /// Rows that items refer to; fewer than items where several have the same content.
    pub rows: u64,
    /// Rows that no item refers to any more; compaction takes them away.
    pub dead_rows: u64,
}

impl IndexMeta {
    pub(crate) fn new(generation: u64, model: String, space: Space, extra: Map<String, Value>) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let created_unix_s = now.map_or(0, |d| d.as_secs());
        Self { generation, model, space, created_unix_s, images: Collection::default(), captions: None, extra }
    }

    /// Refuses any model but the one that made the index, which messages call `place`.
    ///
    /// # Errors
    /// If `fingerprint` is another; the error names both.
    pub(crate) fn require_model(&self, place: &str, fingerprint: &str) -> Result<()> {
        if fingerprint == self.model {
            return Ok(());
        }
        Err(Error::conflict(format!("model for the {place}"), fingerprint, format!("{}, which made it", self.model))
            .with_hint("use the model that made the index, or index the images again with this one"))
    }

    /// The header of a row file.
    pub(crate) fn header(&self, modality: Modality, number: u64) -> Header {
        let (h, l) = (self.space.dims_abstract as u32, self.space.dims_grounded as u32);
        Header { dims_abstract: h, dims_grounded: l, modality, number }
    }

    /// What there is of `modality`.
    pub fn collection(&self, modality: Modality) -> Option<&Collection> {
        match modality {
            Modality::Image => Some(&self.images),
            Modality::Text => self.captions.as_ref(),
        }
    }

    /// The same to change; captions begin to exist with this call.
    pub(crate) fn collection_mut(&mut self, modality: Modality) -> &mut Collection {
        match modality {
            Modality::Image => &mut self.images,
            Modality::Text => self.captions.get_or_insert_default(),
        }
    }
}

/// Checks that the `meta.json` in `dir` is of an index of a version that this build reads.
pub(crate) fn check_identity(dir: &Path) -> Result<()> {
    let path = dir.join(META_FILE);
    let bytes = fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    parse_identity(&bytes, &path)
}

/// Checks the bytes of a `meta.json`; `name` is the file's, for messages.
fn parse_identity(bytes: &[u8], name: &Path) -> Result<()> {
    let what = |part: &str| format!("{part}{}", name.display());
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| crate::fault::damaged(what(""), e.to_string(), "JSON"))?;
    let found = |key: &str| value.get(key).map_or("nothing".to_string(), Value::to_string);
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(Error::invalid(what("format in "), found("format"), format!("\"{FORMAT}\""))
            .with_hint("this folder is not an index: name another one"));
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(OLDEST_VERSION..=INDEX_VERSION) => Ok(()),
        version => {
            let remedy = match version {
                Some(newer) if newer > INDEX_VERSION => Remedy::Advice(OTHER_PROGRAM.into()),
                _ => Remedy::IndexAgain,
            };
            let expected = format!("{OLDEST_VERSION} to {INDEX_VERSION}");
            Err(Error::unsupported(what("version in "), found("version"), expected).with_remedy(remedy))
        }
    }
}

/// Refuses an index of a later version, of which this program knows nothing. One of an earlier version, or a damaged
/// `meta.json`, may be replaced.
pub(crate) fn refuse_newer(dir: &Path) -> Result<()> {
    match version(dir) {
        Some(version) if version > INDEX_VERSION => check_identity(dir),
        _ => Ok(()),
    }
}

/// The version in the `meta.json` of `dir`, if it is an index's.
pub(crate) fn version(dir: &Path) -> Option<u64> {
    identity(dir)?["version"].as_u64()
}

/// True if `dir` holds a `meta.json` of an index, of whatever version.
pub(crate) fn is_ours(dir: &Path) -> bool {
    identity(dir).is_some()
}

/// The `meta.json` of an index.
fn identity(dir: &Path) -> Option<Value> {
    let bytes = fs::read(dir.join(META_FILE)).ok()?;
    serde_json::from_slice::<Value>(&bytes).ok().filter(|value| value["format"] == FORMAT)
}

/// Makes `dir` an index of this version.
pub(crate) fn write_identity(dir: &Path) -> Result<()> {
    let identity = json!({"format": FORMAT, "version": INDEX_VERSION});
    let mut bytes = serde_json::to_vec_pretty(&identity).expect("plain data is valid JSON");
    bytes.push(b'\n');
    file::replace(&dir.join(META_FILE), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_meta_gives_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse_identity(&bytes, Path::new("meta.json")).is_err());
        }
    }
}
