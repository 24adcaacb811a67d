//! [`PictureEvaluation`]: are imagined pictures about their sentences, and are they more than one picture?

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::encode::EncodedDataset;
use super::{Embeddings, Level, Relevance, Scoring, Similarity, ranks};
use crate::Result;
use crate::checkpoint::Encoder;
use crate::data::Dataset;
use crate::imagine::picture::{ImaginedPicture, root_mean_square};
use crate::look::phase::mix;
use crate::metrics::Recall;
use crate::model::Rows;

/// Sentences whose pictures are made a second time with another noise.
const TWICE: usize = 200;
/// Sign flips of the permutation test.
const FLIPS: usize = 9_999;

/// What pictures imagined for the first caption of every image are worth.
#[derive(Debug, Clone, Serialize)]
pub struct PictureEvaluation {
    /// Number of images.
    pub images: usize,
    /// Mean rank of the sentence's own photo for its picture, encoded again, under the cosine of `[h ; l]`, as a share: 0 is
    /// first, 0.5 is chance.
    pub own_photo: f64,
    /// The same for the picture of the next image's sentence.
    pub shuffled_photo: f64,
    /// One-sided p of "own is no better than shuffled": a sign-flip test over images.
    pub p: f64,
    /// Recall of the own photo, in percent.
    pub own_photo_recall: RecallAt,
    /// Recall of the image's own captions for the picture as a query, in percent.
    pub own_caption_recall: RecallAt,
    /// Mean root mean square difference between two pictures of one sentence with different noise; values in 0..=1.
    pub same_sentence: f64,
    /// The same between pictures of different sentences with the same noise.
    pub other_sentence: f64,
    /// Seed of noise and test.
    pub seed: u64,
}

/// Recall in percent and median rank, from 1.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RecallAt {
    /// R@1.
    pub r1: f64,
    /// R@10.
    pub r10: f64,
    /// Median rank.
    pub median: f64,
}

impl From<Recall> for RecallAt {
    fn from(recall: Recall) -> Self {
        Self { r1: recall.r1, r10: recall.r10, median: recall.median_rank }
    }
}

impl PictureEvaluation {
    /// Imagines a picture for the first caption of every image of `encoded` and measures it. Also returns the sentences and their
    /// pictures.
    ///
    /// # Errors
    /// When the model has no generator, or the embeddings do not fit together.
    pub fn of(
        encoder: &Encoder,
        encoded: &EncodedDataset,
        dataset: &Dataset,
        scoring: Scoring,
        seed: u64,
    ) -> Result<(Self, Vec<String>, Vec<ImaginedPicture>)> {
        let mut first = vec![None; encoded.images.count];
        for (text, &row) in encoded.caption_texts(dataset).into_iter().zip(&encoded.caption_image) {
            first[row].get_or_insert(text);
        }
        let texts: Vec<String> = first.into_iter().map(|text| text.unwrap_or_default().to_string()).collect();
        let own_noise: Vec<u64> = (0..texts.len() as u64).map(|row| mix(seed, row)).collect();
        let pictures = encoder.imagine(&texts, &own_noise)?;

        let few = texts.len().min(TWICE);
        let again: Vec<u64> = (0..few as u64).map(|row| mix(mix(seed, 0xa6), row)).collect();
        let again = encoder.imagine(&texts[..few], &again)?;
        let one_noise = encoder.imagine(&texts[..few], &vec![seed; few])?;
        let same: Vec<f64> = pictures.iter().zip(&again).map(|(a, b)| root_mean_square(a, b)).collect();
        let other: Vec<f64> =
            one_noise.iter().zip(one_noise.iter().skip(1)).map(|(a, b)| root_mean_square(a, b)).collect();

        let features: Result<Vec<Vec<f32>>> =
            pictures.par_iter().map(|picture| encoder.picture_feature(&picture.to_rgb())).collect();
        let rows = encoder.embed_features(&features?.concat());
        let own = own_photo_ranks(&rows, &encoded.images)?;
        let order: Vec<usize> = (0..rows.count).map(|row| (row + 1) % rows.count.max(1)).collect();
        let shuffled = own_photo_ranks(&rows.permuted(&order), &encoded.images)?;
        let differences: Vec<f64> = shuffled.iter().zip(&own).map(|(s, o)| s - o).collect();

        let captions = Embeddings::of(&rows, &encoded.captions).metrics(&encoded.caption_image, scoring)?.image_to_text;
        let places: Vec<u32> =
            own.iter().map(|share| (share * (rows.count.max(2) - 1) as f64).round() as u32).collect();
        let evaluation = Self {
            images: rows.count,
            own_photo: mean(&own),
            shuffled_photo: mean(&shuffled),
            p: sign_flip_p(&differences, seed),
            own_photo_recall: Recall::of(&places).into(),
            own_caption_recall: captions.into(),
            same_sentence: mean(&same),
            other_sentence: mean(&other),
            seed,
        };
        Ok((evaluation, texts, pictures))
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let recall = |r: &RecallAt| format!("R@1 {:.1}, R@10 {:.1}, median rank {:.1}", r.r1, r.r10, r.median);
        format!(
            "\nimagined pictures (64×64, what the model expects), one for the first caption of each of {} images\n\
             own photo for the picture encoded again: {}; mean rank at {:.1} %, for the next sentence's picture at {:.1} % \
             (chance 50 %), p = {:.4}\n\
             own captions for it: {}\n\
             difference between two pictures of one sentence {:.4}, of different sentences {:.4} (root mean square, values 0 to 1)\n",
            self.images,
            recall(&self.own_photo_recall),
            100.0 * self.own_photo,
            100.0 * self.shuffled_photo,
            self.p,
            recall(&self.own_caption_recall),
            self.same_sentence,
            self.other_sentence
        )
    }
}

