//! Retrieval protocols and reports.

mod kernel;
pub mod protocol;
pub mod ranks;

pub use protocol::{Evaluation, Protocol, Selection};
pub use ranks::{Embeddings, Level, Ranks, Relevance, Scoring, Similarity, ranks};
