//! The index of gxn, a vector database in a folder: exact scores, or candidates scored exactly; filters; changes that
//! are safe from crashes, beside readers; 8-bit codes and 4-bit sketches; no tensor framework, no async runtime.
//!
//! An [`Index`] is a folder of f16 rows `[h ; l]`, one for each content, and of items, one for each image and, if
//! wanted, each caption. A query is a list of weighted [`QueryPart`]s; an item's score is Σ wᵢ · scoreᵢ(item), larger
//! is better. An [`IndexWriter`] makes an index, or changes it while others search.
//!
//! | what | modules |
//! |---|---|
//! | what is kept | `item`, `meta`, `metric`, `catalogue` (the one commit point), `segment` (row files) |
//! | changing it | `writer`, `change`, `shelf`, `appender`, `upkeep` (compaction, codes, sketches), `folder` (lock, leftovers) |
//! | finding | `query` → `search` → `way`: `scan` reads rows by [`kernel`], `codes` and `sketch` (with [`surrogate`]) give candidates; `filter` |
//! | the whole | `index`, `verify`, `export`, `vector_store` (a folder or another store, such as the feature `milvus`) |
//!
//! ```
//! use gxn_index::{ImageItem, Index, IndexSettings, IndexWriter, Similarity, PartKind, QueryPart, Modality, Space};
//!
//! # fn main() -> gxn_index::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let dir = folder.path().join("index");
//! let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 1, dims_grounded: 1 };
//! let settings = IndexSettings { model: "fingerprint".into(), space, extra: Default::default() };
//! let mut writer = IndexWriter::create(&dir, settings)?;
//! for (id, embedding) in [("cat", [1.0, 0.0]), ("dog", [0.0, 1.0])] {
//!     let path = format!("{id}.jpg");
//!     let item = ImageItem { id: id.into(), path, width: 640, height: 480, ..Default::default() };
//!     writer.push_image(&item, &embedding)?;
//! }
//! writer.finish()?;
//!
//! let index = Index::open(&dir)?;
//! index.require_model("fingerprint")?;
//! let text = QueryPart { vector: &[0.1, 0.9], weight: 1.0, kind: PartKind::Cross };
//! let hits = index.search(&[text], Modality::Image, 10, 0)?;
//! assert_eq!(hits[0].path, "dog.jpg");
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod appender;
mod bitmap;
mod catalogue;
mod change;
mod code_scan;
mod codes;
mod derived;
mod export;
mod fault;
mod file;
mod filter;
mod folder;
mod freshness;
mod index;
mod item;
#[cfg(test)]
mod journal;
pub mod kernel;
mod meta;
mod query;
mod scan;
mod search;
mod segment;
mod shelf;
mod sketch;
mod space;
pub mod surrogate;
mod top_k;
mod upkeep;
mod vector_store;
mod verify;
mod way;
mod writer;

pub use change::Change;
pub use filter::Filter;
pub use gxn_base::{Error, Kind, Modality, Remedy, Result, Similarity};
pub use half::f16;
pub use index::Index;
pub use item::{CaptionItem, ImageItem, text_content};
pub use meta::{Collection, INDEX_VERSION, IndexMeta};
pub use query::{LevelScores, PartKind, Plan, QueryPart};
pub use scan::Rows;
pub use search::{CANDIDATES, Hit, INSTANT_BYTES, LOADING_PAYS, Method, SearchOptions};
pub use segment::{Header, ROWS_VERSION, Segment};
pub use space::Space;
pub use top_k::{Scored, TopK};
pub use upkeep::CompactReport;
pub use vector_store::{FolderStore, StoreHit, VectorStore, copy_index};
pub use writer::{DEAD_SHARE, IndexSettings, IndexWriter};
