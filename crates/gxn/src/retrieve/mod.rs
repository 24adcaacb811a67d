//! RETRIEVE: an index of pictures and captions made with a checkpoint, and search in it.
//!
//! | module | holds |
//! |---|---|
//! | [`notes`] | what an index notes of its model and source |
//! | [`query`] | `horse + stripes`, `2:golden retriever - ./pool.jpg` |
//! | [`listing`] | what a folder or a data set has to index |
//! | [`indexer`] | pictures and captions → an index, and its refreshment |
//! | [`merge`] | several indexes → one |
//! | [`export`] | an index → npy and JSON lines |
//! | [`calibration`] | scores → probability of being relevant |
//! | [`retriever`] | checkpoint + index → hits |

pub mod calibration;
pub mod export;
pub mod indexer;
pub mod listing;
pub mod merge;
pub mod notes;
pub mod query;
pub mod retriever;

pub use calibration::{Calibration, CalibrationFigures, CalibrationReport};
pub use indexer::{IndexJob, IndexProgress, IndexReport, IndexSource, refresh_index};
pub use listing::{FolderOptions, Listing, Shard};
pub use merge::merge_indexes;
pub use notes::{noted_as_dataset, noted_model, noted_shard, noted_source};
pub use query::{Content, Part, parse_query};
pub use retriever::{Found, Retriever, find_index, index_space};
