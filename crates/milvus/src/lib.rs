//! The index of gxn in a Milvus server, for collections that outgrow one machine's memory or must be served to several
//! programs. Scores, filters and λ are those of [`gxn_index`], whose traits [`VectorStore`] and
//! [`VectorStoreWriter`](gxn_index::VectorStoreWriter) it implements.
//!
//! ```no_run
//! use gxn_index::{Index, IndexSettings, VectorStoreWriter, copy_store};
//! use gxn_milvus::MilvusWriter;
//!
//! # fn main() -> gxn_base::Result<()> {
//! let index = Index::open("index".as_ref())?;
//! let meta = index.meta().clone();
//! let settings = IndexSettings { model: meta.model, space: meta.space, extra: meta.extra };
//! let place = "milvus://127.0.0.1:19530/photos".parse()?;
//! let mut writer = MilvusWriter::update(&place, settings, &[])?;
//! copy_store(&index, &mut writer, &|_| Ok(()))?;
//! Box::new(writer).finish()?;
//! # Ok(())
//! # }
//! ```
//!
//! # A server
//! ```text
//! pip install milvus-lite==3.2.2 pymilvus==3.0.2
//! milvus-lite server --host 127.0.0.1 --data-dir DIR --port 19530
//! ```
//! or the full server of one process, which listens on all interfaces:
//! ```text
//! pip install milvus==2.3.5
//! milvus-server --data DIR --proxy-port 19530
//! ```
//! Both are tested by `crates/milvus/tests/milvus.sh` on one machine. Several nodes: untested.
//!
//! # What is stored
//! `NAME_images` and `NAME_captions`, one entity for each item, with the item's id as primary key. Fields: what filters
//! compare, the whole item as JSON (`item`), the row `[h ; l]` as f16 in base64 (`row`), and `vector`, which is the row
//! and, for order similarity, b of it ([`Surrogate`](gxn_index::surrogate::Surrogate)) behind it; metric IP. The model's
//! fingerprint, the space, the surrogate and the caller's own settings are a property of each collection.
//!
//! # A search
//! The query becomes one vector. Its largest inner products, two for each wanted hit and
//! [`CANDIDATES`](gxn_index::CANDIDATES) at least, are scored exactly by the index's kernels from their rows. With the index
//! kind `FLAT` and the cosine that is the exact answer; order similarity can miss a hit that its surrogate puts far
//! behind, as any approximate index can. [`Method::Exact`](gxn_index::Method::Exact) scores all items, of which there may be
//! [`MOST_CANDIDATES`]. Of equal scores the item whose id comes first is first. For parts of the kind
//! [`PartKind::Same`](gxn_index::PartKind::Same) candidates are found as if all rows were equally long, which embeddings of
//! unit length at each level are.
//!
//! Milvus applies filters as far as it can do so exactly: comparisons of `id path folder name sha256 size mtime
//! width height`, of captions `id image_id text`, and patterns that end with their only wildcard. All else (the caller's
//! own columns, other patterns, and fields of a caption's image) is tested here, in as many candidates as it
//! takes; when [`MOST_CANDIDATES`] are not enough the search is refused.
//!
//! Unlike in a folder, changes count when they are sent, images of equal content have a row each, several programs may
//! write at once, and an image must be there before its captions. A store finds its own changes at once, and what others
//! changed before it was opened; later changes of others it finds when the server has spread them, within moments.
//!
//! # When the server is away
//! A request that fails for the moment is repeated, with pauses that double: for ten seconds where something is read, for
//! two minutes where something is written, for two seconds before the first answer (ten where an address leads nowhere). What
//! the server acknowledged, it keeps.

#![warn(missing_docs)]

mod client;
mod collections;
mod expression;
mod place;
mod protocol;
mod read;
mod schema;
mod search;
mod write;
mod writer;

pub use place::MilvusPlace;
pub use writer::MilvusWriter;

