//! RETRIEVE: an index of pictures and captions made with a checkpoint, and search in it.
//!
//! | module | holds |
//! |---|---|
//! | [`query`] | `horse + stripes`, `2:golden retriever - ./pool.jpg` |
//! | [`indexer`] | pictures and captions → an index |
//! | [`retriever`] | checkpoint + index → hits |

pub mod indexer;
pub mod query;
pub mod retriever;

pub use indexer::{IndexReport, IndexSource, build_index};
pub use query::{Content, Part, parse_query};
pub use retriever::{Retriever, find_index, index_space};
