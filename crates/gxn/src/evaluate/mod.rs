//! Retrieval protocols and reports.

mod kernel;
pub mod ranks;

pub use ranks::{Embeddings, Level, Ranks, Relevance, Scoring, Similarity, ranks};
