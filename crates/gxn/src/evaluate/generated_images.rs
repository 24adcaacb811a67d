//! [`GeneratedImagesEvaluation`]: do generated images match their captions, and do they differ from each other?

use gxn_index::kernel::{Measure, score_matrix};
use rayon::prelude::*;
use serde::Serialize;

use super::encode::{EncodedDataset, paired};
use super::other_images::other_images;
use super::permutation_test::{ORDERS, PermutationTest};
use crate::encoder::Encoder;
use crate::imagine::small_image::{SmallImage, root_mean_square};
use crate::look::to_unit_length;
use crate::model::EmbeddingRows;
use crate::seed::mix;
use gxn_base::Result;
use gxn_data::Dataset;
use gxn_eval::metrics::Recall;
use gxn_eval::{Embeddings, LevelEmbeddings, Relevance, Scoring, Similarity, ranks};

/// Captions whose images are generated a second time with another noise.
const TWICE: usize = 200;
/// Generated images that take part in the permutation test: their ranks for all images are held in memory.
const COMPARED: usize = 2_000;

/// Measures of the images generated from the first caption of every image.
#[derive(Debug, Clone, Serialize)]
pub struct GeneratedImagesEvaluation {
    /// Number of images.
    pub images: usize,
    /// Mean rank of the caption's own image for the generated one, encoded again, under the cosine of `[h ; l]`, as a
    /// share: 0 is first, 0.5 is chance.
    #[serde(rename = "own_photo")]
    pub own_image: f64,
    /// The mean rank for the images generated from all other captions.
    #[serde(rename = "shuffled_photo")]
    pub other_image: f64,
    /// One-sided p of "a generated image is no closer to its caption's image than to any other": the share of random orders
    /// of the generated images whose mean rank is as good.
    pub p: f64,
    /// Recall of the own image, in percent.
    #[serde(rename = "own_photo_recall")]
    pub own_image_recall: RecallSummary,
    /// The best that 64×64 pixels can do: mean rank of an image for itself made as small and encoded again.
    #[serde(rename = "small_photo")]
    pub small_image: f64,
    /// Its recall, in percent.
    #[serde(rename = "small_photo_recall")]
    pub small_image_recall: RecallSummary,
    /// Recall of the image's own captions for the generated image as a query, in percent.
    pub own_caption_recall: RecallSummary,
    /// Mean root mean square difference between two images of one caption with different noise; values in 0..=1.
    #[serde(rename = "same_sentence")]
    pub same_caption: f64,
    /// Its 5th percentile over the captions.
    #[serde(rename = "same_sentence_least")]
    pub same_caption_least: f64,
    /// The same between images of different captions with the same noise.
    #[serde(rename = "other_sentence")]
    pub other_caption: f64,
    /// Accuracy of the discriminator on images that it never saw; none where the checkpoint has no discriminator.
    pub discriminator: Option<DiscriminatorAccuracy>,
    /// Seed of noise and test.
    pub seed: u64,
}

/// How often the discriminator is right, as shares of the images, with running statistics in its normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DiscriminatorAccuracy {
    /// Images with their first caption that it takes for real.
    pub real_right: f64,
    /// Images generated from that caption that it takes for fake.
    pub fake_right: f64,
    /// Images with another image's first caption, drawn at random, that it takes for fake.
    pub wrong_right: f64,
    /// Images that score higher with their own caption than with that one; 0.5 is chance.
    pub prefers_own: f64,
}

impl DiscriminatorAccuracy {
    /// None where there is no discriminator.
    fn new(
        encoder: &Encoder,
        images: &[SmallImage],
        texts: &[String],
        generated: &[SmallImage],
        seed: u64,
    ) -> Result<Option<Self>> {
        let judge = |images: &[SmallImage], texts: &[String]| {
            encoder.discriminate(&images.iter().zip(texts.iter().map(String::as_str)).collect::<Vec<_>>())
        };
        let others: Vec<String> = other_images(texts.len(), seed).into_iter().map(|at| texts[at].clone()).collect();
        let found = (judge(images, texts)?, judge(generated, texts)?, judge(images, &others)?);
        let (Some(real), Some(fake), Some(wrong)) = found else { return Ok(None) };
        let share = |right: usize| right as f64 / texts.len().max(1) as f64;
        let taken_for_real = |logits: &[f32]| share(logits.iter().filter(|&&logit| logit > 0.0).count());
        Ok(Some(Self {
            real_right: taken_for_real(&real),
            fake_right: 1.0 - taken_for_real(&fake),
            wrong_right: 1.0 - taken_for_real(&wrong),
            prefers_own: share(real.iter().zip(&wrong).filter(|(own, other)| own > other).count()),
        }))
    }

