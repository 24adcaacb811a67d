//! Retrieval and caption evaluation on plain arrays and files; no tensor framework.
//!
//! [`Protocol::evaluate`] ranks embeddings, [`Report`] keeps the outcome, [`compare()`] sets reports side by side and
//! [`Foreign`] reads embeddings from elsewhere. [`CaptionEvaluation`] scores captions against references. [`metrics`]
//! holds the pure functions below them.
#![warn(missing_docs)]

pub mod ablation;
pub mod caption_references;
pub mod caption_results;
pub mod captions;
pub mod compare;
pub mod foreign;
#[cfg(test)]
mod golden;
mod kernel;
pub mod metrics;
pub mod npy;
pub mod protocol;
pub mod ranks;
pub mod report;

pub use ablation::{AblationTable, ArmReports, SplitScore};
pub use caption_references::ReferenceCaptions;
pub use caption_results::{CaptionResult, CaptionResults, ImageId, ResultNames};
pub use captions::CaptionEvaluation;
pub use compare::{Comparison, compare, compare_groups, mean_and_deviation};
pub use foreign::{Foreign, ForeignPaths};
pub use gxn_base::{Error, Kind, Remedy, Result, Similarity};
pub use npy::{Matrix, read_npy, write_npy};
pub use protocol::{Evaluation, Protocol, Selection};
pub use ranks::{Embeddings, Level, Ranks, Relevance, Scoring, best_captions, ranks};
pub use report::{About, Report};
