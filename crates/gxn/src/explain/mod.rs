//! EXPLAIN: why a text and an image have their score.
//!
//! A word's share is what the score loses when the word is left out of the text, an image cell's what it loses when the cell
//! is painted over; both are exact: the changed text or image is encoded and scored again. Shares need not add up to the
//! score. [`deletion`] tests them: what is marked strongest must cost more than something drawn at random.
//!
//! | module | holds |
//! |---|---|
//! | [`words`], [`cells`] | shares of words and of image cells |
//! | [`caption`] | a generated caption beside the text: which words they share |
//! | [`deletion`] | the deletion test |

pub mod caption;
pub mod cells;
pub mod deletion;
pub mod words;

pub use caption::{CaptionComparison, compare_caption};
pub use cells::{CellShares, Grid, cell_shares};
pub use deletion::{DeletionOutcome, deletion_test};
pub use words::{WordShare, word_shares};

use gxn_base::{Modality, Result};
use gxn_index::{PartKind, Plan, QueryPart, Space, inverse_length};

use crate::retrieve::ScoreParts;

/// The score of a text with an image, by level. Both are embeddings `[h ; l]`.
///
/// # Errors
/// When they are not as wide as the space, or hold values that are not finite.
pub fn pair_parts(space: &Space, text: &[f32], image: &[f32]) -> Result<ScoreParts> {
    // The image takes the text's place too: both must be sound.
    for vector in [text, image] {
        let part = QueryPart { vector, weight: 1.0, kind: PartKind::Cross };
        Plan::new(space, Modality::Image, &[part])?;
    }
    let part = QueryPart { vector: text, weight: 1.0, kind: PartKind::Cross };
    let shares = Plan::new(space, Modality::Image, &[part])?.level_scores(image, inverse_length(image));
    Ok(ScoreParts { abstract_level: shares.abstract_level, grounded_level: shares.grounded_level, hubness: None })
}

/// The sum of [`pair_parts`].
///
/// # Errors
/// As [`pair_parts`].
pub fn pair_score(space: &Space, text: &[f32], image: &[f32]) -> Result<f32> {
    let parts = pair_parts(space, text, image)?;
    Ok(parts.abstract_level + parts.grounded_level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_base::Similarity;

    #[test]
    fn the_score_is_the_sum_of_its_levels() {
        let space = Space { similarity: Similarity::Cosine, lambda: 0.25, dims_abstract: 2, dims_grounded: 1 };
        let parts = pair_parts(&space, &[1.0, 0.0, 1.0], &[0.6, 0.8, -1.0]).unwrap();
        assert!((parts.abstract_level - 0.15).abs() < 1e-6 && (parts.grounded_level + 0.75).abs() < 1e-6, "{parts:?}");
        assert!((pair_score(&space, &[1.0, 0.0, 1.0], &[0.6, 0.8, -1.0]).unwrap() + 0.6).abs() < 1e-6);
        assert!(pair_score(&space, &[1.0, 0.0], &[0.6, 0.8, -1.0]).is_err());
        assert!(pair_score(&space, &[1.0, 0.0, 0.0], &[0.6, f32::NAN, -1.0]).is_err());
    }
}
