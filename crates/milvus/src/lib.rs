//! The index of gxn in a Milvus server, for collections that outgrow one machine's memory or must be served to several
//! programs. Scores, filters and λ are those of [`gxn_index`]; a [`VectorStore`] is either of both.
//!
//! ```no_run
//! use gxn_index::{Index, IndexSettings};
//! use gxn_milvus::{MilvusOptions, MilvusPlace, MilvusStore, copy_index};
//!
//! # fn main() -> gxn_base::Result<()> {
//! let index = Index::open("index".as_ref())?;
//! let meta = index.meta().clone();
//! let settings = IndexSettings { model: meta.model, space: meta.space, extra: meta.extra };
//! let place = MilvusPlace::new("http://127.0.0.1:19530", "photos");
//! let mut store = MilvusStore::create(&place, &settings, &MilvusOptions::default(), None)?;
//! copy_index(&index, &mut store)?;
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
//! Both are tested by `crates/milvus/tests/milvus.sh` on one machine. Several nodes: untested. Neither TLS nor a login is
//! supported: keep the server in a private network.
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
//! Unlike an index in a folder, each change counts when its call returns, images of equal content have a row each, and
//! an image must be there before its captions. A store finds its own changes at once, and what others changed before it
//! was opened; later changes of others it finds when the server has spread them, within moments.

#![warn(missing_docs)]

mod client;
mod expression;
mod protocol;
mod schema;
mod search;
mod store;
mod write;

pub use store::{FolderStore, StoreHit, VectorStore, copy_index};

use client::{Client, Refusal};
use gxn_base::{Error, Modality, Result};
use gxn_index::{CaptionItem, ImageItem, IndexSettings, QueryPart, SearchOptions, Space};
use prost::Message;
use protocol::*;
use schema::{Description, VECTOR, pair};
use serde_json::{Map, Value};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// Most candidates of one search, Milvus' own limit.
pub const MOST_CANDIDATES: usize = 16_384;
const SIDES: [Modality; 2] = [Modality::Image, Modality::Text];

/// A server, and the name of an index in it.
#[derive(Clone, Debug)]
pub struct MilvusPlace {
    /// Such as `http://127.0.0.1:19530`.
    pub endpoint: String,
    /// Letters, digits and `_`, no digit first; the collections are `NAME_images` and `NAME_captions`.
    pub name: String,
    /// Longest time for an answer.
    pub timeout: Duration,
}

impl MilvusPlace {
    /// With a minute for each answer.
    pub fn new(endpoint: impl Into<String>, name: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), name: name.into(), timeout: Duration::from_secs(60) }
    }
}

/// How Milvus finds candidates.
#[derive(Clone, Debug)]
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

/// An index in a Milvus server; see the [crate](self).
#[derive(Debug)]
pub struct MilvusStore {
    client: Client,
    name: String,
    images: Description,
    captions: Description,
    /// Milvus' timestamp of the last change made here.
    last_write: AtomicU64,
}

impl MilvusStore {
    /// Makes the collections of an empty index. `samples` are needed for order similarity.
    ///
    /// # Errors
    /// If the server cannot be reached, one of the collections is there already, the settings are impossible, or
    /// samples are missing.
    pub fn create(
        place: &MilvusPlace,
        settings: &IndexSettings,
        options: &MilvusOptions,
        samples: Option<Samples<'_>>,
    ) -> Result<Self> {
        check_name(&place.name)?;
        let images = Description::new(Modality::Image, settings, options, samples)?;
        let captions = Description::new(Modality::Text, settings, options, samples)?;
        let client = Client::new(&place.endpoint, place.timeout)?;
        let store = Self { client, name: place.name.clone(), images, captions, last_write: AtomicU64::new(0) };
        for modality in SIDES {
            if describe(&store.client, &store.collection(modality))?.is_some() {
                let what = format!("collection {} of {}", store.collection(modality), place.endpoint);
                return Err(Error::conflict(what, "one that is there already", "none")
                    .with_hint("open it, name another one, or drop it first"));
            }
        }
        if let Err(error) = SIDES.into_iter().try_for_each(|modality| store.make(modality, options)) {
            // Half an index would be in the way of the next attempt; why this one failed is more to the point.
            let _ = store.remove_collections();
            return Err(error);
        }
        Ok(store)
    }

    /// Opens an index that [`MilvusStore::create`] made.
    ///
    /// # Errors
    /// If the server cannot be reached, or a collection is missing, of another program, or cannot be loaded.
    pub fn open(place: &MilvusPlace) -> Result<Self> {
        check_name(&place.name)?;
        let client = Client::new(&place.endpoint, place.timeout)?;
        let read = |modality| {
            let name = collection(&place.name, modality);
            let description = describe(&client, &name)?.ok_or_else(|| {
                let what = format!("collection {name} of {}", place.endpoint);
                Error::not_found(what, "none", "one made by this program")
                    .with_hint("make the index first, or name the one that is there")
            })?;
            load(&client, &name)?;
            Ok(description)
        };
        let (images, captions) = (read(Modality::Image)?, read(Modality::Text)?);
        if !images.belongs_to(&captions) {
            let what = format!("collections {0}_images and {0}_captions of {1}", place.name, place.endpoint);
            return Err(
                Error::conflict(what, "two models or spaces", "one").with_hint("drop both and index the images again")
            );
        }
        let store = Self { client, name: place.name.clone(), images, captions, last_write: AtomicU64::new(0) };
        // The server waits here, once, until it has all that was written before.
        SIDES.into_iter().try_for_each(|modality| store.count_items(modality).map(drop))?;
        Ok(store)
    }

