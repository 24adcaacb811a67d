//! [`PictureEvaluation`]: are imagined pictures about their sentences, and are they more than one picture?

use super::encode::paired;
use gxn_index::kernel::{Measure, score_matrix};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::encode::EncodedDataset;
use crate::encoder::Encoder;
use crate::imagine::small_image::{SmallImage, root_mean_square};
use crate::model::EmbeddingRows;
use crate::seed::mix;
use gxn_base::Result;
use gxn_data::Dataset;
use gxn_eval::metrics::Recall;
use gxn_eval::{Embeddings, Level, Relevance, Scoring, Similarity, ranks};

/// Sentences whose pictures are made a second time with another noise.
const TWICE: usize = 200;
/// Random orders of the permutation test.
const ORDERS: usize = 9_999;
/// Pictures that take part in it: the ranks of all of them for all photos are held in memory.
const COMPARED: usize = 2_000;

/// What pictures imagined for the first caption of every image are worth.
#[derive(Debug, Clone, Serialize)]
pub struct PictureEvaluation {
    /// Number of images.
    pub images: usize,
    /// Mean rank of the sentence's own photo for its picture, encoded again, under the cosine of `[h ; l]`, as a share: 0 is
    /// first, 0.5 is chance.
    pub own_photo: f64,
    /// The mean rank for the pictures of all other sentences.
    pub shuffled_photo: f64,
    /// One-sided p of "a picture is about its own sentence's photo no more than about any other": the share of random orders of
    /// the pictures whose mean rank is as good as theirs.
    pub p: f64,
    /// Recall of the own photo, in percent.
    pub own_photo_recall: RecallAt,
    /// The best that 64×64 pixels can do: mean rank of a photo for itself made as small and encoded again.
    pub small_photo: f64,
    /// Its recall, in percent.
    pub small_photo_recall: RecallAt,
    /// Recall of the image's own captions for the picture as a query, in percent.
    pub own_caption_recall: RecallAt,
    /// Mean root mean square difference between two pictures of one sentence with different noise; values in 0..=1.
    pub same_sentence: f64,
    /// What 95 of 100 sentences exceed in it.
    pub same_sentence_least: f64,
    /// The same between pictures of different sentences with the same noise.
    pub other_sentence: f64,
    /// What the discriminator makes of photos and pictures that it never saw; none where the model has lost it.
    pub discriminator: Option<Accuracy>,
    /// Seed of noise and test.
    pub seed: u64,
}

/// How often the discriminator is right, as shares of the images; its normalisation is by running statistics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Photos with their first caption that it takes for real.
    pub real_right: f64,
    /// Pictures imagined for that caption that it takes for false.
    pub fake_right: f64,
    /// Photos with the next image's first caption that it takes for false.
    pub wrong_right: f64,
    /// Photos that it believes more with their own caption than with the next image's; 0.5 is chance.
    pub prefers_own: f64,
}

impl Accuracy {
    /// Asks the discriminator; none where there is none.
    fn of(encoder: &Encoder, photos: &[SmallImage], texts: &[String], imagined: &[SmallImage]) -> Option<Self> {
        let judge = |pictures: &[SmallImage], texts: &[String]| {
            encoder.discriminate(&pictures.iter().collect::<Vec<_>>(), texts)
        };
        let mut others = texts.to_vec();
        others.rotate_left(1);
        let (real, fake, wrong) = (judge(photos, texts)?, judge(imagined, texts)?, judge(photos, &others)?);
        let share = |right: usize| right as f64 / texts.len().max(1) as f64;
        let taken_for_real = |logits: &[f32]| share(logits.iter().filter(|&&logit| logit > 0.0).count());
        Some(Self {
            real_right: taken_for_real(&real),
            fake_right: 1.0 - taken_for_real(&fake),
            wrong_right: 1.0 - taken_for_real(&wrong),
            prefers_own: share(real.iter().zip(&wrong).filter(|(own, other)| own > other).count()),
        })
    }

