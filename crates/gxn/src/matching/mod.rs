//! MATCH: similarity and ranking losses (paper §3.2, spec §5–6).

pub mod ranking_loss;
pub mod similarity;

pub use ranking_loss::{Negatives, Pairs, distillation_loss, hinge_loss, info_nce_loss};
pub use similarity::{combined_scores, similarity};
