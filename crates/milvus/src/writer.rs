//! [`MilvusWriter`]: changes of an index in Milvus, sent many at a time.

use crate::client::Client;
use crate::place::MilvusPlace;
use crate::protocol::FlushRequest;
use crate::schema::empty_meta;
use crate::write::Columns;
use crate::{MilvusStore, SIDES, Samples, There, of_count};
use gxn_base::{Error, Modality, Result};
use gxn_index::{
    CaptionItem, Change, Collection, DamagedItems, ImageItem, IndexMeta, IndexSettings, VectorStore, VectorStoreWriter,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Items that wait to be sent together.
const SENT: usize = 1000;
/// Items that are asked for one by one before all are read.
const ASKED: usize = 16;

/// Changes an index in Milvus, which is made with the first items. What was committed stands, whatever happens then; more of
/// it may. Several programs may write at once if no two of them have to do with the same images.
pub struct MilvusWriter {
    client: Arc<Client>,
    place: MilvusPlace,
    settings: IndexSettings,
    /// For the surrogate of order similarity.
    sample_texts: Vec<f32>,
    /// `None` until there are items.
    store: Option<MilvusStore>,
    meta: IndexMeta,
    images: Side<ImageItem>,
    captions: Side<CaptionItem>,
    /// Items that were asked for one by one.
    asked: usize,
}

/// The items of a modality: those of the server, as far as they were read, and those that wait.
struct Side<T> {
    /// All of this writer's, by id; `None` if each is asked for.
    known: Option<BTreeMap<String, T>>,
    /// The ids of each content.
    of_content: HashMap<String, Vec<String>>,
    /// Of captions, the ids of each image's.
    of_image: HashMap<String, Vec<String>>,
    waiting: Vec<(T, Row)>,
    removed: Vec<String>,
}

/// Where the row of an item comes from.
enum Row {
    Own(Vec<f32>),
    /// The item on the server that has it.
    Of(String),
}

impl<T: Columns> Side<T> {
    fn new() -> Self {
        let (of_content, of_image) = Default::default();
        Self { known: None, of_content, of_image, waiting: Vec::new(), removed: Vec::new() }
    }

    fn remember(&mut self, item: T) {
        self.forget(item.id());
        let Some(known) = &mut self.known else { return };
        let id = item.id().to_string();
        if !item.content().is_empty() {
            self.of_content.entry(item.content().to_string()).or_default().push(id.clone());
        }
        if let Some(image) = item.image_id() {
            self.of_image.entry(image.to_string()).or_default().push(id.clone());
        }
        known.insert(id, item);
    }

    fn forget(&mut self, id: &str) {
        let Some(item) = self.known.as_mut().and_then(|known| known.remove(id)) else { return };
        forget(&mut self.of_content, item.content(), id);
        if let Some(image) = item.image_id() {
            forget(&mut self.of_image, image, id);
        }
    }

    /// The row of an item that waits.
    fn waiting_row(&self, id: &str) -> Option<Row> {
        let (_, row) = self.waiting.iter().rev().find(|(item, _)| item.id() == id)?;
        Some(match row {
            Row::Own(row) => Row::Own(row.clone()),
            Row::Of(id) => Row::Of(id.clone()),
        })
    }
}

/// Takes an id out of the group of a key.
fn forget(groups: &mut HashMap<String, Vec<String>>, key: &str, id: &str) {
    if let Some(ids) = groups.get_mut(key) {
        ids.retain(|other| other != id);
        if ids.is_empty() {
            groups.remove(key);
        }
    }
}

impl MilvusWriter {
    /// Continues the index at `place`, or begins one. `settings.extra` replaces the former one. `sample_texts`, embeddings of
    /// some texts, are asked for under order similarity if the index is new.
    ///
    /// # Errors
    /// If the server cannot be reached, or the index is of another model or space.
    pub fn update(place: &MilvusPlace, settings: IndexSettings, sample_texts: &[f32]) -> Result<Self> {
        settings.space.check()?;
        let client = Arc::new(Client::new(place)?);
        let store = match MilvusStore::find_at(&client, place)? {
            There::All(store) => Some(*store),
            // It is made, or finished, with the first items.
            There::Nothing | There::Part => None,
        };
        let meta = match &store {
            Some(store) => {
                store.require_settings(&settings)?;
                IndexMeta { extra: settings.extra.clone(), ..store.meta().clone() }
            }
            None => empty_meta(&settings.model, settings.space, &settings.extra),
        };
        Ok(Self {
            client,
            place: place.clone(),
            settings,
            sample_texts: sample_texts.to_vec(),
            store,
            meta,
            images: Side::new(),
            captions: Side::new(),
            asked: 0,
        })
    }

    fn make(&self) -> Result<MilvusStore> {
        let images: Vec<f32> = (self.images.waiting.iter())
            .filter_map(|(_, row)| match row {
                Row::Own(row) => Some(row),
                Row::Of(_) => None,
            })
            .flatten()
            .copied()
            .collect();
        let samples = Samples { images: &images, captions: &self.sample_texts };
        MilvusStore::open_or_create_with(self.client.clone(), &self.place, &self.settings, Some(samples))
    }

    /// Sends what waits: images before their captions, what is new before what is removed.
    fn send(&mut self) -> Result<()> {
        if self.unsent() == 0 {
            return Ok(());
        }
        if self.store.is_none() {
            self.store = Some(self.make()?);
        }
        let store = self.store.as_ref().expect("it was made");
        let images = std::mem::take(&mut self.images.waiting);
        let captions = std::mem::take(&mut self.captions.waiting);
        upsert(store, images)?;
        if !captions.is_empty() {
            let items: Vec<CaptionItem> = captions.iter().map(|(item, _)| item.clone()).collect();
            // Those whose images were read or put here need not be asked for.
            let unknown = |item: &CaptionItem| match &self.images.known {
                Some(known) => !known.contains_key(&item.image_id),
                None => true,
            };
            store.require_images_of(&items.into_iter().filter(unknown).collect::<Vec<_>>())?;
            upsert(store, captions)?;
        }
        for modality in [Modality::Text, Modality::Image] {
            let removed = match modality {
                Modality::Image => std::mem::take(&mut self.images.removed),
                Modality::Text => std::mem::take(&mut self.captions.removed),
            };
            store.delete(modality, &removed.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn send_if_many(&mut self) -> Result<()> {
        if self.unsent() < SENT { Ok(()) } else { self.send() }
    }

    fn unsent(&self) -> usize {
        let put = self.images.waiting.len() + self.captions.waiting.len();
        put + self.images.removed.len() + self.captions.removed.len()
    }

    /// Adds or replaces an item; what is removed goes first, lest it take the new one along.
    fn put<T: OfWriter>(&mut self, item: &T, row: Row) -> Result<Change> {
        let dims = self.meta.space.dims();
        if let Row::Own(row) = &row
            && row.len() != dims
        {
            let (what, found) = (format!("embedding of {}", item.id()), format!("{} values", row.len()));
            return Err(Error::invalid(what, found, format!("{dims} values")));
        }
        if !self.images.removed.is_empty() || !self.captions.removed.is_empty() {
            self.send()?;
        }
        let former = self.item::<T>(item.id())?;
        let side = T::side(self);
        side.waiting.push((item.clone(), row));
        side.remember(item.clone());
        let change = match former {
            None => Change::Added,
            Some(former) if former == *item => Change::Unchanged,
            Some(_) => Change::Replaced,
        };
        if change == Change::Added {
            self.counted(T::MODALITY).count += 1;
        }
        self.send_if_many()?;
        Ok(change)
    }

    fn link<T: OfWriter>(&mut self, item: &T) -> Result<Option<Change>> {
        let former = self.item::<T>(item.id())?;
        if former.as_ref() == Some(item) {
            return Ok(Some(Change::Unchanged));
        }
        let Some(holder) = self.holder::<T>(item.content())? else { return Ok(None) };
        let row = T::side(self).waiting_row(&holder).unwrap_or(Row::Of(holder));
        self.put(item, row).map(Some)
    }

    fn item<T: OfWriter>(&mut self, id: &str) -> Result<Option<T>> {
        if T::side(self).known.is_none() && self.store.is_none() {
            // There is nothing to read; the index is made with as many items as possible.
            self.images.known = Some(BTreeMap::new());
            self.captions.known = Some(BTreeMap::new());
        } else if T::side(self).known.is_none() {
            self.asked += 1;
            self.send()?;
            if self.asked > ASKED {
                self.expect(&|_| true)?;
            }
        }
        if let Some(known) = &T::side(self).known {
            return Ok(known.get(id).cloned());
        }
        self.store.as_ref().map_or(Ok(None), |store| store.item_of_id(id))
    }

    /// The id of an item of this content, the first.
    fn holder<T: OfWriter>(&mut self, content: &str) -> Result<Option<String>> {
        let side = T::side(self);
        if side.known.is_some() || T::MODALITY == Modality::Text || content.is_empty() {
            return Ok(side.of_content.get(content).and_then(|ids| ids.iter().min()).cloned());
        }
        self.send()?;
        let found = self.store.as_ref().map_or(Ok(None), |store| store.of_content(content))?;
        Ok(found.map(|image| image.id))
    }

    fn counted(&mut self, modality: Modality) -> &mut Collection {
        match modality {
            Modality::Image => &mut self.meta.images,
            Modality::Text => self.meta.captions.get_or_insert_default(),
        }
    }
}

/// An item of a [`MilvusWriter`].
trait OfWriter: Columns + Clone + PartialEq {
    fn side(writer: &mut MilvusWriter) -> &mut Side<Self>;
}

impl OfWriter for ImageItem {
    fn side(writer: &mut MilvusWriter) -> &mut Side<Self> {
        &mut writer.images
    }
}

impl OfWriter for CaptionItem {
    fn side(writer: &mut MilvusWriter) -> &mut Side<Self> {
        &mut writer.captions
    }
}

/// Sends items, with the rows that the server has for those that have none of their own.
fn upsert<T: Columns>(store: &MilvusStore, waiting: Vec<(T, Row)>) -> Result<()> {
    let wanted: BTreeSet<&str> = (waiting.iter())
        .filter_map(|(_, row)| match row {
            Row::Of(id) => Some(id.as_str()),
            Row::Own(_) => None,
        })
        .collect();
    let wanted: Vec<&str> = wanted.into_iter().collect();
    let rows = store.rows_of(T::MODALITY, &wanted)?;
    let row_of: HashMap<String, Vec<f32>> =
        wanted.iter().zip(rows).filter_map(|(id, row)| Some((id.to_string(), row?))).collect();
    let (mut items, mut embeddings) = (Vec::new(), Vec::new());
    for (item, row) in waiting {
        match row {
            Row::Own(row) => embeddings.extend(row),
            Row::Of(id) => match row_of.get(&id) {
                Some(row) => embeddings.extend_from_slice(row),
                None => {
                    let what = format!("the embedding of {id} in {}", store.place());
                    return Err(Error::conflict(what, "none any more", "the one that was there")
                        .with_hint("another program removed it meanwhile: index again"));
                }
            },
        }
        items.push(item);
    }
    store.upsert(&items, &embeddings)
}

impl VectorStoreWriter for MilvusWriter {
    fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    fn expect(&mut self, is_own: &dyn Fn(&str) -> bool) -> Result<()> {
        self.images.known = Some(BTreeMap::new());
        self.captions.known = Some(BTreeMap::new());
        if let Some(store) = &self.store {
            store.items(&mut |image: ImageItem| {
                if is_own(&image.id) {
                    self.images.remember(image);
                }
            })?;
            store.items(&mut |caption: CaptionItem| {
                if is_own(&caption.image_id) {
                    self.captions.remember(caption);
                }
            })?;
        }
        let count = |known: usize| of_count(known as u64);
        self.meta.images = count(self.images.known.as_ref().map_or(0, BTreeMap::len));
        let captions = self.captions.known.as_ref().map_or(0, BTreeMap::len);
        self.meta.captions = (captions > 0).then(|| count(captions));
        Ok(())
    }

    fn image(&mut self, id: &str) -> Result<Option<ImageItem>> {
        self.item(id)
    }

    fn image_of_content(&mut self, content: &str) -> Result<Option<ImageItem>> {
        match self.holder::<ImageItem>(content)? {
            Some(id) => self.item(&id),
            None => Ok(None),
        }
    }

    fn caption(&mut self, id: &str) -> Result<Option<CaptionItem>> {
        self.item(id)
    }

    fn ids(&mut self, modality: Modality) -> Result<Vec<String>> {
        let is_known = match modality {
            Modality::Image => self.images.known.is_some(),
            Modality::Text => self.captions.known.is_some(),
        };
        if !is_known {
            self.send()?;
            self.expect(&|_| true)?;
        }
        Ok(match modality {
            Modality::Image => self.images.known.iter().flat_map(|known| known.keys()).cloned().collect(),
            Modality::Text => self.captions.known.iter().flat_map(|known| known.keys()).cloned().collect(),
        })
    }

    fn put_image(&mut self, item: &ImageItem, embedding: &[f32]) -> Result<Change> {
        self.put(item, Row::Own(embedding.to_vec()))
    }

    fn put_caption(&mut self, item: &CaptionItem, embedding: &[f32]) -> Result<Change> {
        self.put(item, Row::Own(embedding.to_vec()))
    }

    fn link_image(&mut self, item: &ImageItem) -> Result<Option<Change>> {
        self.link(item)
    }

    fn link_caption(&mut self, item: &CaptionItem) -> Result<Option<Change>> {
        self.link(item)
    }

    fn remove(&mut self, modality: Modality, id: &str) -> Result<bool> {
        if !self.images.waiting.is_empty() || !self.captions.waiting.is_empty() {
            self.send()?;
        }
        let is_there = match modality {
            Modality::Image => self.item::<ImageItem>(id)?.is_some(),
            Modality::Text => self.item::<CaptionItem>(id)?.is_some(),
        };
        if !is_there {
            return Ok(false);
        }
        match modality {
            Modality::Image => {
                // On the server they go with their image.
                for caption in self.captions.of_image.remove(id).unwrap_or_default() {
                    self.captions.forget(&caption);
                    self.counted(Modality::Text).count -= 1;
                }
                self.images.forget(id);
                self.images.removed.push(id.to_string());
            }
            Modality::Text => {
                self.captions.forget(id);
                self.captions.removed.push(id.to_string());
            }
        }
        let counted = self.counted(modality);
        counted.count = counted.count.saturating_sub(1);
        self.send_if_many()?;
        Ok(true)
    }

    fn release_damaged(&mut self) -> Result<DamagedItems> {
        Err(Error::unsupported(format!("the index {}", self.place), "one in Milvus", "one in a folder")
            .with_hint("Milvus repairs its own data; to encode all items again, index into a new collection"))
    }

    fn commit(&mut self) -> Result<()> {
        self.send()
    }

    fn finish(mut self: Box<Self>) -> Result<Box<dyn VectorStore>> {
        self.send()?;
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.make()?,
        };
        if store.meta().extra != self.settings.extra {
            store.set_extra(&self.settings.extra)?;
        }
        // What was acknowledged is safe already; this only brings it into the server's files sooner. milvus-lite refuses it where
        // several programs ask at once.
        let collection_names = SIDES.into_iter().map(|modality| store.collection(modality)).collect();
        let _ = self.client.ask(FlushRequest { collection_names });
        store.count_for_good()?;
        Ok(Box::new(store))
    }
}
