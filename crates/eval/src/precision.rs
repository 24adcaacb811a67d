//! [`Precisions`]: R-Precision and mAP@R, for queries with more than one right answer.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::embeddings::{Embeddings, Relevance, Scoring};
use crate::scorer::Scorer;
use gxn_base::Result;

/// Means over the queries of one direction, in percent. R is how many items are relevant to a query.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PrecisionAtR {
    /// The share of relevant items among the first R.
    pub r_precision: f64,
    /// The mean over the first R places of the share of relevant items up to there, 0 for the place of an irrelevant one
    /// (Musgrave et al. 2020).
    pub map_at_r: f64,
}

/// Both directions. An irrelevant item with an equal score stands before.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Precisions {
    /// Queries are images.
    #[serde(rename = "i2t")]
    pub image_to_text: PrecisionAtR,
    /// Queries are captions.
    #[serde(rename = "t2i")]
    pub text_to_image: PrecisionAtR,
}

impl Precisions {
    /// The precisions of the first `queries` images and of all captions.
    ///
    /// # Errors
    /// As [`ranks`](crate::ranks()).
    pub(crate) fn of(embeddings: &Embeddings, relevance: &Relevance, queries: usize, scoring: Scoring) -> Result<Self> {
        let scorer = Scorer::new(embeddings, scoring)?;
        let of_image = |image: usize| of_list(&scorer.of_image(image), &relevance.captions_of_image[image]);
        let of_caption = |caption: usize| of_list(&scorer.of_caption(caption), &relevance.images_of_caption[caption]);
        let by_image: Vec<_> = (0..queries).into_par_iter().map(of_image).collect();
        let by_caption: Vec<_> = (0..scorer.captions).into_par_iter().map(of_caption).collect();
        Ok(Self { image_to_text: PrecisionAtR::mean(&by_image), text_to_image: PrecisionAtR::mean(&by_caption) })
    }

    /// The mean of several folds; none of none.
    pub(crate) fn mean(folds: &[Self]) -> Option<Self> {
        let side = |of: fn(&Self) -> PrecisionAtR| PrecisionAtR::mean(&folds.iter().map(of).collect::<Vec<_>>());
        let mean =
            || Self { image_to_text: side(|fold| fold.image_to_text), text_to_image: side(|fold| fold.text_to_image) };
        (!folds.is_empty()).then(mean)
    }
}

impl PrecisionAtR {
    pub(crate) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len().max(1) as f64;
        Self { r_precision: mean(|one| one.r_precision), map_at_r: mean(|one| one.map_at_r) }
    }
}

/// [`of_query`] where what is relevant is a sorted list.
fn of_list(scores: &[f32], relevant: &[u32]) -> PrecisionAtR {
    of_query(scores, |item| relevant.binary_search(&(item as u32)).is_ok())
}

/// The precision of one query by the scores of its gallery; 0 where nothing is relevant.
pub(crate) fn of_query(scores: &[f32], is_relevant: impl Fn(usize) -> bool) -> PrecisionAtR {
    let mut order: Vec<(f32, bool)> =
        scores.iter().enumerate().map(|(item, &score)| (score, is_relevant(item))).collect();
    let relevant = order.iter().filter(|(_, is_relevant)| *is_relevant).count();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let (mut found, mut sum) = (0.0, 0.0);
    for (place, (_, is_relevant)) in order.iter().take(relevant).enumerate() {
        if *is_relevant {
            found += 1.0;
            sum += found / (place + 1) as f64;
        }
    }
    let share = 100.0 / relevant.max(1) as f64;
    PrecisionAtR { r_precision: share * found, map_at_r: share * sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LevelEmbeddings, Similarity};

    /// Relevant are items 0, 2 and 3 (R = 3); the first three are 2 (right), 1 (wrong), 0 (right): R-Precision 2/3,
    /// mAP@R (1 + 0 + 2/3) / 3 = 5/9.
    #[test]
    fn worked_precision() {
        let found = of_list(&[0.7, 0.8, 0.9, 0.1, 0.0], &[0, 2, 3]);
        assert!(
            (found.r_precision - 200.0 / 3.0).abs() < 1e-9 && (found.map_at_r - 500.0 / 9.0).abs() < 1e-9,
            "{found:?}"
        );
        // A wrong item with an equal score stands before.
        assert_eq!(of_list(&[0.5, 0.5], &[0]), PrecisionAtR::default());
        assert_eq!(of_list(&[0.5, 0.4], &[0]), PrecisionAtR { r_precision: 100.0, map_at_r: 100.0 });
    }

    /// Images on x and y, captions on x, y, y; captions 0 and 1 are of image 0, caption 2 of image 1.
    #[test]
    fn both_directions() {
        let level =
            LevelEmbeddings { images: &[1.0, 0.0, 0.0, 1.0], captions: &[1.0, 0.0, 0.0, 1.0, 0.0, 1.0], dim: 2 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let relevance = Relevance::from_caption_image(2, &[0, 0, 1]).unwrap();
        let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
        let found = Precisions::of(&embeddings, &relevance, 2, scoring).unwrap();
        // Image 0: caption 0, then the wrong one of equal score: 1/2 and (1 + 0)/2. Image 1: the wrong one of equal score.
        assert_eq!(found.image_to_text, PrecisionAtR { r_precision: 25.0, map_at_r: 25.0 });
        assert!((found.text_to_image.r_precision - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(Precisions::mean(&[found, found]), Some(found));
        assert_eq!(Precisions::mean(&[]), None);
    }
}
