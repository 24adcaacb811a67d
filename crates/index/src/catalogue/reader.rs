//! A snapshot of the catalogue; writers do not disturb it.

use super::{
    BUILDING, CATALOGUE_FILE, CURRENT, DEAD_CHUNK, Names, STATE, SegmentRecord, builder, generation_key, guard,
    malformed, parse_json,
};
use crate::bitmap::Bitmap;
use crate::item::Item;
use crate::meta::IndexMeta;
use gxn_base::{Error, Modality, Remedy, Result};
use redb::{DatabaseError, ReadOnlyDatabase, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CACHE_BYTES: usize = 64 << 20;
/// Times to wait while another program repairs the catalogue after a crash, and how long.
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// The current generation as of one transaction.
pub(crate) struct Catalogue {
    path: PathBuf,
    meta: IndexMeta,
    images: Tables,
    captions: Option<Tables>,
    // The tables live in the transaction, the transaction in the database.
    _transaction: ReadTransaction,
    _database: ReadOnlyDatabase,
}

struct Tables {
    ids: ReadOnlyTable<&'static str, u64>,
    items: ReadOnlyTable<(u64, &'static str), &'static [u8]>,
    contents: ReadOnlyTable<&'static str, u64>,
    of_image: ReadOnlyTable<(&'static str, &'static str), ()>,
    segments: ReadOnlyTable<u64, &'static [u8]>,
    dead: ReadOnlyTable<u64, &'static [u8]>,
}

/// An item as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredItem {
    pub(crate) row: u64,
    pub(crate) id: String,
    pub(crate) json: Vec<u8>,
}

impl Catalogue {
    /// Opens the catalogue of the index in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(CATALOGUE_FILE);
        let database = open_database(&path)?;
        let (transaction, meta) = guard(&path, || {
            let transaction = database.begin_read()?;
            let meta = read_state(&path, &transaction)?;
            Ok((transaction, meta))
        })?;
        let meta = meta?;
        let tables = |modality: Modality| -> Result<Tables> {
            guard(&path, || Tables::open(&transaction, &Names::new(meta.generation, modality)))
        };
        let images = tables(Modality::Image)?;
        let captions = meta.captions.as_ref().map(|_| tables(Modality::Text)).transpose()?;
        let catalogue = Self { path, meta, images, captions, _transaction: transaction, _database: database };
        catalogue.meta.space.check()?;
        Ok(catalogue)
    }

    pub(crate) fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    /// The row files of a modality by their first row.
    pub(crate) fn segments(&self, modality: Modality) -> Result<Vec<(u64, SegmentRecord)>> {
        let Some(tables) = self.tables(modality) else { return Ok(Vec::new()) };
        let stored = guard(&self.path, || {
            let mut found = Vec::new();
            for entry in tables.segments.range::<u64>(..)? {
                let (first, record) = entry?;
                found.push((first.value(), record.value().to_vec()));
            }
            Ok(found)
        })?;
        let mut segments: Vec<(u64, SegmentRecord)> = Vec::with_capacity(stored.len());
        for (first, json) in stored {
            let record: SegmentRecord = parse_json(&self.path, "row file", &json)?;
            let after = segments.last().map_or(Some(0), |(first, last)| first.checked_add(last.rows));
            if first.checked_add(record.rows).is_none() || after.is_none_or(|after| first < after) {
                return Err(malformed(&self.path, format!("row files that overlap at row {first}")));
            }
            segments.push((first, record));
        }
        Ok(segments)
    }

    /// Which of the rows `first..first + rows` items refer to; `None` if all.
    pub(crate) fn live(&self, modality: Modality, first: u64, rows: u64) -> Result<Option<Bitmap>> {
        let Some(tables) = self.tables(modality) else { return Ok(None) };
        let mut live: Option<Bitmap> = None;
        guard(&self.path, || {
            let end = (first + rows).div_ceil(DEAD_CHUNK);
            for entry in tables.dead.range::<u64>(first / DEAD_CHUNK..end)? {
                let (chunk, bits) = entry?;
                for (at, byte) in bits.value().iter().enumerate().filter(|(_, byte)| **byte != 0) {
                    for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                        let row = chunk.value() * DEAD_CHUNK + at as u64 * 8 + bit;
                        if (first..first + rows).contains(&row) {
                            live.get_or_insert_with(|| Bitmap::full(rows as usize)).remove((row - first) as usize);
                        }
                    }
                }
            }
            Ok(())
        })?;
        Ok(live)
    }

    pub(crate) fn row_of(&self, modality: Modality, id: &str) -> Result<Option<u64>> {
        let Some(tables) = self.tables(modality) else { return Ok(None) };
        guard(&self.path, || Ok(tables.ids.get(id)?.map(|row| row.value())))
    }

    pub(crate) fn row_of_content(&self, modality: Modality, content: &str) -> Result<Option<u64>> {
        let Some(tables) = self.tables(modality) else { return Ok(None) };
        guard(&self.path, || Ok(tables.contents.get(content)?.map(|row| row.value())))
    }

    /// The item with this id.
    pub(crate) fn item_of(&self, modality: Modality, id: &str) -> Result<Option<StoredItem>> {
        let Some(row) = self.row_of(modality, id)? else { return Ok(None) };
        let Some(tables) = self.tables(modality) else { return Ok(None) };
        let json = guard(&self.path, || Ok(tables.items.get((row, id))?.map(|json| json.value().to_vec())))?;
        let json = json.ok_or_else(|| malformed(&self.path, format!("no item at row {row} for the id {id}")))?;
        Ok(Some(StoredItem { row, id: id.to_string(), json }))
    }

    /// Ids of the captions of an image, sorted.
    pub(crate) fn captions_of(&self, image: &str) -> Result<Vec<String>> {
        let Some(tables) = self.tables(Modality::Text) else { return Ok(Vec::new()) };
        guard(&self.path, || {
            let mut found = Vec::new();
            for entry in tables.of_image.range::<(&str, &str)>((image, "")..)? {
                let key = entry?.0;
                let (of, caption) = key.value();
                if of != image {
                    break;
                }
                found.push(caption.to_string());
            }
            Ok(found)
        })
    }

    /// All items of the rows `rows`, by row and id.
    pub(crate) fn items_in(&self, modality: Modality, rows: Range<u64>) -> Result<Vec<StoredItem>> {
        let Some(tables) = self.tables(modality) else { return Ok(Vec::new()) };
        guard(&self.path, || {
            let mut found = Vec::new();
            for entry in tables.items.range::<(u64, &str)>((rows.start, "")..(rows.end, ""))? {
                let (key, json) = entry?;
                let (row, id) = key.value();
                found.push(StoredItem { row, id: id.to_string(), json: json.value().to_vec() });
            }
            Ok(found)
        })
    }

    /// Entries of the tables of ids and of items, which must be equal.
    pub(crate) fn lengths(&self, modality: Modality) -> Result<(u64, u64)> {
        let Some(tables) = self.tables(modality) else { return Ok((0, 0)) };
        guard(&self.path, || Ok((tables.ids.len()?, tables.items.len()?)))
    }

    /// Reads an item's JSON.
    pub(crate) fn parse<T: Item>(&self, item: &StoredItem) -> Result<T> {
        parse_json(&self.path, &format!("item {}", item.id), &item.json)
    }

    pub(crate) fn malformed(&self, found: impl Into<String>) -> Error {
        malformed(&self.path, found)
    }

    fn tables(&self, modality: Modality) -> Option<&Tables> {
        match modality {
            Modality::Image => Some(&self.images),
            Modality::Text => self.captions.as_ref(),
        }
    }
}

