//! Retrieval protocols and reports.
//!
//! [`Protocol::evaluate`] ranks embeddings, [`Report`] keeps the outcome, [`compare()`] sets reports side by side and
//! [`Foreign`] brings embeddings from elsewhere. [`CaptionEvaluation`] scores captions beside references.

pub mod ablation;
pub mod caption_page;
pub mod caption_references;
pub mod caption_results;
pub mod captions;
pub mod compare;
pub mod encode;
pub mod foreign;
#[cfg(test)]
mod golden;
pub mod imagined;
pub mod imagined_pictures;
mod kernel;
pub mod npy;
pub mod protocol;
pub mod ranks;
pub mod report;

pub use ablation::{AblationTable, ArmReports, SplitScore};
pub use caption_page::caption_page;
pub use caption_references::ReferenceCaptions;
pub use caption_results::{CaptionResult, CaptionResults, ImageId, ResultNames};
pub use captions::CaptionEvaluation;
pub use compare::{Comparison, compare, compare_groups, mean_and_deviation};
pub use foreign::{Foreign, ForeignPaths};
pub use imagined::ImaginedEvaluation;
pub use imagined_pictures::PictureEvaluation;
pub use npy::{Matrix, read_npy, write_npy};
pub use protocol::{Evaluation, Protocol, Selection};
pub use ranks::{Embeddings, Level, Ranks, Relevance, Scoring, Similarity, best_captions, ranks};
pub use report::{About, Report};
