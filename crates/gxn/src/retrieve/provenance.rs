//! [`Provenance`]: what an index stores beside its items: the model that made it, the source that it was made of.

use std::fmt;
use std::path::{Path, PathBuf};

use gxn_base::{Error, Remedy, Result};
use gxn_index::IndexMeta;
use serde::Serialize;
use serde_json::{Map, Value};

use super::location::{IndexPlace, real, seen_from};
use super::options::IndexOptions;
use super::shard::Shard;

const ROOT: &str = "root";
const SOURCE: &str = "source";
const MODEL: &str = "model_path";
const SHARD: &str = "shard";
const KIND: &str = "kind";
const FORMAT: &str = "format";
const OPTIONS: &str = "options";

/// What a source is indexed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The images of a folder, without captions.
    #[default]
    Images,
    /// A dataset: images with captions.
    Dataset,
}

impl SourceKind {
    /// As indexes store it.
    fn stored(self) -> &'static str {
        match self {
            Self::Images => "pictures",
            Self::Dataset => "data set",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Images => "images without captions",
            Self::Dataset => "a dataset, images with captions",
        })
    }
}

/// Where an index comes from. An older index may lack any of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Provenance {
    /// The run or checkpoint that made it, where it was then.
    pub model: Option<PathBuf>,
    /// The folder or dataset that it was made of.
    pub source: Option<PathBuf>,
    /// The folder that the paths of its items are relative to.
    pub root: Option<PathBuf>,
    /// What the source was read as.
    pub kind: Option<SourceKind>,
    /// The format that a dataset was read as.
    pub format: Option<String>,
    /// The share of the source that it holds; `None` for all of it.
    pub shard: Option<Shard>,
    pub(super) options: Option<Value>,
}

impl Provenance {
    /// Names under which an index stores it.
    pub(super) const KEYS: [&str; 7] = [ROOT, SOURCE, MODEL, SHARD, KIND, FORMAT, OPTIONS];

    /// That of an index.
    ///
    /// # Errors
    /// When what is stored as its shard is not one.
    pub fn of(place: &IndexPlace, meta: &IndexMeta) -> Result<Self> {
        let text = |key: &str| meta.extra.get(key).and_then(Value::as_str);
        Ok(Self {
            model: stored_model(meta),
            source: stored_place(place, meta, SOURCE),
            root: stored_root(place, meta),
            kind: text(KIND).map(|kind| {
                if kind == SourceKind::Dataset.stored() { SourceKind::Dataset } else { SourceKind::Images }
            }),
            format: text(FORMAT).map(str::to_owned),
            shard: text(SHARD).map(str::parse).transpose()?,
            options: meta.extra.get(OPTIONS).cloned(),
        })
    }

    /// The options that it was indexed with.
    ///
    /// # Errors
    /// When they are damaged, or of a later version of this program.
    pub fn options(&self) -> Result<Option<IndexOptions>> {
        self.options.as_ref().map(IndexOptions::from_stored).transpose()
    }

    /// The same with other options.
    #[must_use]
    pub(super) fn with_options(mut self, options: &IndexOptions) -> Self {
        self.options = Some(options.to_stored());
        self
    }

    /// As an index stores it.
    pub(super) fn to_extra(&self, place: &IndexPlace) -> Map<String, Value> {
        let dir = place.base();
        let text = |path: &PathBuf| path.display().to_string();
        let fields = [
            (MODEL, self.model.as_ref().map(text)),
            (SOURCE, self.source.as_ref().map(|source| seen_from(dir, source))),
            (KIND, self.kind.map(|kind| kind.stored().to_owned())),
            (FORMAT, self.format.clone()),
            (ROOT, self.root.as_ref().map(|root| seen_from(dir, root))),
            (SHARD, self.shard.map(|shard| shard.to_string())),
        ];
        let mut extra: Map<String, Value> =
            fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect();
        if let Some(options) = &self.options {
            extra.insert(OPTIONS.into(), options.clone());
        }
        extra
    }

    /// Refuses an index, at `dir`, that is not of the source of `other`, at `other_dir`, or was made with other options.
    ///
    /// # Errors
    /// Names the first difference.
    pub(super) fn require_like(&self, dir: &Path, other: &Self) -> Result<()> {
        let here = dir.display();
        for (theirs, ours) in [(&self.source, &other.source), (&self.root, &other.root)] {
            if theirs != ours {
                let place =
                    |path: &Option<PathBuf>| path.as_ref().map_or("none stored".into(), |p| p.display().to_string());
                return Err(Error::conflict(format!("source of {here}"), place(theirs), place(ours)).with_hint(
                    "merge indexes of one folder or dataset; of several, index a folder that holds them all",
                ));
            }
        }
        // What an older version did not store is not held against it.
        if let (Some(theirs), Some(ours)) = (self.kind, other.kind)
            && theirs != ours
        {
            return Err(Error::conflict(format!("what {here} is of"), theirs.to_string(), ours.to_string())
                .with_remedy(Remedy::SameOptions));
        }
        if let (Some(theirs), Some(ours)) = (self.options()?, other.options()?) {
            let (theirs, ours) = (theirs.to_stored(), ours.to_stored());
            if theirs != ours {
                return Err(Error::conflict(format!("options of {here}"), theirs.to_string(), ours.to_string())
                    .with_remedy(Remedy::SameOptions));
            }
        }
        Ok(())
    }
}

/// The run or checkpoint that made the index, where it was then.
pub(super) fn stored_model(meta: &IndexMeta) -> Option<PathBuf> {
    meta.extra.get(MODEL).and_then(Value::as_str).map(PathBuf::from)
}

/// The folder that paths of the index's items are relative to, if they are.
pub(super) fn stored_root(place: &IndexPlace, meta: &IndexMeta) -> Option<PathBuf> {
    stored_place(place, meta, ROOT)
}

/// A stored place, which may be relative to the index's folder.
fn stored_place(place: &IndexPlace, meta: &IndexMeta, key: &str) -> Option<PathBuf> {
    meta.extra.get(key).and_then(Value::as_str).map(|stored| real(&place.base().join(stored)))
}

/// An item's path as it can be opened from anywhere.
pub(super) fn shown_path(root: Option<&Path>, path: &str) -> String {
    root.map_or_else(|| path.to_string(), |root| root.join(path).display().to_string())
}
