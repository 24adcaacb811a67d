//! RETRIEVE: an index of images and captions made with a checkpoint, and search in it.
//!
//! [`refresh()`] makes an index of a folder of images or a dataset and keeps it up to date; a [`Retriever`] searches it with
//! words and images.
//!
//! | module | holds |
//! |---|---|
//! | [`refresh`](mod@refresh) | a source → its index, new or brought up to date |
//! | [`options`] | what of a source is indexed, as asked for and as stored |
//! | `source`, [`discovery`], [`shard`] | what a source is, and which images it has |
//! | `indexer`, [`report`] | what is new is encoded, what is gone is deleted |
//! | [`provenance`], [`location`] | what an index stores of its origin, and where it lies |
//! | [`merge`] | several indexes → one |
//! | [`copy`] | a folder ⇄ a Milvus server |
//! | [`export`] | an index → npy and JSON lines |
//! | [`edit`] | one image added or removed |
//! | [`query`] | `horse + stripes`, `2:golden retriever - ./pool.jpg` |
//! | [`retriever`], [`found`] | model + index + query → hits |
//! | `hubs` | hits without those that are near to everything in front |
//! | `rerank` | hits in the order of a second score, the caption decoder's |
//! | [`calibration`] | scores → probability of being relevant |

pub mod calibration;
pub mod copy;
pub mod discovery;
pub mod edit;
mod empty_folders;
pub mod export;
pub mod found;
mod hubs;
mod indexer;
pub mod location;
pub mod merge;
pub mod options;
pub mod provenance;
pub mod query;
pub mod refresh;
pub mod report;
mod rerank;
pub mod retriever;
pub mod shard;
mod source;
mod space;

pub use calibration::{Calibration, CalibrationFigures, CalibrationReport, Relevance};
pub use copy::copy_index;
pub use edit::{add_image, remove_image};
pub use export::export_index;
pub use found::{Found, RankedHit, ScoreParts};
pub use location::{INDEX_FOLDER, IndexPlace, default_index, find_index, index_at};
pub use merge::merge_indexes;
pub use options::IndexOptions;
pub use provenance::{Provenance, SourceKind};
pub use query::{Content, Part, Query};
pub use refresh::{Refresh, refresh};
pub use report::IndexReport;
pub use rerank::{RERANK_WEIGHT, Ranking, Reranking};
pub use retriever::{Retriever, model_of};
pub use shard::Shard;
