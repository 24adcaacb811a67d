//! Pure functions on plain slices: ranks and recall, the paired bootstrap, caption metrics, calibration.

mod bleu;
mod bootstrap;
mod captions;
mod cider;
#[cfg(test)]
mod golden;
mod isotonic;
mod kendall;
mod keys;
mod ngram;
mod ptb;
mod recall;
mod rouge;
mod t_test;

pub use bootstrap::{Bootstrap, Interval, PairedDifference, RankedQueries};
pub use captions::{CAPTION_KEYS, CaptionReferences, CaptionScores, ImageScores};
pub use cider::{CiderReward, DocumentFrequencies, cider_d};
pub use isotonic::{Isotonic, expected_calibration_error};
pub use kendall::Kendall;
pub use ptb::tokenize_ptb;
pub use recall::{METRIC_KEYS, Metrics, Recall, ranks_of_scores};

pub(crate) use captions::tokenize_all;
pub(crate) use recall::stands_before;
