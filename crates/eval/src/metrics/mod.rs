//! Pure functions on plain slices: ranks and recall, the paired bootstrap, caption metrics.

pub mod bleu;
pub mod bootstrap;
pub mod captions;
pub mod cider;
#[cfg(test)]
mod golden;
pub mod isotonic;
pub mod ngram;
pub mod recall;
pub mod rouge;
pub mod tokenize_ptb;

pub use bleu::{Bleu, BleuReferences, bleu};
pub use bootstrap::{Bootstrap, Difference, Interval, Queries};
pub use captions::{CAPTION_KEYS, CaptionReferences, CaptionScores, ImageScores};
pub use cider::{CiderReward, DocumentFrequencies, cider_d};
pub use isotonic::{Isotonic, expected_calibration_error};
pub use ngram::TokenIds;
pub use recall::{METRIC_KEYS, Metrics, Recall, ranks, recall_at};
pub use rouge::rouge_l;
pub use tokenize_ptb::tokenize_ptb;
