//! [`CatalogueWriter`]: changes of the catalogue, one transaction at a time.

use super::{
    BUILDING, CATALOGUE_FILE, CURRENT, DEAD_CHUNK, NEXT_FILE, Names, STATE, SegmentRecord, StoredItem, builder,
    generation_key, guard, malformed, parse_json, to_json,
};
use crate::meta::IndexMeta;
use gxn_base::{Modality, Result};
use redb::{Database, DatabaseError, Durability, ReadableTable, WriteTransaction};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const CACHE_BYTES: usize = 256 << 20;
/// How often and how long a writer, which holds the index's lock, waits for a reader that repairs the catalogue after a
/// crash.
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// The catalogue, open for writing.
pub(crate) struct CatalogueWriter {
    path: PathBuf,
    // Dropped before the database: a transaction keeps it open.
    transaction: Option<WriteTransaction>,
    /// There until the drop.
    database: Option<Database>,
    /// Something was written since the last commit.
    changed: bool,
    /// Made once for each modality of each generation.
    names: HashMap<(u64, Modality), Arc<Names>>,
}

impl CatalogueWriter {
    /// Opens the catalogue in `dir`, or makes an empty one.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(CATALOGUE_FILE);
        #[cfg(test)]
        if let Some(recorded) = crate::crash_simulation::backend(&path) {
            let database = guard(&path, || Ok(builder(CACHE_BYTES).create_with_backend(recorded)?))?;
            return Ok(Self::over(path, database));
        }
        for _ in 0..PATIENCE {
            let opened = guard(&path, || match builder(CACHE_BYTES).create(&path) {
                Err(DatabaseError::DatabaseAlreadyOpen) => Ok(None),
                other => Ok(Some(other?)),
            })?;
            if let Some(database) = opened {
                return Ok(Self::over(path, database));
            }
            std::thread::sleep(PAUSE);
        }
        Err(crate::fault::busy(dir))
    }

    fn over(path: PathBuf, database: Database) -> Self {
        Self { path, transaction: None, database: Some(database), changed: false, names: HashMap::new() }
    }

    /// The numbers of the current generation and of the one being built.
    pub(crate) fn generations(&mut self) -> Result<(Option<u64>, Option<u64>)> {
        Ok((self.state(CURRENT)?, self.state(BUILDING)?))
    }

    pub(crate) fn meta(&mut self, generation: u64) -> Result<IndexMeta> {
        let key = generation_key(generation);
        self.state(&key)?.ok_or_else(|| malformed(&self.path, format!("no {key}")))
    }

    /// Sets what a generation is made for and holds, if it has changed.
    pub(crate) fn set_meta(&mut self, meta: &IndexMeta) -> Result<()> {
        if self.state(&generation_key(meta.generation))?.as_ref() == Some(meta) {
            return Ok(());
        }
        self.set_state(&generation_key(meta.generation), Some(to_json(meta)))
    }

    pub(crate) fn set_building(&mut self, generation: Option<u64>) -> Result<()> {
        self.set_state(BUILDING, generation.map(|n| to_json(&n)))
    }

    pub(crate) fn set_current(&mut self, generation: u64) -> Result<()> {
        self.set_state(CURRENT, Some(to_json(&generation)))
    }

    /// Row files are numbered from here on.
    pub(crate) fn number_files_from(&mut self, number: u64) -> Result<()> {
        self.set_state(NEXT_FILE, Some(to_json(&number)))
    }

    /// A number that no row file has.
    pub(crate) fn next_file(&mut self) -> Result<u64> {
        let number = self.state(NEXT_FILE)?.unwrap_or(1u64);
        self.set_state(NEXT_FILE, Some(to_json(&(number + 1))))?;
        Ok(number)
    }

    /// Makes the tables of a modality, which a reader expects.
    pub(crate) fn make_tables(&mut self, generation: u64, modality: Modality) -> Result<()> {
        let names = self.names(generation, modality);
        self.write(|transaction| {
            transaction.open_table(names.ids())?;
            transaction.open_table(names.items())?;
            transaction.open_table(names.contents())?;
            transaction.open_table(names.of_image())?;
            transaction.open_table(names.segments())?;
            transaction.open_table(names.dead())?;
            Ok(())
        })
    }

    /// Removes a generation.
    pub(crate) fn remove_generation(&mut self, generation: u64) -> Result<()> {
        for modality in [Modality::Image, Modality::Text] {
            let names = self.names(generation, modality);
            self.write(|transaction| {
                transaction.delete_table(names.ids())?;
                transaction.delete_table(names.items())?;
                transaction.delete_table(names.contents())?;
                transaction.delete_table(names.of_image())?;
                transaction.delete_table(names.segments())?;
                transaction.delete_table(names.dead())?;
                Ok(())
            })?;
        }
        self.set_state(&generation_key(generation), None)
    }

    pub(crate) fn row_of(&mut self, generation: u64, modality: Modality, id: &str) -> Result<Option<u64>> {
        let names = self.names(generation, modality);
        self.read(|t| Ok(t.open_table(names.ids())?.get(id)?.map(|row| row.value())))
    }

    pub(crate) fn row_of_content(&mut self, generation: u64, modality: Modality, content: &str) -> Result<Option<u64>> {
        let names = self.names(generation, modality);
        self.read(|t| Ok(t.open_table(names.contents())?.get(content)?.map(|row| row.value())))
    }

    pub(crate) fn set_content(
        &mut self,
        generation: u64,
        modality: Modality,
        content: &str,
        row: Option<u64>,
    ) -> Result<Option<u64>> {
        let names = self.names(generation, modality);
        self.write(|t| {
            let mut contents = t.open_table(names.contents())?;
            let former = match row {
                Some(row) => contents.insert(content, row)?,
                None => contents.remove(content)?,
            };
            Ok(former.map(|row| row.value()))
        })
    }

    pub(crate) fn item(&mut self, generation: u64, modality: Modality, id: &str) -> Result<Option<StoredItem>> {
        let names = self.names(generation, modality);
        self.read(|t| {
            let Some(row) = t.open_table(names.ids())?.get(id)?.map(|row| row.value()) else { return Ok(None) };
            let json = t.open_table(names.items())?.get((row, id))?.map(|json| json.value().to_vec());
            Ok(Some(StoredItem { row, id: id.to_string(), json: json.unwrap_or_default() }))
        })
    }

    /// Of the items of this content the one whose id comes first.
    pub(crate) fn item_of_content(
        &mut self,
        generation: u64,
        modality: Modality,
        content: &str,
    ) -> Result<Option<StoredItem>> {
        let Some(row) = self.row_of_content(generation, modality, content)? else { return Ok(None) };
        let names = self.names(generation, modality);
        self.read(|t| {
            let items = t.open_table(names.items())?;
            let next = items.range::<(u64, &str)>((row, "")..)?.next().transpose()?;
            Ok(next.filter(|(key, _)| key.value().0 == row).map(|(key, json)| {
                let id = key.value().1.to_string();
                StoredItem { row, id, json: json.value().to_vec() }
            }))
        })
    }

    /// The items of a row, by their ids.
    pub(crate) fn items_of(&mut self, generation: u64, modality: Modality, row: u64) -> Result<Vec<StoredItem>> {
        let names = self.names(generation, modality);
        self.read(|t| {
            let items = t.open_table(names.items())?;
            let items = items.range::<(u64, &str)>((row, "")..(row + 1, ""))?.map(|entry| {
                let (key, json) = entry?;
                Ok(StoredItem { row, id: key.value().1.to_string(), json: json.value().to_vec() })
            });
            items.collect()
        })
    }

    pub(crate) fn insert_item(&mut self, generation: u64, modality: Modality, item: &StoredItem) -> Result<()> {
        let names = self.names(generation, modality);
        self.write(|t| {
            t.open_table(names.ids())?.insert(item.id.as_str(), item.row)?;
            t.open_table(names.items())?.insert((item.row, item.id.as_str()), item.json.as_slice())?;
            Ok(())
        })
    }

    /// Removes an item; true if its row has no other.
    pub(crate) fn remove_item(&mut self, generation: u64, modality: Modality, row: u64, id: &str) -> Result<bool> {
        let names = self.names(generation, modality);
        self.write(|t| {
            t.open_table(names.ids())?.remove(id)?;
            let mut items = t.open_table(names.items())?;
            items.remove((row, id))?;
            let next = items.range::<(u64, &str)>((row, "")..)?.next().transpose()?;
            Ok(next.is_none_or(|(key, _)| key.value().0 != row))
        })
    }

    /// Gives the items of each row `from` to the free row `to`; `content` returns their content.
    pub(crate) fn move_rows(
        &mut self,
        generation: u64,
        modality: Modality,
        moves: impl IntoIterator<Item = (u64, u64)>,
        content: impl Fn(&StoredItem) -> Result<String>,
    ) -> Result<()> {
        let names = self.names(generation, modality);
        self.write(|t| {
            let mut items = t.open_table(names.items())?;
            let (mut ids, mut contents) = (t.open_table(names.ids())?, t.open_table(names.contents())?);
            for (from, to) in moves {
                let mut moved = Vec::new();
                for entry in items.range::<(u64, &str)>((from, "")..(from + 1, ""))? {
                    let (key, json) = entry?;
                    moved.push(StoredItem { row: to, id: key.value().1.to_string(), json: json.value().to_vec() });
                }
                for item in &moved {
                    match content(item) {
                        Ok(content) if content.is_empty() => {}
                        Ok(content) => drop(contents.insert(content.as_str(), to)?),
                        Err(error) => return Ok(Err(error)),
                    }
                    items.remove((from, item.id.as_str()))?;
                    items.insert((to, item.id.as_str()), item.json.as_slice())?;
                    ids.insert(item.id.as_str(), to)?;
                }
            }
            Ok(Ok(()))
        })?
    }

    /// The ids of all items of a modality, in their order.
    pub(crate) fn ids(&mut self, generation: u64, modality: Modality) -> Result<Vec<String>> {
        let names = self.names(generation, modality);
        self.read(|t| {
            let ids = t.open_table(names.ids())?;
            let ids = ids.iter()?.map(|entry| Ok(entry?.0.value().to_string()));
            ids.collect()
        })
    }

    /// Sets whether a caption belongs to an image.
    pub(crate) fn set_of_image(&mut self, generation: u64, image: &str, caption: &str, belongs: bool) -> Result<()> {
        let names = self.names(generation, Modality::Text);
        self.write(|t| {
            let mut table = t.open_table(names.of_image())?;
            if belongs {
                table.insert((image, caption), ())?;
            } else {
                table.remove((image, caption))?;
            }
            Ok(())
        })
    }

    /// The captions of an image.
    pub(crate) fn captions_of(&mut self, generation: u64, image: &str) -> Result<Vec<String>> {
        let names = self.names(generation, Modality::Text);
        self.read(|t| {
            let mut found = Vec::new();
            for entry in t.open_table(names.of_image())?.range::<(&str, &str)>((image, "")..)? {
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

    /// The first image that captions belong to and that is not there.
    pub(crate) fn missing_image(&mut self, generation: u64) -> Result<Option<String>> {
        let (images, captions) = (self.names(generation, Modality::Image), self.names(generation, Modality::Text));
        self.read(|t| {
            let (ids, of_image) = (t.open_table(images.ids())?, t.open_table(captions.of_image())?);
            let mut last = String::new();
            for entry in of_image.iter()? {
                let key = entry?.0;
                let image = key.value().0;
                if image != last || last.is_empty() {
                    if ids.get(image)?.is_none() {
                        return Ok(Some(image.to_string()));
                    }
                    last.replace_range(.., image);
                }
            }
            Ok(None)
        })
    }

    pub(crate) fn segments(&mut self, generation: u64, modality: Modality) -> Result<Vec<(u64, SegmentRecord)>> {
        let names = self.names(generation, modality);
        let stored = self.read(|t| {
            let segments = t.open_table(names.segments())?;
            let stored = segments.iter()?.map(|entry| {
                let (first, record) = entry?;
                Ok((first.value(), record.value().to_vec()))
            });
            stored.collect::<Result<Vec<_>, redb::Error>>()
        })?;
        stored.into_iter().map(|(first, json)| Ok((first, parse_json(&self.path, "row file", &json)?))).collect()
    }

    pub(crate) fn set_segment(
        &mut self,
        generation: u64,
        modality: Modality,
        first: u64,
        record: Option<&SegmentRecord>,
    ) -> Result<()> {
        let names = self.names(generation, modality);
        self.write(|t| {
            let mut segments = t.open_table(names.segments())?;
            match record {
                Some(record) => segments.insert(first, to_json(record).as_slice())?,
                None => segments.remove(first)?,
            };
            Ok(())
        })
    }

    /// The dead rows among `first..first + rows`.
    pub(crate) fn dead(&mut self, generation: u64, modality: Modality, first: u64, rows: u64) -> Result<Vec<u64>> {
        let names = self.names(generation, modality);
        self.read(|t| {
            let mut found = Vec::new();
            let chunks = first / DEAD_CHUNK..(first + rows).div_ceil(DEAD_CHUNK);
            for entry in t.open_table(names.dead())?.range::<u64>(chunks)? {
                let (chunk, bits) = entry?;
                for (at, byte) in bits.value().iter().enumerate() {
                    let rows = (0..8).filter(|bit| byte >> bit & 1 == 1);
                    found.extend(rows.map(|bit| chunk.value() * DEAD_CHUNK + at as u64 * 8 + bit));
                }
            }
            found.retain(|row| (first..first + rows).contains(row));
            Ok(found)
        })
    }

    /// Marks rows as dead or not.
    pub(crate) fn set_dead(
        &mut self,
        generation: u64,
        modality: Modality,
        rows: impl IntoIterator<Item = u64>,
        dead: bool,
    ) -> Result<()> {
        let names = self.names(generation, modality);
        self.write(|t| {
            let mut table = t.open_table(names.dead())?;
            let mut chunk: Option<(u64, Vec<u8>)> = None;
            for row in rows {
                let number = row / DEAD_CHUNK;
                if chunk.as_ref().is_none_or(|(held, _)| *held != number) {
                    if let Some((held, bits)) = chunk.take() {
                        table.insert(held, bits.as_slice())?;
                    }
                    let mut bits = table.get(number)?.map(|bits| bits.value().to_vec()).unwrap_or_default();
                    bits.resize((DEAD_CHUNK / 8) as usize, 0);
                    chunk = Some((number, bits));
                }
                let bits = &mut chunk.as_mut().expect("just set").1;
                let (byte, bit) = ((row % DEAD_CHUNK / 8) as usize, 1 << (row % 8));
                bits[byte] = if dead { bits[byte] | bit } else { bits[byte] & !bit };
            }
            if let Some((held, bits)) = chunk {
                table.insert(held, bits.as_slice())?;
            }
            Ok(())
        })
    }

    /// Makes everything since the last commit count, on disk, at once. False, and the disk is left alone, if nothing was
    /// changed.
    pub(crate) fn commit(&mut self) -> Result<bool> {
        let Some(transaction) = self.transaction.take() else { return Ok(false) };
        if !std::mem::take(&mut self.changed) {
            return guard(&self.path, || Ok(transaction.abort()?)).map(|()| false);
        }
        guard(&self.path, || Ok(transaction.commit()?)).map(|()| true)
    }

    /// Gives free pages back to the system, unless somebody reads just now.
    pub(crate) fn shrink(&mut self) -> Result<()> {
        self.commit()?;
        let Self { path, database, .. } = self;
        guard(path, || match database.as_mut().expect("there until the drop").compact() {
            Err(redb::CompactionError::TransactionInProgress) => Ok(()),
            other => Ok(other.map(drop)?),
        })
    }

    fn state<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        let stored = self.read(|t| Ok(t.open_table(STATE)?.get(key)?.map(|value| value.value().to_vec())))?;
        stored.map(|json| parse_json(&self.path, key, &json)).transpose()
    }

    fn set_state(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<()> {
        self.write(|t| {
            let mut state = t.open_table(STATE)?;
            match value {
                Some(value) => state.insert(key, value.as_slice())?,
                None => state.remove(key)?,
            };
            Ok(())
        })
    }

    fn names(&mut self, generation: u64, modality: Modality) -> Arc<Names> {
        self.names.entry((generation, modality)).or_insert_with(|| Arc::new(Names::new(generation, modality))).clone()
    }

    /// Changes something in the open transaction, or begins one.
    fn write<T>(&mut self, work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T> {
        self.changed = true;
        self.read(work)
    }

    /// Reads in the open transaction, or begins one.
    fn read<T>(&mut self, work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T> {
        let Self { path, transaction, database, .. } = self;
        guard(path, || {
            if transaction.is_none() {
                let mut begun = database.as_ref().expect("there until the drop").begin_write()?;
                begun.set_durability(Durability::Immediate)?;
                // Opening after a crash must not take a walk over the whole catalogue.
                begun.set_quick_repair(true);
                *transaction = Some(begun);
            }
            work(transaction.as_ref().expect("just begun"))
        })
    }
}

impl Drop for CatalogueWriter {
    /// A database that panicked over damage, which [`guard`] made an error of, may panic once more when it is closed.
    fn drop(&mut self) {
        let (transaction, database) = (self.transaction.take(), self.database.take());
        let _ = guard(&self.path, move || {
            drop(transaction);
            Ok(())
        });
        let _ = guard(&self.path, move || {
            drop(database);
            Ok(())
        });
    }
}

impl std::fmt::Debug for CatalogueWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogueWriter").field("path", &self.path).finish_non_exhaustive()
    }
}
