//! The files of a feature store: rows are appended, synced, and then adopted by replacing `meta.json`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::FeatureSpec;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};
use gxn_data::ContentHash;

/// Version of the layout; part of every key, so that another version is simply another store.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Meta {
    format: u32,
    key: String,
    spec: FeatureSpec,
    /// Values in a row.
    row_length: usize,
    rows: usize,
}

/// A store's folder and what its rows are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub folder: PathBuf,
    pub key: String,
    pub spec: FeatureSpec,
    /// Values in a row.
    pub length: usize,
    /// Name of the file of rows.
    pub file: &'static str,
}

/// Committed rows of `E`, memory-mapped.
#[derive(Debug)]
pub(super) struct Rows<E> {
    length: usize,
    map: Option<Mmap>,
    element: PhantomData<E>,
}

impl<E: Pod> Rows<E> {
    /// One row.
    pub(super) fn row(&self, place: usize) -> &[E] {
        match &self.map {
            Some(map) => &bytemuck::cast_slice(map)[place * self.length..][..self.length],
            None => &[],
        }
    }
}

/// The right to append rows, which one process has at a time.
#[derive(Debug)]
pub(super) struct Writer {
    place: Place,
    meta: Meta,
    /// Bytes of a row.
    width: usize,
    /// Appended since the last commit.
    pending: usize,
    rows: File,
    contents: File,
    /// Held until this is dropped.
    _lock: File,
}

impl Place {
    fn meta_path(&self) -> PathBuf {
        self.folder.join("meta.json")
    }

    fn contents_path(&self) -> PathBuf {
        self.folder.join("contents.bin")
    }

    fn read_meta(&self) -> Result<Option<Meta>> {
        let path = self.meta_path();
        let advice = || format!("remove {}: its features are then computed again", self.folder.display());
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(source) => return Err(Error::io("cannot read", &path, source)),
        };
        let what = path.display().to_string();
        let meta = serde_json::from_slice::<Meta>(&text).map_err(|error| {
            Error::damaged(&what, error.to_string(), "a feature store's description").with_hint(advice())
        })?;
        if meta.key != self.key || meta.row_length != self.length {
            let found = format!("key {} and rows of {} values", meta.key, meta.row_length);
            let expected = format!("key {} and {} values", self.key, self.length);
            return Err(Error::damaged(what, found, expected).with_hint(advice()));
        }
        Ok(Some(meta))
    }

    /// The rows that are committed now, and the content of each. Safe beside a process that appends: it replaces the
    /// description last, and never rewrites a committed row.
    ///
    /// # Errors
    /// When the files cannot be read or belong to something else.
    pub(super) fn read<E: Pod>(&self) -> Result<(Rows<E>, Vec<ContentHash>)> {
        let mut rows = Rows { length: self.length, map: None, element: PhantomData };
        let Some(meta) = self.read_meta()?.filter(|meta| meta.rows > 0) else { return Ok((rows, Vec::new())) };
        let path = self.folder.join(self.file);
        let file = File::open(&path).map_err(|source| Error::io("cannot open", &path, source))?;
        let width = (self.length * size_of::<E>()) as u64;
        let whole = file.metadata().map_err(|source| Error::io("cannot read", &path, source))?.len() / width;
        let path = self.contents_path();
        let known = std::fs::read(&path).map_err(|source| Error::io("cannot read", &path, source))?;
        let known: Vec<_> = known.as_chunks::<32>().0.iter().map(|&hash| ContentHash(hash)).collect();
        let count = meta.rows.min(known.len()).min(whole as usize);
        if count > 0 {
            // SAFETY: the map is only read, and rows that were committed are never rewritten.
            let map = unsafe { Mmap::map(&file) };
            rows.map = Some(map.map_err(|source| Error::io("cannot map features in", &self.folder, source))?);
        }
        Ok((rows, known[..count].to_vec()))
    }

    /// Opens or creates the files for writing and cuts off what was not committed. `wait` waits for another process that
    /// writes; otherwise that is an error.
    ///
    /// # Errors
    /// When the files cannot be read or written, belong to something else, or another process holds them.
    pub(super) fn write<E: Pod>(&self, wait: bool) -> Result<Writer> {
        std::fs::create_dir_all(&self.folder).map_err(|source| Error::io("cannot create", &self.folder, source))?;
        let lock = append(&self.folder.join("lock"))?;
        let held = if wait { lock.lock().map_err(TryLockError::Error) } else { lock.try_lock() };
        match held {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("the feature store {}", self.folder.display());
                return Err(Error::busy(what, "another process that writes to it", "one at a time")
                    .with_hint("wait until it has finished"));
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("cannot lock", &self.folder, source)),
        }
        let mut meta = self.read_meta()?.unwrap_or_else(|| Meta {
            format: FORMAT,
            key: self.key.clone(),
            spec: self.spec.clone(),
            row_length: self.length,
            rows: 0,
        });
        let (rows_path, contents_path) = (self.folder.join(self.file), self.contents_path());
        let (rows, contents) = (append(&rows_path)?, append(&contents_path)?);
        let size = |file: &File, path: &Path| {
            file.metadata().map(|meta| meta.len()).map_err(|source| Error::io("cannot read", path, source))
        };
        let width = self.length * size_of::<E>();
        // Files shorter than what was committed have lost rows; those before the loss are good.
        let whole = (size(&rows, &rows_path)? / width as u64).min(size(&contents, &contents_path)? / 32);
        meta.rows = meta.rows.min(whole as usize);
        let cut = |file: &File, length: usize, path: &Path| {
            file.set_len(length as u64).map_err(|source| Error::io("cannot cut", path, source))
        };
        cut(&rows, meta.rows * width, &rows_path)?;
        cut(&contents, meta.rows * 32, &contents_path)?;
        let mut writer = Writer { place: self.clone(), meta, width, pending: 0, rows, contents, _lock: lock };
        writer.commit()?;
        Ok(writer)
    }
}

impl Writer {
    /// Appends a row; [`Self::commit`] makes it last. Returns its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn append<E: Pod>(&mut self, content: &ContentHash, row: &[E]) -> Result<usize> {
        debug_assert_eq!(size_of_val(row), self.width);
        let fail = |source| Error::io("cannot write features to", &self.place.folder, source);
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
        let fail = |source| Error::io("cannot write features to", &self.place.folder, source);
        self.rows.sync_data().map_err(fail)?;
        self.contents.sync_data().map_err(fail)?;
        self.meta.rows += std::mem::take(&mut self.pending);
        let text = serde_json::to_vec_pretty(&self.meta).map_err(|error| fail(error.into()))?;
        write_atomically(&self.place.meta_path(), |file| file.write_all(&text))
    }
}

fn append(path: &Path) -> Result<File> {
    let options = OpenOptions::new().read(true).append(true).create(true).open(path);
    options.map_err(|source| Error::io("cannot open", path, source))
}