use client::{Client, Refusal};
use collections::{collection, complete, describe, drop_collection, load, others_make, try_load};
use gxn_base::{Error, Modality, Remedy, Result};
use gxn_index::filter::Filter;
use gxn_index::{
    CaptionItem, Collection, Hit, ImageItem, IndexMeta, IndexSettings, QueryPart, SearchOptions, VectorStore, Visit,
};
use protocol::*;
use schema::Description;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Most candidates of one search, Milvus' own limit.
pub const MOST_CANDIDATES: usize = 16_384;
const SIDES: [Modality; 2] = [Modality::Image, Modality::Text];
/// How long a count is taken for what the server holds.
const COUNTS_HOLD: Duration = Duration::from_secs(10);

/// How Milvus finds candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct MilvusOptions {
    /// Milvus' kind of index of the vectors, such as `FLAT` or `HNSW`.
    pub index_kind: String,
    /// Its parameters, such as `{"M": 16, "efConstruction": 200}`.
    pub index_params: Map<String, Value>,
    /// Parameters of a search, such as `{"ef": 400}`; of HNSW `ef` is raised to the number of candidates.
    pub search_params: Map<String, Value>,
    /// Terms of the surrogate of order similarity, 1 to 8: each makes the vector wider by a whole row.
    pub surrogate_terms: usize,
}

impl Default for MilvusOptions {
    fn default() -> Self {
        Self { index_kind: "FLAT".into(), index_params: Map::new(), search_params: Map::new(), surrogate_terms: 1 }
    }
}

/// Some embeddings of each modality, to which the surrogate of order similarity is fitted: `[count, dims]`, some hundred.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Of images.
    pub images: &'a [f32],
    /// Of captions.
    pub captions: &'a [f32],
}

/// What there is of an index.
enum There {
    Nothing,
    /// A program has begun to make it.
    Part,
    All(Box<MilvusStore>),
}

/// An index in a Milvus server; see the [crate](self).
#[derive(Debug)]
pub struct MilvusStore {
    client: Arc<Client>,
    place: MilvusPlace,
    images: Description,
    captions: Description,
    /// With the counts of when it was opened.
    meta: IndexMeta,
    /// Items of both modalities, as of when they were last counted.
    counts: [AtomicU64; 2],
    counted: Mutex<Instant>,
    /// Whether the caller's settings were seen to be others since.
    is_changed: AtomicBool,
    /// Milvus' timestamp of the last change made here.
    last_write: AtomicU64,
}

impl MilvusStore {
    /// Opens the index at `place`, which is made if there is none; one that was begun and not finished is finished. `samples`
    /// are needed for a new one under order similarity. Several programs may do so at once.
    ///
    /// # Errors
    /// If the server cannot be reached, a collection is of another program, model or space, the settings are impossible, or
    /// samples are missing.
    pub fn open_or_create(place: &MilvusPlace, settings: &IndexSettings, samples: Option<Samples<'_>>) -> Result<Self> {
        Self::open_or_create_with(Arc::new(Client::new(place)?), place, settings, samples)
    }

    fn open_or_create_with(
        client: Arc<Client>,
        place: &MilvusPlace,
        settings: &IndexSettings,
        samples: Option<Samples<'_>>,
    ) -> Result<Self> {
        place.check()?;
        let images = Description::new(Modality::Image, settings, &place.options, samples)?;
        let captions = Description::new(Modality::Text, settings, &place.options, samples)?;
        complete(&client, place, Modality::Image, &images)?;
        complete(&client, place, Modality::Text, &captions)?;
        // What the server has counts, where another program was faster.
        match Self::find_at(&client, place)? {
            There::All(store) => store.require_settings(settings).map(|()| *store),
            There::Nothing | There::Part => Err(Self::missing(place)),
        }
    }

    /// Opens the index at `place`.
    ///
    /// # Errors
    /// If the server cannot be reached, or a collection is missing, of another program, or cannot be loaded.
    pub fn open(place: &MilvusPlace) -> Result<Self> {
        Self::try_open(place)?.ok_or_else(|| Self::missing(place))
    }

