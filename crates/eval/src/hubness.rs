//! [`Hubness`]: what items score with queries that they have nothing to do with.
//!
//! In a joint space of many dimensions some items are near to everything: such hubs stand before the right item of many queries
//! (Radovanović et al., JMLR 2010). A bank of other queries shows them: s(t, v) − h(v) − h(t), where h(v) = T·ln mean e^{s(t′, v)/T}
//! over the bank's captions t′, and h(t) the same over its images. Up to the scale this is the inverted softmax (Smith et al.,
//! ICLR 2017) with a bank of training queries (querybank normalisation, Bogolin et al., CVPR 2022): no query knows of another.
//!
//! An item may itself be one of the bank's, such as a training image in an index. Its own captions say nothing about others, so as
//! many of the highest scores as an image has captions in the bank are left out, and of a caption's the highest. Of a bank with n < 1000
//! images or captions √(n / 1000) of h counts: that gained with every bank from 50 images on (docs/results.md, "Correcting hubs").

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::embeddings::{Embeddings, LevelEmbeddings, Scoring};
use crate::scorer::Scorer;
use gxn_base::{Error, Result, Similarity};

/// T is this share of the scores' standard deviation.
const TEMPERATURE: f64 = 0.5;
/// Images or captions of a bank whose word counts in full; of n fewer √(n / ENOUGH) of it.
const ENOUGH: f64 = 1000.0;
/// Items scored in one go.
const CHUNK: usize = 64;
/// Such goes, evenly spread, that tell the standard deviation.
const SAMPLE: usize = 4;

/// How the scores of an item with a bank of queries become its hubness.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HubnessScale {
    /// T, above zero.
    pub temperature: f64,
    /// How many of the highest scores are left out: an item's own queries may be in the bank.
    pub own: usize,
    /// How much of it counts: what a small bank shows is partly chance.
    pub share: f64,
}

impl HubnessScale {
    /// For images, whose scores with the captions of `bank` have this standard deviation.
    pub fn of_images(deviation: f64, bank: Bank) -> Self {
        Self::new(deviation, bank.captions.div_ceil(bank.images.max(1)), bank)
    }

    /// For captions, whose scores with the images of `bank` have this standard deviation.
    pub fn of_captions(deviation: f64, bank: Bank) -> Self {
        Self::new(deviation, 1, bank)
    }

    fn new(deviation: f64, own: usize, bank: Bank) -> Self {
        // Equal scores have no deviation; T divides.
        let temperature = TEMPERATURE * deviation.max(f64::from(f32::EPSILON));
        let pairs = bank.images.min(bank.captions) as f64;
        Self { temperature, own, share: (pairs / ENOUGH).sqrt().min(1.0) }
    }

    /// h = share·T·ln mean e^{s/T} of an item's scores with the bank, which are left in another order; 0 where only `own` are there.
    pub fn hubness(&self, scores: &mut [f32]) -> f32 {
        let own = self.own;
        if scores.len() <= own {
            return 0.0;
        }
        if own > 0 {
            scores.select_nth_unstable_by(own - 1, |a, b| b.total_cmp(a));
        }
        (self.share * soft_maximum(&scores[own..], self.temperature)) as f32
    }
}

/// The hubness of images and captions, and the bank that showed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hubness {
    /// h(v) of each image.
    pub images: Vec<f32>,
    /// h(t) of each caption.
    pub captions: Vec<f32>,
    /// How many queries were in the bank.
    pub bank: Bank,
}

/// The size of a bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bank {
    /// Images, for h(t).
    pub images: usize,
    /// Captions, for h(v).
    pub captions: usize,
}

/// Hubness of the rows of [`Embeddings`].
#[derive(Debug, Clone, Copy)]
pub struct HubnessRows<'a> {
    /// h(v) of each image row.
    pub images: &'a [f32],
    /// h(t) of each caption row.
    pub captions: &'a [f32],
}

