//! The files of a feature store: rows are appended, synced, and then adopted by replacing `meta.json`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use half::f16;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::FeatureSpec;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};
use gxn_data::ContentHash;

/// Version of the layout; part of every key, so that another version is simply another store.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    format: u32,
    key: String,
    spec: FeatureSpec,
    /// Values in a row.
    row_length: usize,
    rows: usize,
}

/// The rows on disk, and the map of those that were committed at the last look.
#[derive(Debug)]
pub(super) struct Rows {
    folder: PathBuf,
    meta: Meta,
    /// Appended since the last commit.
    pending: usize,
    rows: File,
    contents: File,
    map: Option<Mmap>,
    /// Held while this process may write.
    lock: File,
}

impl Rows {
    /// Opens or creates the files in `folder` for writing and cuts off what was not committed. Also returns the
    /// content of each row.
    ///
    /// # Errors
    /// When the files cannot be read or written, belong to something else, or another process holds them.
    pub(super) fn open(
        folder: &Path,
        key: &str,
        spec: &FeatureSpec,
        length: usize,
    ) -> Result<(Self, Vec<ContentHash>)> {
        let lock = append(&folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("the feature store {}", folder.display());
                return Err(Error::invalid(what, "another process that writes to it", "one at a time")
                    .with_hint("wait until it has finished"));
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("cannot lock", folder, source)),
        }
        let path = folder.join("meta.json");
        let mut meta = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Meta>(&text).map_err(|error| {
                Error::invalid(path.display().to_string(), error.to_string(), "a feature store's description")
                    .with_hint(format!("remove {}: its features are then computed again", folder.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Meta { format: FORMAT, key: key.to_string(), spec: spec.clone(), row_length: length, rows: 0 }
            }
            Err(source) => return Err(Error::io("cannot read", &path, source)),
        };
        if meta.key != key || meta.row_length != length {
            let found = format!("key {} and rows of {} values", meta.key, meta.row_length);
            return Err(Error::invalid(path.display().to_string(), found, format!("key {key} and {length} values")));
        }
        let (rows_path, contents_path) = (folder.join("rows.f16"), folder.join("contents.bin"));
        let (rows, contents) = (append(&rows_path)?, append(&contents_path)?);
        let size = |file: &File, path: &Path| {
            file.metadata().map(|meta| meta.len()).map_err(|source| Error::io("cannot read", path, source))
        };
        // Files shorter than what was committed have lost rows; those before the loss are good.
        let whole = (size(&rows, &rows_path)? / (2 * length as u64)).min(size(&contents, &contents_path)? / 32);
        meta.rows = meta.rows.min(whole as usize);
        rows.set_len((meta.rows * length * 2) as u64).map_err(|source| Error::io("cannot cut", &rows_path, source))?;
        contents.set_len(meta.rows as u64 * 32).map_err(|source| Error::io("cannot cut", &contents_path, source))?;
        let known = std::fs::read(&contents_path).map_err(|source| Error::io("cannot read", &contents_path, source))?;
        let known = known.as_chunks::<32>().0.iter().map(|&hash| ContentHash(hash)).collect();
        let mut store = Self { folder: folder.to_path_buf(), meta, pending: 0, rows, contents, map: None, lock };
        store.commit()?;
        Ok((store, known))
    }

    /// Appends a row; [`Self::commit`] makes it last. Returns its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn append(&mut self, content: &ContentHash, row: &[f16]) -> Result<usize> {
        debug_assert_eq!(row.len(), self.meta.row_length);
        let fail = |source| Error::io("cannot write features to", &self.folder, source);
        self.rows.write_all(bytemuck::cast_slice(row)).map_err(fail)?;
        self.contents.write_all(&content.0).map_err(fail)?;
        self.pending += 1;
        Ok(self.meta.rows + self.pending - 1)
    }

    /// Makes appended rows last: data first, then the new count.
    ///
    /// # Errors
    /// When it cannot be written; the earlier rows are then still good.
    pub(super) fn commit(&mut self) -> Result<()> {
        let fail = |source| Error::io("cannot write features to", &self.folder, source);
        self.rows.sync_data().map_err(fail)?;
        self.contents.sync_data().map_err(fail)?;
        self.meta.rows += std::mem::take(&mut self.pending);
        let text = serde_json::to_vec_pretty(&self.meta).map_err(|error| fail(error.into()))?;
        write_atomically(&self.folder.join("meta.json"), |file| file.write_all(&text))
    }

    /// Commits, maps all rows for reading, and lets other processes write.
    ///
    /// # Errors
    /// When the files cannot be written or mapped.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.commit()?;
        // SAFETY: the map is read-only and rows that were committed are never rewritten.
        let map = unsafe { Mmap::map(&self.rows) };
        self.map = match self.meta.rows {
            0 => None, // an empty file cannot be mapped
            _ => Some(map.map_err(|source| Error::io("cannot map features in", &self.folder, source))?),
        };
        self.lock.unlock().map_err(|source| Error::io("cannot unlock", &self.folder, source))
    }

    /// One row; empty before [`Self::finish`].
    pub(super) fn row(&self, place: usize) -> &[f16] {
        let length = self.meta.row_length;
        match &self.map {
            Some(map) => &bytemuck::cast_slice(map)[place * length..][..length],
            None => &[],
        }
    }
}

fn append(path: &Path) -> Result<File> {
    let options = OpenOptions::new().read(true).append(true).create(true).open(path);
    options.map_err(|source| Error::io("cannot open", path, source))
}
