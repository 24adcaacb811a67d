//! What an index notes beside its items: the model that made it, the source that it was made of.

use std::path::{Path, PathBuf};

use gxn_index::{Index, IndexMeta};
use serde_json::Value;

use super::indexer::DATA_SET;
use super::listing::Shard;
use gxn_base::Result;

/// The folder of the source, if the paths of items are relative to it.
pub(super) const ROOT: &str = "root";
/// The source, folder or data set.
pub(super) const SOURCE: &str = "source";
/// The model.
pub(super) const MODEL: &str = "model_path";
/// The share of the source.
pub(super) const SHARD: &str = "shard";
/// What the source was read as.
pub(super) const KIND: &str = "kind";
/// All of these.
pub(super) const NOTES: [&str; 5] = [ROOT, SOURCE, MODEL, SHARD, KIND];

/// The run or checkpoint that made the index, where it was then.
pub fn noted_model(meta: &IndexMeta) -> Option<PathBuf> {
    noted(meta, MODEL).map(PathBuf::from)
}

/// The folder or data set that the index in `dir` was made of.
pub fn noted_source(dir: &Path, meta: &IndexMeta) -> Option<PathBuf> {
    noted_place(dir, meta, SOURCE)
}

/// The share of its source that the index holds, if it is one.
///
/// # Errors
/// When what is noted is no share.
pub fn noted_shard(meta: &IndexMeta) -> Result<Option<Shard>> {
    noted(meta, SHARD).map(str::parse).transpose()
}

/// Whether the index was made of a data set rather than of plain pictures, if that is noted.
pub fn noted_as_dataset(meta: &IndexMeta) -> Option<bool> {
    noted(meta, KIND).map(|kind| kind == DATA_SET)
}

/// An item's path as it can be opened from anywhere.
pub(super) fn shown_path(root: Option<&Path>, path: &str) -> String {
    root.map_or_else(|| path.to_string(), |root| root.join(path).display().to_string())
}

/// The folder that paths of the index's items are relative to, if they are.
pub(super) fn noted_root(index: &Index) -> Option<PathBuf> {
    noted_place(index.dir(), index.meta(), ROOT)
}

pub(super) fn noted<'a>(meta: &'a IndexMeta, key: &str) -> Option<&'a str> {
    meta.extra.get(key).and_then(Value::as_str)
}

/// A noted place, which may be relative to the index in `dir`.
pub(super) fn noted_place(dir: &Path, meta: &IndexMeta, key: &str) -> Option<PathBuf> {
    noted(meta, key).map(|place| real(&dir.join(place)))
}

pub(super) fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
}

/// The source as seen from the index's folder, so that both can be moved together: `..` where the index lies in it, else
/// the whole path.
pub(super) fn seen_from(dir: &Path, source: &Path) -> String {
    let (dir, source) = (std::path::absolute(dir).unwrap_or_else(|_| dir.into()), real(source));
    if dir.parent().is_some_and(|above| real(above) == source) { "..".into() } else { source.display().to_string() }
}