/// Of each picture the rank of the photo in the same row under the cosine of `[h ; l]`, as a share of the other photos; equal
/// photos stand before it.
///
/// # Errors
/// As [`ranks()`].
pub fn own_photo_ranks(pictures: &Rows, photos: &Rows) -> Result<Vec<f64>> {
    let joined = |rows: &Rows| -> Vec<f32> { (0..rows.count).flat_map(|row| rows.joined(row)).collect() };
    let (pictures_joined, photos_joined) = (joined(pictures), joined(photos));
    let level = Level { images: &pictures_joined, captions: &photos_joined, dim: photos.joined_width() };
    let same_row: Vec<usize> = (0..photos.count).collect();
    let relevance = Relevance::from_caption_image(pictures.count, &same_row)?;
    let embeddings = Embeddings { abstract_level: level, grounded_level: None };
    let found = ranks(&embeddings, &relevance, Scoring { similarity: Similarity::Cosine, lambda: 1.0 })?;
    let others = (photos.count.max(2) - 1) as f64;
    Ok(found.image_to_text.into_iter().map(|before| f64::from(before) / others).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// One-sided p of the hypothesis that the differences are symmetric about 0: the share of random sign patterns (and the
/// observed one) whose mean is at least the observed mean.
fn sign_flip_p(differences: &[f64], seed: u64) -> f64 {
    let observed: f64 = differences.iter().sum();
    let as_high = (0..FLIPS)
        .into_par_iter()
        .filter(|&flip| {
            let mut random = ChaCha8Rng::seed_from_u64(mix(seed, flip as u64));
            let sum: f64 = differences.iter().map(|&d| if random.random_bool(0.5) { d } else { -d }).sum();
            sum >= observed
        })
        .count();
    (as_high + 1) as f64 / (FLIPS + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight differences of one sign: one pattern of 2⁸ is as high, p near 1/256; differences that cancel: p near 1/2.
    #[test]
    fn worked_sign_flips() {
        let p = sign_flip_p(&[1.0; 8], 3);
        assert!((p - 1.0 / 256.0).abs() < 0.002, "{p}");
        let balanced = sign_flip_p(&[1.0, -1.0, 2.0, -2.0, 0.5, -0.5], 3);
        assert!((0.4..0.7).contains(&balanced), "{balanced}");
    }
}
