//! Changes of an index: adding, replacing, renaming and removing items.

use super::IndexWriter;
use super::rolling_writer::Source;
use crate::catalogue::StoredItem;
use crate::item::{CaptionItem, ImageItem, Item};
use crate::reader::Index;
use gxn_base::{Error, Modality, Result};

/// What [`IndexWriter::put_image`] and its siblings did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The id is new.
    Added,
    /// The item with this id was another.
    Replaced,
    /// The item was there already.
    Unchanged,
}

impl IndexWriter {
    /// Adds an image or replaces the one with its id, whose captions stay; `embedding` is `[h ; l]`. If an image of the
    /// same content is there, both share its row and `embedding` is not used.
    ///
    /// # Errors
    /// If the embedding has the wrong width or a value that f16 cannot hold (NaN, infinity), or the disk is full.
    pub fn put_image(&mut self, item: &ImageItem, embedding: &[f32]) -> Result<Change> {
        Ok(self.put(item, Source::Vector(embedding))?.expect("there is a vector"))
    }

    /// Adds a caption or replaces the one with its id; its image may come later. Captions of equal text share a row.
    ///
    /// # Errors
    /// As [`IndexWriter::put_image`].
    pub fn put_caption(&mut self, item: &CaptionItem, embedding: &[f32]) -> Result<Change> {
        Ok(self.put(item, Source::Vector(embedding))?.expect("there is a vector"))
    }