    /// The error where there is no index at `place`.
    pub fn missing(place: &MilvusPlace) -> Error {
        Error::not_found(format!("the index {place}"), "none", "one made by this program")
            .with_remedy(Remedy::MakeIndex)
    }

    /// What the index at `place` is made for, without its counts; `None` if there is none.
    ///
    /// # Errors
    /// If the server cannot be reached, or the collection is of another program.
    pub fn read_meta(place: &MilvusPlace) -> Result<Option<IndexMeta>> {
        place.check()?;
        Ok(describe(&Client::new(place)?, &collection(&place.name, Modality::Image))?.map(|images| images.meta()))
    }

    /// [`MilvusStore::open`]; `None` if there is none. One that another program is making is waited for.
    ///
    /// # Errors
    /// If the server cannot be reached, or a collection is of another program, or cannot be loaded.
    pub fn try_open(place: &MilvusPlace) -> Result<Option<Self>> {
        let client = Arc::new(Client::new(place)?);
        let whole = others_make(|| match Self::find_at(&client, place)? {
            There::Nothing => Ok(Some(None)),
            There::Part => Ok(None),
            There::All(store) => Ok(Some(Some(*store))),
        })?;
        whole.ok_or_else(|| {
            Error::damaged(format!("the index {place}"), "a part of it", "a whole one")
                .with_hint("a program was stopped while it made it: index again, which goes on")
        })
    }

    fn find_at(client: &Arc<Client>, place: &MilvusPlace) -> Result<There> {
        place.check()?;
        let read = |modality| describe(client, &collection(&place.name, modality));
        let (images, captions) = match (read(Modality::Image)?, read(Modality::Text)?) {
            (None, None) => return Ok(There::Nothing),
            (Some(images), Some(captions)) => (images, captions),
            _ => return Ok(There::Part),
        };
        if !images.belongs_to(&captions) {
            let what = format!("collections {0}_images and {0}_captions of {1}", place.name, place.endpoint);
            return Err(
                Error::conflict(what, "two models or spaces", "one").with_hint("drop both and index the images again")
            );
        }
        for modality in SIDES {
            match try_load(client, &collection(&place.name, modality)) {
                Ok(()) => {}
                Err(Refusal::NoIndex(_)) => return Ok(There::Part),
                Err(refusal) => return Err(refusal.into_error(|| client.what("LoadCollection"))),
            }
        }
        let mut store = Self::assemble(client.clone(), place, images, captions);
        // The server waits here, once, until it has all that was written before.
        store.count_for_good()?;
        Ok(There::All(Box::new(store)))
    }

    /// Counts what there is now.
    fn count_for_good(&mut self) -> Result<()> {
        self.count_again()?;
        let [images, captions] = SIDES.map(|modality| of_count(self.count(modality) as u64));
        self.meta.images = images;
        self.meta.captions = (captions.count > 0).then_some(captions);
        Ok(())
    }

    fn assemble(client: Arc<Client>, place: &MilvusPlace, images: Description, captions: Description) -> Self {
        let meta = images.meta();
        let (counts, is_changed, last_write) = Default::default();
        let counted = Mutex::new(Instant::now());
        Self { client, place: place.clone(), images, captions, meta, counts, counted, is_changed, last_write }
    }

