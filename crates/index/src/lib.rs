//! The index of gxn, a vector database in a folder: exact scores, or candidates scored exactly; filters; changes that
//! are safe from crashes while others read; 4-bit sketches; no tensor framework, no async runtime.
//!
//! An [`Index`] is a folder of f16 rows `[h ; l]`, one for each content, and of items, one for each image and, if
//! wanted, each caption. A query is a list of weighted [`QueryPart`]s; an item's score is Σ wᵢ · scoreᵢ(item), larger
//! is better. An [`IndexWriter`] makes an index, or changes it while others search.
//!
//! | what | modules |
//! |---|---|
//! | stored things | `space`, `item`, `meta`, `catalogue` (the one commit point), `segment` (row files), `sidecar` and `quantized` (sketches) |
//! | writing | `writer`: changes, maintenance (compaction, sketches), repair; `segment_writer`; `folder` (lock, leftovers) |
//! | reading | `reader`: search by `query`, [`filter`] and strategy; verify; export |
//! | for other stores | `store`: the traits that an index in a server implements, too |
//! | scoring | `scan` on `kernel`; `surrogate` makes order similarity an inner product |
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
//!     writer.put_image(&item, &embedding)?;
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
#![deny(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]

mod bitmap;
mod catalogue;
#[cfg(test)]
mod crash_simulation;
mod fault;
mod file;
pub mod filter;
mod folder;
mod item;
// For gxn's own crates and benchmarks; it may change with any version.
#[doc(hidden)]
pub mod kernel;
mod meta;
mod quantized;
mod query;
mod reader;
mod scan;
mod segment;
mod segment_writer;
mod sidecar;
mod space;
mod store;
#[doc(hidden)]
pub mod surrogate;
mod top_k;
mod writer;

pub use filter::Filter;
pub use gxn_base::{Error, Kind, Modality, Remedy, Result, Similarity};
pub use half::f16;
pub use item::{CaptionItem, FileIdentity, ImageItem, text_content};
pub use meta::{Collection, INDEX_VERSION, IndexMeta};
pub use query::{LevelScores, PartKind, QueryPart};
pub use reader::{CANDIDATES, Hit, INSTANT_BYTES, Index, LOADING_PAYS, Method, SearchOptions};
pub use space::Space;
pub use store::{VectorStore, VectorStoreWriter, Visit, copy_store};
pub use writer::{Change, CompactReport, DEAD_SHARE, DamagedItems, IndexSettings, IndexWriter};

// For gxn's own crates and benchmarks, as `kernel` is.
#[doc(hidden)]
pub use query::{Plan, Term, inverse_length};
#[doc(hidden)]
pub use reader::candidates;
#[doc(hidden)]
pub use scan::RowView;
#[doc(hidden)]
pub use top_k::{Scored, TopK};