    /// Adds or replaces an image whose content (`sha256`) the index holds already, under this or another id: nothing
    /// needs to be encoded. `None`, and nothing done, if it does not.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn link_image(&mut self, item: &ImageItem) -> Result<Option<Change>> {
        self.put(item, Source::Nothing)
    }

    /// [`IndexWriter::link_image`] for a caption whose text the index holds.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn link_caption(&mut self, item: &CaptionItem) -> Result<Option<Change>> {
        self.put(item, Source::Nothing)
    }

    /// The image with this id.
    ///
    /// # Errors
    /// If the catalogue is damaged.
    pub fn image(&mut self, id: &str) -> Result<Option<ImageItem>> {
        self.item(id)
    }

    /// An image of this content (`sha256`); of several, the one whose id comes first.
    ///
    /// # Errors
    /// If the catalogue is damaged.
    pub fn image_of_content(&mut self, content: &str) -> Result<Option<ImageItem>> {
        let generation = self.meta.generation;
        let stored = self.catalogue().item_of_content(generation, Modality::Image, content)?;
        stored.map(|stored| parse(&stored)).transpose()
    }

    /// The caption with this id.
    ///
    /// # Errors
    /// If the catalogue is damaged.
    pub fn caption(&mut self, id: &str) -> Result<Option<CaptionItem>> {
        self.item(id)
    }

    /// The ids of all items of `modality`, sorted.
    ///
    /// # Errors
    /// If the catalogue is damaged.
    pub fn ids(&mut self, modality: Modality) -> Result<Vec<String>> {
        if self.meta.collection(modality).is_none() {
            return Ok(Vec::new());
        }
        let generation = self.meta.generation;
        self.catalogue().ids(generation, modality)
    }

    /// Removes an item, and an image's captions with it. Another item of the same content stays. False if there is
    /// none with this id.
    ///
    /// # Errors
    /// If the disk is full or the catalogue is damaged.
    pub fn remove(&mut self, modality: Modality, id: &str) -> Result<bool> {
        self.require_sound()?;
        match modality {
            Modality::Image => {
                let Some(image) = self.item::<ImageItem>(id)? else { return Ok(false) };
                self.poison_on_error(|writer| {
                    for caption in writer.captions_of(id)? {
                        if let Some(caption) = writer.item::<CaptionItem>(&caption)? {
                            writer.delete(&caption)?;
                        }
                    }
                    writer.delete(&image)
                })?;
            }
            Modality::Text => {
                let Some(caption) = self.item::<CaptionItem>(id)? else { return Ok(false) };
                self.poison_on_error(|writer| writer.delete(&caption))?;
            }
        }
        Ok(true)
    }

    /// Gives the image `id` the id and all else of `item`, whose content must be the same; its captions follow. False
    /// if there is none with this id.
    ///
    /// # Errors
    /// If another image has the new id, the content differs, or the disk is full.
    pub fn rename_image(&mut self, id: &str, item: &ImageItem) -> Result<bool> {
        self.require_sound()?;
        let generation = self.meta.generation;
        let Some(former) = self.item::<ImageItem>(id)? else { return Ok(false) };
        if former.sha256 != item.sha256 {
            let what = format!("content of {} for the new name of {id}", item.id);
            return Err(Error::conflict(what, &item.sha256, &former.sha256));
        }
        if item.id != id && self.catalogue().row_of(generation, Modality::Image, &item.id)?.is_some() {
            return Err(Error::conflict(format!("id {}", item.id), "the same id twice", "ids that differ"));
        }
        let row = self.catalogue().row_of(generation, Modality::Image, id)?.expect("the item was found");
        self.poison_on_error(|writer| {
            let captions = if item.id == id { Vec::new() } else { writer.captions_of(id)? };
            writer.catalogue().remove_item(generation, Modality::Image, row, id)?;
            writer.store(item, row)?;
            for caption in captions {
                if let Some(caption) = writer.item::<CaptionItem>(&caption)? {
                    let row = writer.catalogue().row_of(generation, Modality::Text, &caption.id)?.expect("just found");
                    writer.catalogue().set_of_image(generation, id, &caption.id, false)?;
                    writer.store(&CaptionItem { image_id: item.id.clone(), ..caption }, row)?;
                }
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Adds or replaces everything that `other`, an index of the same model and space, holds: the shards of a large
    /// collection become one index. Returns how many items were not there before.
    ///
    /// # Errors
    /// If `other` is of another model or space, or the disk is full.
    pub fn merge(&mut self, other: &Index) -> Result<u64> {
        if other.meta().model != self.meta.model || other.meta().space != self.meta.space {
            let what = format!("model of {}", other.dir().display());
            return Err(Error::conflict(what, &other.meta().model, format!("{} in the same space", self.meta.model)));
        }
        let mut added = 0;
        other.each_record(|item: ImageItem, record| {
            added += u64::from(self.put(&item, Source::Record(record))? == Some(Change::Added));
            Ok(())
        })?;
        other.each_record(|item: CaptionItem, record| {
            added += u64::from(self.put(&item, Source::Record(record))? == Some(Change::Added));
            Ok(())
        })?;
        Ok(added)
    }

    fn item<T: Item>(&mut self, id: &str) -> Result<Option<T>> {
        if self.meta.collection(T::MODALITY).is_none() {
            return Ok(None);
        }
        let generation = self.meta.generation;
        let stored = self.catalogue().item(generation, T::MODALITY, id)?;
        stored.map(|stored| parse(&stored)).transpose()
    }

    pub(super) fn captions_of(&mut self, image: &str) -> Result<Vec<String>> {
        if self.meta.captions.is_none() {
            return Ok(Vec::new());
        }
        let generation = self.meta.generation;
        self.catalogue().captions_of(generation, image)
    }

    /// Adds or replaces an item; `None` if its row is not held and `source` has none.
    fn put<T: Item>(&mut self, item: &T, source: Source<'_>) -> Result<Option<Change>> {
        self.require_sound()?;
        let generation = self.meta.generation;
        if self.meta.collection(T::MODALITY).is_none() {
            self.meta.collection_mut(T::MODALITY);
            self.catalogue().make_tables(generation, T::MODALITY)?;
        }
        let former = self.catalogue().item(generation, T::MODALITY, item.id())?;
        let content = item.content();
        let held = if content.is_empty() {
            None
        } else {
            self.catalogue().row_of_content(generation, T::MODALITY, &content)?
        };
        // A damaged row holds no content any more.
        if former.as_ref().is_some_and(|former| held == Some(former.row) && former.json == to_json(item)) {
            return Ok(Some(Change::Unchanged));
        }
        let former: Option<T> = former.map(|former| parse(&former)).transpose()?;
        if held.is_none() && matches!(source, Source::Nothing) {
            return Ok(None);
        }
        let row = match held {
            Some(row) => row,
            None => self.push(T::MODALITY, item.id(), source)?,
        };
        let change = if former.is_some() { Change::Replaced } else { Change::Added };
        self.poison_on_error(|writer| {
            if held.is_none() {
                writer.meta.collection_mut(T::MODALITY).rows += 1;
                if !content.is_empty() {
                    writer.catalogue().set_content(generation, T::MODALITY, &content, Some(row))?;
                }
            }
            // The new one is stored first: a row that both share must not die in between.
            match former {
                Some(former) => writer.replace(&former, item, row)?,
                None => {
                    writer.store(item, row)?;
                    writer.meta.collection_mut(T::MODALITY).count += 1;
                }
            }
            Ok(Some(change))
        })
    }

    fn push(&mut self, modality: Modality, id: &str, source: Source<'_>) -> Result<u64> {
        let Self { images, captions, catalogue, folder, meta, file_bytes, .. } = self;
        let rows = if modality == Modality::Image { images } else { captions };
        let catalogue = catalogue.as_mut().expect("the catalogue is open until the drop");
        let pushed = rows.push(catalogue, folder, meta, *file_bytes, id, source);
        // A vector that cannot be stored is the caller's; anything else is the disk's.
        self.failed |= pushed.as_ref().is_err_and(|error| error.io_kind().is_some());
        pushed
    }

    /// Stores a new item at `row`.
    fn store<T: Item>(&mut self, item: &T, row: u64) -> Result<()> {
        let generation = self.meta.generation;
        let stored = StoredItem { row, id: item.id().to_string(), json: to_json(item) };
        self.catalogue().insert_item(generation, T::MODALITY, &stored)?;
        if let Some(image) = item.image_id() {
            self.catalogue().set_of_image(generation, image, item.id(), true)?;
            if self.catalogue().row_of(generation, Modality::Image, image)?.is_none() {
                self.pending_images.insert(image.to_string());
            }
        }
        Ok(())
    }

    /// Stores `item` at `row` instead of `former`, which has its id.
    fn replace<T: Item>(&mut self, former: &T, item: &T, row: u64) -> Result<()> {
        let generation = self.meta.generation;
        let old = self.catalogue().row_of(generation, T::MODALITY, former.id())?.expect("the item was found");
        if let Some(image) = former.image_id() {
            self.catalogue().set_of_image(generation, image, former.id(), false)?;
        }
        let alone = self.catalogue().remove_item(generation, T::MODALITY, old, former.id())?;
        self.store(item, row)?;
        if alone && old != row {
            self.tombstone(former, old)?;
        }
        Ok(())
    }

    fn delete<T: Item>(&mut self, item: &T) -> Result<()> {
        let generation = self.meta.generation;
        let row = self.catalogue().row_of(generation, T::MODALITY, item.id())?.expect("the item was found");
        if let Some(image) = item.image_id() {
            self.catalogue().set_of_image(generation, image, item.id(), false)?;
        }
        let alone = self.catalogue().remove_item(generation, T::MODALITY, row, item.id())?;
        self.meta.collection_mut(T::MODALITY).count -= 1;
        if alone {
            self.tombstone(item, row)?;
        }
        Ok(())
    }

    /// Marks the row of a removed item, which no other item has, as dead.
    fn tombstone<T: Item>(&mut self, item: &T, row: u64) -> Result<()> {
        let generation = self.meta.generation;
        self.catalogue().set_dead(generation, T::MODALITY, [row], true)?;
        self.release_content(T::MODALITY, &item.content(), row)?;
        let collection = self.meta.collection_mut(T::MODALITY);
        collection.rows -= 1;
        collection.dead_rows += 1;
        Ok(())
    }
}

fn to_json(item: &impl Item) -> Vec<u8> {
    serde_json::to_vec(item).expect("items are plain data")
}

pub(super) fn parse<T: Item>(stored: &StoredItem) -> Result<T> {
    serde_json::from_slice(&stored.json)
        .map_err(|e| crate::fault::damaged(format!("item {}", stored.id), e.to_string(), "an item as JSON"))
}