    fn count_again(&self) -> Result<()> {
        SIDES.iter().zip(&self.counts).try_for_each(|(&modality, count)| {
            count.store(self.count_items(modality)?, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Counts again what others may have changed, where that was long ago, and looks whether they changed the source.
    fn look_now_and_then(&self) {
        let Ok(mut looked) = self.counted.try_lock() else { return };
        if looked.elapsed() < COUNTS_HOLD {
            return;
        }
        *looked = Instant::now();
        // The next search says better what is wrong with the server.
        let _ = self.count_again();
        if let Ok(Some(now)) = describe(&self.client, &self.collection(Modality::Image)) {
            self.is_changed.store(now.extra != self.meta.extra, Ordering::Relaxed);
        }
    }

    /// Removes the index of this name from the server, whatever made it. False if there was none.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub fn drop_index(place: &MilvusPlace) -> Result<bool> {
        place.check()?;
        let client = Client::new(place)?;
        SIDES.into_iter().try_fold(false, |dropped, modality| {
            Ok(drop_collection(&client, &collection(&place.name, modality))? || dropped)
        })
    }

    /// Milvus' kind of index of the vectors.
    pub fn index_kind(&self) -> &str {
        &self.images.index_kind
    }

    fn description(&self, modality: Modality) -> &Description {
        match modality {
            Modality::Image => &self.images,
            Modality::Text => &self.captions,
        }
    }

    fn collection(&self, modality: Modality) -> String {
        collection(&self.place.name, modality)
    }

    /// Refuses an index of another model or space.
    fn require_settings(&self, settings: &IndexSettings) -> Result<()> {
        let elsewhere = "index into a collection of another name, and drop this one when nobody searches it any more";
        self.require_model(&settings.model).map_err(|error| error.with_hint(elsewhere))?;
        let (found, expected) = (self.meta.space, settings.space);
        if found == expected {
            return Ok(());
        }
        let what = format!("space of the index {}", self.place);
        Err(Error::conflict(what, format!("{found:?}"), format!("{expected:?}")).with_hint(elsewhere))
    }

    /// Stores the caller's own settings in the place of the former ones.
    fn set_extra(&mut self, extra: &Map<String, Value>) -> Result<()> {
        for modality in SIDES {
            let mut description = self.description(modality).clone();
            description.extra = extra.clone();
            let (collection_name, properties) = (self.collection(modality), vec![description.property()]);
            self.client.ask(AlterCollectionRequest { collection_name, properties })?;
        }
        self.meta.extra = extra.clone();
        Ok(())
    }

    /// The answer to a request that needs a collection in memory, which is brought there if it is not.
    fn ask_loaded<Q: Ask>(&self, modality: Modality, question: Q) -> Result<Q::Answer> {
        match self.client.try_ask(question.clone()) {
            Err(Refusal::NotLoaded(_)) => {
                load(&self.client, &self.collection(modality))?;
                self.client.ask(question)
            }
            answered => answered.map_err(|refusal| refusal.into_error(|| self.client.what(Q::METHOD))),
        }
    }
}

impl VectorStore for MilvusStore {
    fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    fn place(&self) -> String {
        self.place.to_string()
    }

    fn is_current(&self) -> bool {
        // Searches find by themselves what others change of the items.
        !self.is_changed.load(Ordering::Relaxed)
    }

    fn count(&self, modality: Modality) -> usize {
        self.counts[(modality == Modality::Text) as usize].load(Ordering::Relaxed) as usize
    }

    fn reopen(&self) -> Result<Box<dyn VectorStore>> {
        Ok(Box::new(Self::open(&self.place)?))
    }

    fn search(&self, parts: &[QueryPart<'_>], options: &SearchOptions<'_>) -> Result<Vec<Hit>> {
        let hits = self.find(parts, options)?;
        self.look_now_and_then();
        Ok(hits)
    }

    fn unknown_fields(&self, _: Modality, _: &Filter) -> Result<Vec<String>> {
        // Only all items could tell.
        Ok(Vec::new())
    }

    fn image_of_id(&self, id: &str) -> Result<Option<ImageItem>> {
        let item = self.item_of_id(id)?;
        self.look_now_and_then();
        Ok(item)
    }

    fn captions_of_image(&self, id: &str) -> Result<Vec<CaptionItem>> {
        self.captions_of(id)
    }

    fn embeddings(&self, modality: Modality, ids: &[&str]) -> Result<Vec<Option<Vec<f32>>>> {
        self.rows_of(modality, ids)
    }

    fn each_image(&self, visit: Visit<'_, ImageItem>) -> Result<()> {
        self.each(visit)
    }

    fn each_caption(&self, visit: Visit<'_, CaptionItem>) -> Result<()> {
        self.each(visit)
    }

    fn verify(&self) -> Result<()> {
        self.check_all()
    }
}

fn of_count(count: u64) -> Collection {
    Collection { count, rows: count, dead_rows: 0 }
}