    fn text(&self) -> String {
        let percent = |share: f64| 100.0 * share;
        format!(
            "discriminator right for {:.1} % of photos, {:.1} % of imagined pictures, {:.1} % of photos with another sentence; \
             it prefers the own sentence for {:.1} % (chance 50 %)\n",
            percent(self.real_right),
            percent(self.fake_right),
            percent(self.wrong_right),
            percent(self.prefers_own)
        )
    }
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
    /// When the model has no generator, a photo can no longer be read, or the embeddings do not fit together.
    pub fn of(
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
        let pictures = encoder.generate_images(&texts, &own_noise(seed, texts.len()))?;

        let few = texts.len().min(TWICE);
        let again = encoder.generate_images(&texts[..few], &own_noise(mix(seed, 0xa6), few))?;
        let one_noise = encoder.generate_images(&texts[..few], &vec![seed; few])?;
        let mut same: Vec<f64> = pictures.iter().zip(&again).map(|(a, b)| root_mean_square(a, b)).collect();
        same.sort_by(f64::total_cmp);
        let other: Vec<f64> =
            one_noise.iter().zip(one_noise.iter().skip(1)).map(|(a, b)| root_mean_square(a, b)).collect();

        let encoded_again = |pictures: &[SmallImage]| -> Result<EmbeddingRows> {
            let limits = gxn_data::ImageLimits::default();
            let features: Result<Vec<Vec<f32>>> = (pictures.par_iter())
                .map(|picture| Ok(encoder.image_feature(&picture.to_rgb(), &limits)?.feature))
                .collect();
            Ok(encoder.encode_features(&features?.concat()))
        };
        let rows = encoded_again(&pictures)?;
        let own = own_photo_ranks(&rows, &encoded.images)?;
        let test = PermutationTest::of(&photo_ranks(&rows, &encoded.images, COMPARED), seed);

        let captions = paired(&rows, &encoded.captions).metrics(&encoded.caption_image, scoring)?.image_to_text;
        let sources = encoded.sources(dataset);
        let photos: Result<Vec<SmallImage>> = sources.par_iter().map(|source| encoder.small_image(source)).collect();
        let photos = photos?;
        let small = own_photo_ranks(&encoded_again(&photos)?, &encoded.images)?;
        let recall = |shares: &[f64]| -> RecallAt {
            let place = |share: &f64| (share * (rows.count.max(2) - 1) as f64).round() as u32;
            Recall::of(&shares.iter().map(place).collect::<Vec<u32>>()).into()
        };
        let evaluation = Self {
            images: rows.count,
            own_photo: mean(&own),
            shuffled_photo: test.others,
            p: test.p,
            own_photo_recall: recall(&own),
            small_photo: mean(&small),
            small_photo_recall: recall(&small),
            own_caption_recall: captions.into(),
            same_sentence: mean(&same),
            same_sentence_least: same.get(same.len() / 20).copied().unwrap_or(0.0),
            other_sentence: mean(&other),
            discriminator: Accuracy::of(encoder, &photos, &texts, &pictures),
            seed,
        };
        Ok((evaluation, texts, pictures))
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let recall = |r: &RecallAt| format!("R@1 {:.1}, R@10 {:.1}, median rank {:.1}", r.r1, r.r10, r.median);
        format!(
            "\nimagined pictures (64×64, what the model expects), one for the first caption of each of {} images\n\
             own photo for the picture encoded again: {}; mean rank at {:.1} %, for other sentences' pictures at {:.1} % \
             (chance 50 %), p = {:.4} by {ORDERS} random orders\n\
             own captions for it: {}\n\
             for comparison, the photo itself made as small: {}; mean rank at {:.1} %\n\
             difference between two pictures of one sentence {:.4} (at least {:.4} for 95 % of them), of different sentences {:.4} \
             (root mean square, values 0 to 1)\n{}",
            self.images,
            recall(&self.own_photo_recall),
            100.0 * self.own_photo,
            100.0 * self.shuffled_photo,
            self.p,
            recall(&self.own_caption_recall),
            recall(&self.small_photo_recall),
            100.0 * self.small_photo,
            self.same_sentence,
            self.same_sentence_least,
            self.other_sentence,
            self.discriminator.as_ref().map(Accuracy::text).unwrap_or_default()
        )
    }
}

/// Seeds of the noise of so many pictures, each its own.
pub fn own_noise(seed: u64, count: usize) -> Vec<u64> {
    (0..count as u64).map(|row| mix(seed, row)).collect()
}