    fn text(&self) -> String {
        let percent = |share: f64| 100.0 * share;
        format!(
            "discriminator right for {:.1} % of images, {:.1} % of generated images, {:.1} % of images with another caption; \
             it prefers the own caption for {:.1} % (chance 50 %)\n",
            percent(self.real_right),
            percent(self.fake_right),
            percent(self.wrong_right),
            percent(self.prefers_own)
        )
    }
}

/// Recall in percent and median rank, from 1.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RecallSummary {
    /// R@1.
    pub r1: f64,
    /// R@10.
    pub r10: f64,
    /// Median rank.
    pub median: f64,
}

impl From<Recall> for RecallSummary {
    fn from(recall: Recall) -> Self {
        Self { r1: recall.r1, r10: recall.r10, median: recall.median_rank }
    }
}

impl GeneratedImagesEvaluation {
    /// Generates an image from the first caption of every image of `encoded` and measures it. Also returns the captions and
    /// their images.
    ///
    /// # Errors
    /// When the model has no generator, an image can no longer be read, or the embeddings do not fit together.
    pub fn new(
        encoder: &Encoder,
        encoded: &EncodedDataset,
        dataset: &Dataset,
        scoring: Scoring,
        seed: u64,
    ) -> Result<(Self, Vec<String>, Vec<SmallImage>)> {
        let mut first = vec![None; encoded.images.count];
        for (text, &row) in encoded.caption_texts(dataset).into_iter().zip(&encoded.caption_image) {
            first[row].get_or_insert(text);
        }
        let texts: Vec<String> = first.into_iter().map(|text| text.unwrap_or_default().to_string()).collect();
        let generated = encoder.generate_images(&texts, &own_noise(seed, texts.len()))?;

        let few = texts.len().min(TWICE);
        let again = encoder.generate_images(&texts[..few], &own_noise(mix(seed, 0xa6), few))?;
        let one_noise = encoder.generate_images(&texts[..few], &vec![seed; few])?;
        let mut same: Vec<f64> = generated.iter().zip(&again).map(|(a, b)| root_mean_square(a, b)).collect();
        same.sort_by(f64::total_cmp);
        let other: Vec<f64> =
            one_noise.iter().zip(one_noise.iter().skip(1)).map(|(a, b)| root_mean_square(a, b)).collect();

        let encoded_again = |generated: &[SmallImage]| -> Result<EmbeddingRows> {
            let limits = gxn_data::ImageLimits::default();
            let features: Result<Vec<Vec<f32>>> = (generated.par_iter())
                .map(|image| Ok(encoder.image_feature(&image.to_rgb(), &limits)?.feature))
                .collect();
            Ok(encoder.encode_features(&features?.concat()))
        };
        let rows = encoded_again(&generated)?;
        let own = own_image_ranks(&rows, &encoded.images)?;
        let test = PermutationTest::new(&image_ranks(&rows, &encoded.images, COMPARED), seed);

        let captions = paired(&rows, &encoded.captions).metrics(&encoded.caption_image, scoring)?.image_to_text;
        let sources = encoded.sources(dataset);
        let images: Result<Vec<SmallImage>> = sources.par_iter().map(|source| encoder.small_image(source)).collect();
        let images = images?;
        let small = own_image_ranks(&encoded_again(&images)?, &encoded.images)?;
        let recall = |shares: &[f64]| -> RecallSummary {
            let place = |share: &f64| (share * (rows.count.max(2) - 1) as f64).round() as u32;
            Recall::of(&shares.iter().map(place).collect::<Vec<u32>>()).into()
        };
        let evaluation = Self {
            images: rows.count,
            own_image: mean(&own),
            other_image: test.others,
            p: test.p,
            own_image_recall: recall(&own),
            small_image: mean(&small),
            small_image_recall: recall(&small),
            own_caption_recall: captions.into(),
            same_caption: mean(&same),
            same_caption_least: same.get(same.len() / 20).copied().unwrap_or(0.0),
            other_caption: mean(&other),
            discriminator: DiscriminatorAccuracy::new(encoder, &images, &texts, &generated, seed)?,
            seed,
        };
        Ok((evaluation, texts, generated))
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let recall = |r: &RecallSummary| format!("R@1 {:.1}, R@10 {:.1}, median rank {:.1}", r.r1, r.r10, r.median);
        format!(
            "\ngenerated images (64×64), one from the first caption of each of {} images\n\
             own image for the generated one, encoded again: {}; mean rank at {:.1} %, for images generated from other \
             captions at {:.1} % (chance 50 %), p = {:.4} by {ORDERS} random orders\n\
             own captions for it: {}\n\
             for comparison, the image itself at 64×64: {}; mean rank at {:.1} %\n\
             difference between two images of one caption {:.4} (at least {:.4} for 95 % of captions), of different captions \
             {:.4} (root mean square, values 0 to 1)\n{}",
            self.images,
            recall(&self.own_image_recall),
            100.0 * self.own_image,
            100.0 * self.other_image,
            self.p,
            recall(&self.own_caption_recall),
            recall(&self.small_image_recall),
            100.0 * self.small_image,
            self.same_caption,
            self.same_caption_least,
            self.other_caption,
            self.discriminator.as_ref().map(DiscriminatorAccuracy::text).unwrap_or_default()
        )
    }
}