impl Hubness {
    /// Hubness of the images and captions of `items`, as the captions and images of `bank` show it: queries of the same kind that
    /// few of the items belong to, such as the training data.
    ///
    /// # Errors
    /// When the bank is empty, the widths of items and bank differ, or as [`ranks`](crate::ranks()).
    pub fn of(items: &Embeddings, bank: &Embeddings, scoring: Scoring) -> Result<Self> {
        let LevelEmbeddings { images, captions, dim } = bank.abstract_level;
        let size = Bank { images: images.len() / dim.max(1), captions: captions.len() / dim.max(1) };
        let captions = by_bank(items, bank, scoring, |level| level.captions, |level| level.images)?;
        let captions = hubness_of(&captions, |deviation| HubnessScale::of_captions(deviation, size))?;
        // Images as what is looked for: the roles change sides, and with them the direction of the order.
        let similarity = match scoring.similarity {
            Similarity::Cosine => Similarity::Cosine,
            Similarity::Order => Similarity::OrderReversed,
            Similarity::OrderReversed => Similarity::Order,
        };
        let scoring = Scoring { similarity, ..scoring };
        let images = by_bank(items, bank, scoring, |level| level.images, |level| level.captions)?;
        let images = hubness_of(&images, |deviation| HubnessScale::of_images(deviation, size))?;
        Ok(Self { images, captions, bank: size })
    }

    /// For [`Embeddings`] with the same rows.
    pub fn rows(&self) -> HubnessRows<'_> {
        HubnessRows { images: &self.images, captions: &self.captions }
    }
}

/// Items as the captions of a scorer, and the bank's queries as its images.
fn by_bank<'a>(
    items: &Embeddings<'a>,
    bank: &Embeddings<'a>,
    scoring: Scoring,
    of_items: impl Fn(LevelEmbeddings<'a>) -> &'a [f32],
    of_bank: impl Fn(LevelEmbeddings<'a>) -> &'a [f32],
) -> Result<Scorer<'a>> {
    let level = |items: LevelEmbeddings<'a>, bank: LevelEmbeddings<'a>| {
        if items.dim != bank.dim {
            return Err(Error::conflict("a bank's embeddings", format!("width {}", bank.dim), items.dim.to_string()));
        }
        Ok(LevelEmbeddings { images: of_bank(bank), captions: of_items(items), dim: items.dim })
    };
    let grounded_level = match (items.grounded_level, bank.grounded_level) {
        (Some(items), Some(bank)) => Some(level(items, bank)?),
        _ => None,
    };
    let abstract_level = level(items.abstract_level, bank.abstract_level)?;
    Scorer::new(&Embeddings { abstract_level, grounded_level, hubness: None }, scoring)
}

/// Hubness of a scorer's captions; `scale` follows from the standard deviation of their scores.
fn hubness_of(scorer: &Scorer<'_>, scale: impl Fn(f64) -> HubnessScale) -> Result<Vec<f32>> {
    let scale = scale(deviation(scorer));
    if scorer.images <= scale.own {
        let found = format!("{} queries", scorer.images);
        return Err(Error::invalid("a bank of queries", found, format!("more than {}, best thousands", scale.own)));
    }
    let mut found = vec![0.0; scorer.captions];
    found.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, found)| {
        let first = chunk * CHUNK;
        let mut scores = scorer.of_captions(first..first + found.len());
        for (found, scores) in found.iter_mut().zip(scores.chunks_exact_mut(scorer.images)) {
            *found = scale.hubness(scores);
        }
    });
    Ok(found)
}