/// Of each picture the rank of the photo in the same row under the cosine of `[h ; l]`, as a share of the other photos; equal
/// photos stand before it.
///
/// # Errors
/// As [`ranks()`].
pub fn own_photo_ranks(pictures: &EmbeddingRows, photos: &EmbeddingRows) -> Result<Vec<f64>> {
    let joined = |rows: &EmbeddingRows| -> Vec<f32> { (0..rows.count).flat_map(|row| rows.joined(row)).collect() };
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

/// `[n, n]`: of each of the first `n` = `most` pictures the rank of each of the first photos, counted as [`own_photo_ranks`]
/// counts it, among all photos.
fn photo_ranks(pictures: &EmbeddingRows, photos: &EmbeddingRows, most: usize) -> Vec<Vec<f64>> {
    let (few, width) = (pictures.count.min(most), photos.joined_width());
    let unit = |rows: &EmbeddingRows, count: usize| -> Vec<f32> {
        let normalised = |row| {
            let joined = rows.joined(row);
            let length = joined.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            joined.into_iter().map(move |x| (f64::from(x) / length) as f32)
        };
        (0..count).flat_map(normalised).collect()
    };
    let mut scores = vec![0.0; few * photos.count];
    score_matrix(Measure::Dot, &unit(photos, photos.count), &unit(pictures, few), width, &mut scores);
    let others = (photos.count.max(2) - 1) as f64;
    let ranked = |scores: &[f32]| -> Vec<f64> {
        let mut sorted = scores.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let before = |score: f32| sorted.partition_point(|&other| other >= score) - 1;
        scores[..few].iter().map(|&score| before(score) as f64 / others).collect()
    };
    scores.par_chunks(photos.count.max(1)).map(ranked).collect()
}

/// Is row `i` better in column `i` than the rows are in an order that means nothing?
struct PermutationTest {
    /// Mean of the other columns.
    others: f64,
    /// Share of random orders (and this one) whose mean is at most that of the diagonal.
    p: f64,
}

impl PermutationTest {
    /// `ranks` is square.
    fn of(ranks: &[Vec<f64>], seed: u64) -> Self {
        let count = ranks.len();
        let own: f64 = ranks.iter().enumerate().map(|(row, ranks)| ranks[row]).sum();
        let all: f64 = ranks.iter().flatten().sum();
        let as_good = (0..ORDERS)
            .into_par_iter()
            .filter(|&number| {
                let mut order: Vec<usize> = (0..count).collect();
                order.shuffle(&mut ChaCha8Rng::seed_from_u64(mix(seed, number as u64)));
                // Equal sums in another order of addition are no difference.
                ranks.iter().zip(&order).map(|(ranks, &column)| ranks[column]).sum::<f64>() <= own + 1e-9
            })
            .count();
        let pairs = (count * count.saturating_sub(1)).max(1) as f64;
        Self { others: (all - own) / pairs, p: (as_good + 1) as f64 / (ORDERS + 1) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// Five pictures that all find their own photo: one order of 5! = 120 is as good, p near 1/120; ranks that are the same in
    /// every column: p = 1.
    #[test]
    fn worked_permutations() {
        let ranks: Vec<Vec<f64>> =
            (0..5).map(|row| (0..5).map(|column| if row == column { 0.0 } else { 0.5 }).collect()).collect();
        let test = PermutationTest::of(&ranks, 3);
        assert!((test.p - 1.0 / 120.0).abs() < 0.003, "{}", test.p);
        assert_eq!(test.others, 0.5);
        let same = vec![vec![0.1; 5], vec![0.7; 5], vec![0.3; 5], vec![0.2; 5], vec![0.9; 5]];
        assert_eq!(PermutationTest::of(&same, 3).p, 1.0);
    }

    #[test]
    fn the_matrix_of_ranks_holds_the_own_ones_on_its_diagonal() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let mut rows = |count: usize| {
            let level = (0..count * 6).map(|_| random.random_range(-1.0..1.0)).collect::<Vec<f32>>();
            let grounded = (0..count * 6).map(|_| random.random_range(-1.0..1.0)).collect();
            EmbeddingRows { count, dim: 6, abstract_level: level, grounded_level: Some(grounded) }
        };
        let (pictures, mut photos) = (rows(9), rows(9));
        // Photo 7 equals photo 2: both stand before each other.
        photos.abstract_level.copy_within(12..18, 42);
        photos.grounded_level.as_mut().unwrap().copy_within(12..18, 42);
        let (own, all) = (own_photo_ranks(&pictures, &photos).unwrap(), photo_ranks(&pictures, &photos, 8));
        assert_eq!((all.len(), all[0].len()), (8, 8));
        for (row, ranks) in all.iter().enumerate() {
            assert_eq!(ranks[row], own[row], "{row}");
        }
    }
}
