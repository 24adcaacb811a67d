//! Retrieval and caption evaluation on plain arrays and files: for embeddings of any program; no tensor framework.
//!
//! | to | call |
//! |---|---|
//! | rank embeddings under a [`Protocol`] | [`Protocol::evaluate`], which gives an [`Evaluation`] |
//! | count equal captions as right, or ties otherwise | [`Protocol::evaluate_by`], [`Judging`] |
//! | rank the best items of each query once more by a second score | [`Protocol::evaluate_reranked`], [`Reranking`] |
//! | correct hubs, items that are near to everything | [`Hubness::of`] |
//! | compare scores with judgements of people | [`Judgements::read`], [`pair_scores`], [`Agreement::new`] |
//! | keep the result with confidence intervals | [`Report::new`], [`Report::write`], [`Report::read`] |
//! | show the result as a page with a chart | [`report_page()`], [`line_chart`] |
//! | compare results on the same queries | [`compare()`], [`compare_groups`] |
//! | read embeddings of another program | [`ExternalEmbeddings::read`], [`read_npy`] |
//! | score captions against references | [`CaptionEvaluation::of`], [`metrics::CaptionScores`] |
//! | set variants beside their controls | [`AblationTable`] |
//! | compute a metric alone | [`metrics`]: pure functions on slices |
//!
//! # Embeddings
//! Three images, two captions of the first and one of each other:
//! ```
//! use gxn_eval::{Embeddings, LevelEmbeddings, Protocol, Scoring, Similarity};
//!
//! let images = [1.0, 0.0, /**/ 0.0, 1.0, /**/ 0.7, 0.7];
//! let captions = [0.9, 0.1, /**/ 0.8, 0.3, /**/ 0.2, 0.9, /**/ 0.6, 0.6];
//! let level = LevelEmbeddings { images: &images, captions: &captions, dim: 2 };
//! let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
//! let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
//! let found = Protocol::Full.evaluate(3, &[0, 0, 1, 2], &embeddings, scoring)?;
//! assert_eq!(found.metrics.text_to_image.r1, 100.0);
//! # Ok::<(), gxn_eval::Error>(())
//! ```
//! A model with two levels gives both and a λ below 1. Equal scores count against the query, so a model whose
//! embeddings are all equal ranks last.
//!
//! # Captions
//! ```
//! use gxn_eval::metrics::CaptionScores;
//!
//! let candidates = ["a dog runs on the beach".to_string(), "two men".to_string()];
//! let references = [
//!     vec!["A dog runs along the beach.".to_string(), "The dog is running!".to_string()],
//!     vec!["Two men play chess.".to_string()],
//! ];
//! let scores = CaptionScores::of(&candidates, &references, None)?;
//! assert!(scores.bleu[0] > 0.5 && scores.images[0].rouge_l > scores.images[1].rouge_l);
//! # Ok::<(), gxn_eval::Error>(())
//! ```
#![warn(missing_docs)]

mod ablation;
mod agreement;
mod caption_references;
mod caption_results;
mod captions;
mod chart;
mod compare;
#[cfg(test)]
mod damaged;
mod embeddings;
mod external_embeddings;
mod floats;
#[cfg(test)]
mod golden;
pub mod html;
mod hubness;
mod judgements;
mod judging;
mod kernel;
pub mod metrics;
mod npy;
mod plausible_match;
mod precision;
mod protocol;
mod ranks;
mod relevance_file;
mod report;
mod report_page;
mod rerank;
mod scorer;

pub use ablation::{AblationRow, AblationTable, ControlComparison, LevelRecall, VariantResult, VariantResults};
pub use agreement::Agreement;
pub use caption_references::ReferenceCaptions;
pub use caption_results::{CaptionResult, CaptionResults, ImageId, ResultNames};
pub use captions::CaptionEvaluation;
pub use chart::{Line, line_chart};
pub use compare::{MetricComparison, ReportComparison, compare, compare_groups};
pub use embeddings::{Embeddings, LevelEmbeddings, Relevance, Scoring};
pub use external_embeddings::{EmbeddingPaths, ExternalEmbeddings};
pub use floats::Floats;
pub use gxn_base::{Error, Kind, Remedy, Result, Similarity};
pub use hubness::{Bank, Hubness, HubnessRows, HubnessScale, soft_maximum};
pub use judgements::{JudgedPair, JudgementKind, Judgements};
pub use judging::{Judging, RelevanceRule, Ties, captions_of_several_images};
pub use npy::{NpyMatrix, read_npy, write_npy, write_npy_rows};
pub use plausible_match::{ObjectLabels, PlausibleMatch};
pub use precision::{PrecisionAtR, Precisions};
pub use protocol::{Evaluation, Protocol, Selection};
pub use ranks::{Ranks, ranks};
pub use report::{About, Report};
pub use report_page::report_page;
pub use rerank::{PairScores, Reranked, Reranking, check_rerank_weight};
pub use scorer::{best_captions, pair_scores};