impl Tables {
    fn open(transaction: &ReadTransaction, names: &Names) -> Result<Self, redb::Error> {
        Ok(Self {
            ids: transaction.open_table(names.ids())?,
            items: transaction.open_table(names.items())?,
            contents: transaction.open_table(names.contents())?,
            of_image: transaction.open_table(names.of_image())?,
            segments: transaction.open_table(names.segments())?,
            dead: transaction.open_table(names.dead())?,
        })
    }
}

/// The current generation; the outer result is the database's.
fn read_state(path: &Path, transaction: &ReadTransaction) -> Result<Result<IndexMeta>, redb::Error> {
    let unfinished = || {
        let what = format!("index {}", path.parent().unwrap_or(path).display());
        Error::not_found(what, "an unfinished one", "a finished index").with_remedy(Remedy::IndexAgain)
    };
    let state = match transaction.open_table(STATE) {
        Ok(state) => state,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Err(unfinished())),
        Err(other) => return Err(other.into()),
    };
    let Some(current) = state.get(CURRENT)? else {
        debug_assert!(state.get(BUILDING)?.is_some() || state.is_empty()?);
        return Ok(Err(unfinished()));
    };
    let number: Result<u64> = parse_json(path, CURRENT, current.value());
    let number = match number {
        Ok(number) => number,
        Err(error) => return Ok(Err(error)),
    };
    let key = generation_key(number);
    Ok(match state.get(key.as_str())? {
        Some(meta) => parse_json(path, &key, meta.value()),
        None => Err(malformed(path, format!("no {key}"))),
    })
}

/// Opens the database while others may write it; after a crash of its writer it is repaired first.
fn open_database(path: &Path) -> Result<ReadOnlyDatabase> {
    // The database's errors do not name the file.
    std::fs::File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
    for _ in 0..PATIENCE {
        let opened = guard(path, || match builder(CACHE_BYTES).open_read_only(path) {
            Err(DatabaseError::RepairAborted | DatabaseError::DatabaseAlreadyOpen) => Ok(None),
            other => Ok(Some(other?)),
        })?;
        if let Some(database) = opened {
            return Ok(database);
        }
        let repaired = guard(path, || match builder(CACHE_BYTES).open(path) {
            // Another program repairs it.
            Err(DatabaseError::DatabaseAlreadyOpen) => Ok(false),
            other => Ok(other.map(|_| true)?),
        })?;
        if !repaired {
            std::thread::sleep(PAUSE);
        }
    }
    Err(crate::fault::busy(path.parent().unwrap_or(path)))
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").field("path", &self.path).field("meta", &self.meta).finish_non_exhaustive()
    }
}