/// Standard deviation of the scores of some captions with every image.
fn deviation(scorer: &Scorer) -> f64 {
    let chunks: Vec<usize> = (0..scorer.captions).step_by(CHUNK).collect();
    let sums = |&first: &usize| {
        let scores = scorer.of_captions(first..scorer.captions.min(first + CHUNK));
        scores.iter().fold([0.0; 3], |[count, sum, squares], &score| {
            let score = f64::from(score);
            [count + 1.0, sum + score, squares + score * score]
        })
    };
    let sample: Vec<usize> = chunks.iter().step_by(chunks.len().div_ceil(SAMPLE).max(1)).copied().collect();
    // Each chunk's sums on one thread, added in order: the same for any number of threads.
    let each: Vec<[f64; 3]> = sample.par_iter().map(sums).collect();
    let [count, sum, squares] = each.iter().fold([0.0; 3], |all, sums| [0, 1, 2].map(|at| all[at] + sums[at]));
    let count = f64::max(count, 1.0);
    (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
}

/// T·ln mean e^{s/T}: the highest score as T goes to 0, the mean of all as it grows.
pub fn soft_maximum(scores: &[f32], temperature: f64) -> f64 {
    let most = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|&score| ((f64::from(score) - most) / temperature).exp()).sum();
    most + temperature * (sum / scores.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Relevance, pair_scores, ranks};

    const SCORING: Scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };

    fn embeddings<'a>(images: &'a [f32], captions: &'a [f32]) -> Embeddings<'a> {
        let level = LevelEmbeddings { images, captions, dim: 2 };
        Embeddings { abstract_level: level, grounded_level: None, hubness: None }
    }

    /// T = 0.5: 0.5·ln((e^2 + e^0) / 2).
    #[test]
    fn the_soft_maximum_of_two_scores() {
        let expected = 0.5 * f64::midpoint(2f64.exp(), 1.0).ln();
        assert!((soft_maximum(&[1.0, 0.0], 0.5) - expected).abs() < 1e-12);
        assert_eq!(soft_maximum(&[0.3, 0.3], 0.1), f64::from(0.3f32));
        assert!(soft_maximum(&[-3000.0, -2000.0], 1e-3).is_finite());
    }

    /// The bank's captions score (1, 0.6) with the first image and (0, 0.8) with the second; standard deviation of these four √0.14,
    /// T half of it. One caption an image: the higher score is left out. Of its images, which score (1, 0) and (0, 1) with the
    /// captions, too.
    #[test]
    fn hubness_by_worked_numbers() {
        let rows = [1.0, 0.0, 0.0, 1.0];
        let (items, bank) = (embeddings(&rows, &rows), [1.0, 0.0, 0.6, 0.8]);
        let found = Hubness::of(&items, &embeddings(&rows, &bank), SCORING).unwrap();
        let share = (2f32 / 1000.0).sqrt();
        for (found, expected) in found.images.iter().chain(&found.captions).zip([0.6, 0.0, 0.0, 0.0]) {
            assert!((found - share * expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(found.bank, Bank { images: 2, captions: 2 });
        // Three captions and two images: two scores are left out, of the first image 1 and 0.6.
        let found = Hubness::of(&items, &embeddings(&rows, &[1.0, 0.0, 0.6, 0.8, 0.0, 1.0]), SCORING).unwrap();
        assert!(found.images.iter().all(|h| h.abs() < 1e-6), "{found:?}");
    }

    /// The second image lies between the captions and stands first for both; the bank shows that it does so for all captions.
    #[test]
    fn a_hub_no_longer_stands_first() {
        let images = [1.0, 0.0, 0.9, 0.9];
        let captions = [0.8, 0.5, 0.5, 0.8];
        let relevance = Relevance::from_caption_image(2, &[0, 1]).unwrap();
        let plain = embeddings(&images, &captions);
        assert_eq!(ranks(&plain, &relevance, SCORING).unwrap().text_to_image, [1, 0]);
        let bank = [0.7, 0.7, 0.6, 0.8, 0.8, 0.6, 0.7, 0.7].repeat(250);
        let hubness = Hubness::of(&plain, &embeddings(&bank, &bank), SCORING).unwrap();
        let corrected = Embeddings { hubness: Some(hubness.rows()), ..plain };
        assert_eq!(ranks(&corrected, &relevance, SCORING).unwrap().text_to_image, [0, 0]);
        let pairs = [(0, 0), (1, 1)];
        let difference: Vec<f32> = (pair_scores(&plain, SCORING, &pairs).unwrap().iter())
            .zip(pair_scores(&corrected, SCORING, &pairs).unwrap())
            .map(|(plain, corrected)| plain - corrected)
            .collect();
        for (row, difference) in difference.into_iter().enumerate() {
            assert!((difference - hubness.images[row] - hubness.captions[row]).abs() < 1e-6);
        }
    }

    #[test]
    fn an_empty_bank_and_another_width_are_refused() {
        let rows = [1.0, 0.0];
        let items = embeddings(&rows, &rows);
        assert!(Hubness::of(&items, &embeddings(&[], &[]), SCORING).unwrap_err().to_string().contains("bank"));
        let level = LevelEmbeddings { images: &rows, captions: &rows, dim: 1 };
        let narrow = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        assert!(Hubness::of(&items, &narrow, SCORING).is_err());
    }
}