/// Seeds of the noise of `count` images, each its own.
pub fn own_noise(seed: u64, count: usize) -> Vec<u64> {
    (0..count as u64).map(|row| mix(seed, row)).collect()
}

/// The rank, for each generated image, of the image in the same row under the cosine of `[h ; l]`, as a share of the other
/// images; equal images stand before it.
///
/// # Errors
/// As [`ranks()`].
pub fn own_image_ranks(generated: &EmbeddingRows, images: &EmbeddingRows) -> Result<Vec<f64>> {
    let joined = |rows: &EmbeddingRows| -> Vec<f32> { (0..rows.count).flat_map(|row| rows.joined(row)).collect() };
    let (generated_joined, images_joined) = (joined(generated), joined(images));
    let level = LevelEmbeddings { images: &generated_joined, captions: &images_joined, dim: images.joined_width() };
    let same_row: Vec<usize> = (0..images.count).collect();
    let relevance = Relevance::from_caption_image(generated.count, &same_row)?;
    let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
    let found = ranks(&embeddings, &relevance, Scoring { similarity: Similarity::Cosine, lambda: 1.0 })?;
    let others = (images.count.max(2) - 1) as f64;
    Ok(found.image_to_text.into_iter().map(|before| f64::from(before) / others).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// `[n, n]`: for each of the first `n` = `most` generated images the rank of each of the first images among all images,
/// counted as in [`own_image_ranks`].
fn image_ranks(generated: &EmbeddingRows, images: &EmbeddingRows, most: usize) -> Vec<Vec<f64>> {
    let (few, width) = (generated.count.min(most), images.joined_width());
    let unit = |rows: &EmbeddingRows, count: usize| -> Vec<f32> {
        let normalised = |row| {
            let mut joined = rows.joined(row);
            to_unit_length(&mut joined);
            joined
        };
        (0..count).flat_map(normalised).collect()
    };
    let mut scores = vec![0.0; few * images.count];
    score_matrix(Measure::Dot, &unit(images, images.count), &unit(generated, few), width, &mut scores);
    let others = (images.count.max(2) - 1) as f64;
    let ranked = |scores: &[f32]| -> Vec<f64> {
        let mut sorted = scores.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let before = |score: f32| sorted.partition_point(|&other| other >= score) - 1;
        scores[..few].iter().map(|&score| before(score) as f64 / others).collect()
    };
    scores.par_chunks(images.count.max(1)).map(ranked).collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_matrix_of_ranks_holds_the_own_ones_on_its_diagonal() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let mut rows = |count: usize| {
            let level = (0..count * 6).map(|_| random.random_range(-1.0..1.0)).collect::<Vec<f32>>();
            let grounded = (0..count * 6).map(|_| random.random_range(-1.0..1.0)).collect();
            EmbeddingRows { count, dim: 6, abstract_level: level, grounded_level: Some(grounded) }
        };
        let (generated, mut images) = (rows(9), rows(9));
        // Image 7 equals image 2: both stand before each other.
        images.abstract_level.copy_within(12..18, 42);
        images.grounded_level.as_mut().unwrap().copy_within(12..18, 42);
        let (own, all) = (own_image_ranks(&generated, &images).unwrap(), image_ranks(&generated, &images, 8));
        assert_eq!((all.len(), all[0].len()), (8, 8));
        for (row, ranks) in all.iter().enumerate() {
            assert_eq!(ranks[row], own[row], "{row}");
        }
    }
}
