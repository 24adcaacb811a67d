//! `catalogue.redb`: the one commit point. Which rows of which files count, which items they are, and how many.
//!
//! | table | key → value |
//! |---|---|
//! | `state` | `current`, `building`: number of a generation; `next_file`: number for the next row file; `generation/N`: [`IndexMeta`] |
//! | `N/MODALITY/ids` | id of an item → row |
//! | `N/MODALITY/items` | (row, id) → the item as JSON |
//! | `N/MODALITY/contents` | content → row |
//! | `N/MODALITY/of_image` | (image id, caption id) → nothing |
//! | `N/MODALITY/segments` | first row → [`SegmentRecord`] |
//! | `N/MODALITY/dead` | row / 4096 → 4096 bits, one for each row that no item refers to |
//!
//! N is a generation and MODALITY `images` or `captions`. All of an index is of one generation, `current`; a second one,
//! `building`, is made beside it when another model takes over, and becomes the current one in a single transaction.

mod overlay;
mod reader;
mod writer;

pub(crate) use overlay::check_integrity;
pub(crate) use reader::{Catalogue, StoredItem};
pub(crate) use writer::CatalogueWriter;

use crate::fault::malformed;

use crate::segment::Chain;
use gxn_base::{Modality, Result};
use redb::{Builder, ConcurrencyMode, TableDefinition};
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Name of the catalogue in an index folder.
pub(crate) const CATALOGUE_FILE: &str = "catalogue.redb";

const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const CURRENT: &str = "current";
const BUILDING: &str = "building";
const NEXT_FILE: &str = "next_file";
/// Rows whose dead bits share a value.
const DEAD_CHUNK: u64 = 4096;

/// Names of the tables of one modality of one generation.
struct Names {
    ids: String,
    items: String,
    contents: String,
    of_image: String,
    segments: String,
    dead: String,
}

impl Names {
    fn new(generation: u64, modality: Modality) -> Self {
        let name = |kind: &str| format!("{generation}/{}/{kind}", modality.plural());
        Self {
            ids: name("ids"),
            items: name("items"),
            contents: name("contents"),
            of_image: name("of_image"),
            segments: name("segments"),
            dead: name("dead"),
        }
    }

    fn ids(&self) -> TableDefinition<'_, &'static str, u64> {
        TableDefinition::new(&self.ids)
    }

    fn items(&self) -> TableDefinition<'_, (u64, &'static str), &'static [u8]> {
        TableDefinition::new(&self.items)
    }

    fn contents(&self) -> TableDefinition<'_, &'static str, u64> {
        TableDefinition::new(&self.contents)
    }

    fn of_image(&self) -> TableDefinition<'_, (&'static str, &'static str), ()> {
        TableDefinition::new(&self.of_image)
    }

    fn segments(&self) -> TableDefinition<'_, u64, &'static [u8]> {
        TableDefinition::new(&self.segments)
    }

    fn dead(&self) -> TableDefinition<'_, u64, &'static [u8]> {
        TableDefinition::new(&self.dead)
    }
}

/// How much of a row file was adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentRecord {
    /// Number of the file.
    pub(crate) file: u64,
    /// Its rows.
    pub(crate) rows: u64,
    /// Hex of their checksum, [`Chain`].
    chain: String,
}

impl SegmentRecord {
    pub(crate) fn new(file: u64, rows: u64, chain: &Chain) -> Self {
        Self { file, rows, chain: gxn_base::words::hex(chain) }
    }

    pub(crate) fn chain(&self) -> Chain {
        let mut chain = [0; 32];
        // A malformed one stays zeros, which no file has as its checksum.
        for (byte, pair) in chain.iter_mut().zip(self.chain.as_bytes().as_chunks::<2>().0) {
            *byte = std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok()).unwrap_or(0);
        }
        chain
    }
}

/// Path of a row file.
pub(crate) fn segment_path(dir: &Path, modality: Modality, number: u64) -> PathBuf {
    dir.join(SEGMENT_DIR).join(format!("{}-{number}.f16", modality.plural()))
}

/// Path of the sketches of a row file.
pub(crate) fn sketch_path(rows: &Path) -> PathBuf {
    rows.with_extension("sketch")
}

/// Folder of the row files.
pub(crate) const SEGMENT_DIR: &str = "segments";

fn generation_key(number: u64) -> String {
    format!("generation/{number}")
}

/// Readers work beside one writer.
fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder
}

/// Runs work on the database at `path`. A file that was changed behind the database's back can make it panic; here that
/// is an error like any other.
fn guard<T>(path: &Path, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|e| crate::fault::redb_error(path, e)),
        Err(_) => Err(malformed(path, "content that makes no sense")),
    }
}

fn parse_json<T: serde::de::DeserializeOwned>(path: &Path, name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| malformed(path, format!("{name}: {e}")))
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data is valid JSON")
}
