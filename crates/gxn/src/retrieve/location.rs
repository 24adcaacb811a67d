//! Where an index lies, and where its source lies as seen from it.

use std::path::{Path, PathBuf};

use gxn_base::{Error, Remedy, Result};
use gxn_index::Index;

use super::shard::Shard;

/// Name of the index's folder inside an indexed folder.
pub const INDEX_FOLDER: &str = ".gxn";

/// The index for `dir`: `dir` itself, its `.gxn`, or the nearest `.gxn` above.
///
/// # Errors
/// When there is none.
pub fn find_index(dir: &Path) -> Result<PathBuf> {
    if Index::exists(dir) {
        return Ok(dir.to_path_buf());
    }
    let start = std::fs::canonicalize(dir).map_err(|e| Error::io("cannot open", dir, e))?;
    let above = start.ancestors().map(|folder| folder.join(INDEX_FOLDER)).find(|index| Index::exists(index));
    above.ok_or_else(|| {
        let what = format!("the index for {}", dir.display());
        Error::not_found(what, "none here or above", format!("a folder `{INDEX_FOLDER}`"))
            .with_remedy(Remedy::MakeIndex)
    })
}

/// The index at `path` or in its `.gxn`; unlike [`find_index`] not one further up.
///
/// # Errors
/// When there is none, or one that was begun and not finished.
pub fn index_at(path: &Path) -> Result<PathBuf> {
    let places = [path.to_path_buf(), path.join(INDEX_FOLDER)];
    if let Some(dir) = places.iter().find(|dir| Index::exists(dir)) {
        return Ok(dir.clone());
    }
    let what = format!("the index in {}", path.display());
    Err(if places.iter().any(|dir| Index::is_begun(dir)) {
        Error::not_found(what, "one whose making was interrupted", "an index")
            .with_hint("index the same source again: it goes on where it stopped")
    } else if path.exists() {
        Error::not_found(what, "none", "an index").with_remedy(Remedy::MakeIndex)
    } else {
        Error::not_found(what, "no such folder", "an index").with_hint("check the path")
    })
}

/// Where the index of a source goes unless another folder is named: `SOURCE/.gxn`, or beside a file; of a shard
/// `.gxn-shard-I-of-N`.
pub fn default_index(source: &Path, shard: Option<Shard>) -> PathBuf {
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(Path::new(".")) };
    match shard {
        Some(Shard { index, count }) => folder.join(format!("{INDEX_FOLDER}-shard-{index}-of-{count}")),
        None => folder.join(INDEX_FOLDER),
    }
}

/// The path from the root, links resolved where it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
}

/// The source as seen from the index's folder, so that both can be moved together: `..` where the index lies in it, else
/// the whole path.
pub(super) fn seen_from(dir: &Path, source: &Path) -> String {
    let (dir, source) = (std::path::absolute(dir).unwrap_or_else(|_| dir.into()), real(source));
    if dir.parent().is_some_and(|above| real(above) == source) { "..".into() } else { source.display().to_string() }
}