    /// Removes the index of this name from the server, whatever made it. False if there was none.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub fn drop_index(place: &MilvusPlace) -> Result<bool> {
        check_name(&place.name)?;
        let client = Client::new(&place.endpoint, place.timeout)?;
        SIDES.into_iter().try_fold(false, |dropped, modality| {
            Ok(drop_collection(&client, &collection(&place.name, modality))? || dropped)
        })
    }

    /// Whatever the caller stored, such as where the model lies.
    pub fn extra(&self) -> &Map<String, Value> {
        &self.images.extra
    }

    fn description(&self, modality: Modality) -> &Description {
        match modality {
            Modality::Image => &self.images,
            Modality::Text => &self.captions,
        }
    }

    fn collection(&self, modality: Modality) -> String {
        collection(&self.name, modality)
    }

    fn make(&self, modality: Modality, options: &MilvusOptions) -> Result<()> {
        let (name, description) = (self.collection(modality), self.description(modality));
        self.client.ask(CreateCollectionRequest {
            collection_name: name.clone(),
            schema: description.schema(&name, modality).encode_to_vec(),
            shards_num: 1,
            consistency_level: STRONG,
            properties: vec![description.property()],
        })?;
        let params = Value::Object(options.index_params.clone()).to_string();
        self.client.ask(CreateIndexRequest {
            collection_name: name.clone(),
            field_name: VECTOR.into(),
            extra_params: vec![
                pair("index_type", &options.index_kind),
                pair("metric_type", "IP"),
                pair("params", params),
            ],
        })?;
        load(&self.client, &name)
    }

    fn remove_collections(&self) -> Result<()> {
        SIDES.into_iter().try_for_each(|modality| drop_collection(&self.client, &self.collection(modality)).map(drop))
    }
}

impl VectorStore for MilvusStore {
    fn model(&self) -> &str {
        &self.images.model
    }

    fn space(&self) -> &Space {
        &self.images.space
    }

    fn place(&self) -> String {
        format!("index {} of {}", self.name, self.client.endpoint())
    }

    fn put_images(&mut self, items: &[ImageItem], embeddings: &[f32]) -> Result<()> {
        self.upsert(items, embeddings)
    }

    fn put_captions(&mut self, items: &[CaptionItem], embeddings: &[f32]) -> Result<()> {
        self.require_images_of(items)?;
        self.upsert(items, embeddings)
    }

    fn remove(&mut self, modality: Modality, ids: &[&str]) -> Result<u64> {
        self.delete(modality, ids)
    }

    fn commit(&mut self) -> Result<()> {
        let collection_names = SIDES.into_iter().map(|modality| self.collection(modality)).collect();
        self.client.ask(FlushRequest { collection_names }).map(drop)
    }

    fn count(&self, modality: Modality) -> Result<u64> {
        self.count_items(modality)
    }

    fn search(&self, parts: &[QueryPart<'_>], options: &SearchOptions<'_>) -> Result<Vec<StoreHit>> {
        self.find(parts, options)
    }
}

fn collection(name: &str, modality: Modality) -> String {
    format!("{name}_{}", modality.plural())
}

/// `None` if there is no such collection.
fn describe(client: &Client, name: &str) -> Result<Option<Description>> {
    match client.try_ask(DescribeCollectionRequest { collection_name: name.into() }) {
        Ok(answer) => Description::of(name, &answer).map(Some),
        Err(Refusal::NoCollection) => Ok(None),
        Err(Refusal::Other(error)) => Err(error),
    }
}

/// Brings a collection into the server's memory, without which it is not searched.
fn load(client: &Client, name: &str) -> Result<()> {
    client.ask(LoadCollectionRequest { collection_name: name.into(), replica_number: 1 })?;
    let end = Instant::now() + client.timeout();
    while client.ask(GetLoadStateRequest { collection_name: name.into() })?.state != LOADED {
        if Instant::now() > end {
            let found = format!("still loading after {} s", client.timeout().as_secs());
            let what = format!("collection {name} of {}", client.endpoint());
            return Err(Error::busy(what, found, "one in memory").with_hint("give the server more time or more memory"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// False if there was none.
fn drop_collection(client: &Client, name: &str) -> Result<bool> {
    match client.try_ask(DescribeCollectionRequest { collection_name: name.into() }) {
        Err(Refusal::NoCollection) => return Ok(false),
        Err(Refusal::Other(error)) => return Err(error),
        Ok(_) => {}
    }
    client.ask(DropCollectionRequest { collection_name: name.into() }).map(|_| true)
}

fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if good && (1..=200).contains(&name.len()) {
        return Ok(());
    }
    let expected = "1 to 200 letters, digits and `_`, no digit first";
    Err(Error::invalid("name of an index in Milvus", format!("`{name}`"), expected)
        .with_hint("the collections are NAME_images and NAME_captions"))
}
