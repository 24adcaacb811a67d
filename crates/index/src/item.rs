//! What the index knows of each row, one JSON object a line.

use crate::error::{Error, Result};
use crate::file::{REINDEX, check_length};
use memmap2::Mmap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// An indexed image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageItem {
    /// Unique among the images of an index.
    pub id: String,
    /// Where the picture lies, as the caller wants to show it.
    pub path: String,
    /// Lower-case hex SHA-256 of the picture file.
    pub sha256: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Whatever else the caller keeps of it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub meta: serde_json::Map<String, serde_json::Value>,
}

/// An indexed caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionItem {
    /// Unique among the captions of an index.
    pub id: String,
    /// Id of the image it belongs to, which the index must hold too.
    pub image_id: String,
    /// The caption's words as written.
    pub text: String,
}

/// The lines of a mapped JSONL file, parsed when asked for.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    map: Option<Mmap>,
    /// Where each line ends, its newline excluded.
    ends: Vec<usize>,
    row_of_id: OnceLock<HashMap<String, usize>>,
}

#[derive(Deserialize)]
struct IdOnly<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl Lines {
    /// Maps `path`, which must have `expected` lines in `expected_bytes` bytes.
    pub(crate) fn open(path: &Path, expected: u64, expected_bytes: u64) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        let bytes = file.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
        check_length(path, bytes, expected_bytes)?;
        // An empty file cannot be mapped everywhere.
        let map = match bytes {
            0 => None,
            // SAFETY: as in `Segment::open`: finished files are never changed.
            _ => Some(unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", path, e))?),
        };
        let text = map.as_deref().unwrap_or_default();
        let ends: Vec<usize> = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).collect();
        if ends.len() as u64 != expected || text.last().is_some_and(|b| *b != b'\n') {
            let what = format!("lines of {}", path.display());
            return Err(Error::unexpected(what, ends.len().to_string(), expected.to_string()).with_hint(REINDEX));
        }
        Ok(Self { path: path.to_path_buf(), map, ends, row_of_id: OnceLock::new() })
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The item of `row`, which must exist.
    pub(crate) fn get<T: DeserializeOwned>(&self, row: usize) -> Result<T> {
        serde_json::from_slice(self.line(row)).map_err(|e| self.malformed(row, &e))
    }

    /// The row with this id. The first call reads every line.
    pub(crate) fn row_of(&self, id: &str) -> Result<Option<usize>> {
        if let Some(rows) = self.row_of_id.get() {
            return Ok(rows.get(id).copied());
        }
        let mut rows = HashMap::with_capacity(self.len());
        for row in 0..self.len() {
            let item: IdOnly<'_> = serde_json::from_slice(self.line(row)).map_err(|e| self.malformed(row, &e))?;
            rows.insert(item.id.into_owned(), row);
        }
        Ok(self.row_of_id.get_or_init(|| rows).get(id).copied())
    }

    fn line(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] + 1 };
        &self.map.as_deref().unwrap_or_default()[start..self.ends[row]]
    }

    fn malformed(&self, row: usize, error: &serde_json::Error) -> Error {
        let what = format!("line {} of {}", row + 1, self.path.display());
        Error::unexpected(what, error.to_string(), "one JSON object that describes an item").with_hint(REINDEX)
    }
}
