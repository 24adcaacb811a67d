//! [`CatalogueStamp`]: whether an index was changed, by the state of its catalogue file.

use crate::catalogue::CATALOGUE_FILE;
use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

/// Length, time and file of a catalogue: every commit changes the time, a new catalogue also the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CatalogueStamp {
    bytes: u64,
    modified: Option<SystemTime>,
    file: u64,
}

impl CatalogueStamp {
    /// That of the index in `dir`; `None` if it cannot be read.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        let meta = std::fs::metadata(dir.join(CATALOGUE_FILE)).ok()?;
        Some(Self { bytes: meta.len(), modified: meta.modified().ok(), file: file_number(&meta) })
    }
}

#[cfg(unix)]
fn file_number(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn file_number(_: &Metadata) -> u64 {
    0
}
