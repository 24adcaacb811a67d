//! [`deletion_test`]: whether what an explanation marks is what the score rests on.
//!
//! Words, or cells of the image, are taken away one after the other, the one marked strongest first, and the score is taken
//! each time. The area under this curve (mean score over the steps, Petsiuk et al. 2018) must be smaller than in a random
//! order.

use gxn_base::{Error, Progress, Result};
use image::RgbImage;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::cells::{Grid, cell_shares, scores_without};
use super::pair_score;
use super::words::{kept, word_shares, words_of};
use crate::encoder::Encoder;

/// What a deletion test found, mean over pairs. Scores are the model's.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct DeletionOutcome {
    /// Pairs of a text and an image.
    pub pairs: usize,
    /// The score with nothing taken away.
    pub whole: f64,
    /// The area where the strongest go first.
    pub strongest_first: f64,
    /// The area in a random order.
    pub random: f64,
}

impl DeletionOutcome {
    /// Whether the explanation passes: less remains along the way where what it marks goes first.
    pub fn passes(&self) -> bool {
        self.pairs > 0 && self.strongest_first < self.random
    }

    /// Takes in the curves of a pair, which begin with the whole.
    fn add(&mut self, marked: &[f32], random: &[f32]) {
        let mean = |curve: &[f32]| curve.iter().map(|&score| f64::from(score)).sum::<f64>() / curve.len() as f64;
        self.pairs += 1;
        self.whole += f64::from(marked[0]);
        self.strongest_first += mean(marked);
        self.random += mean(random);
    }

    fn divided(mut self) -> Self {
        let count = self.pairs.max(1) as f64;
        for sum in [&mut self.whole, &mut self.strongest_first, &mut self.random] {
            *sum /= count;
        }
        self
    }
}

/// The test of words and of cells on pairs of a text and its image, which `image` reads. Texts of one word are left out of the
/// test of words; the last word stays, and so does the last cell.
///
/// # Errors
/// When there is no pair, an image cannot be read or encoded, or `progress` is cancelled.
pub fn deletion_test(
    encoder: &Encoder,
    pairs: &[(&str, usize)],
    image: impl Fn(usize) -> Result<RgbImage>,
    grid: Grid,
    seed: u64,
    progress: &dyn Progress,
) -> Result<[DeletionOutcome; 2]> {
    if pairs.is_empty() {
        return Err(Error::invalid("the pairs of the deletion test", "none", "at least one text with its image"));
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut words, mut cells) = (DeletionOutcome::default(), DeletionOutcome::default());
    for (done, &(text, at)) in pairs.iter().enumerate() {
        if progress.cancelled() {
            return Err(Error::interrupted());
        }
        let image = image(at)?;
        let embedding = encoder.encode_image(&image)?.joined(0);
        if let Some([marked, drawn]) = word_curves(encoder, text, &embedding, &mut random)? {
            words.add(&marked, &drawn);
        }
        let [marked, drawn] = cell_curves(encoder, text, &image, grid, &mut random)?;
        cells.add(&marked, &drawn);
        progress.update("pairs", done + 1, pairs.len());
    }
    Ok([words.divided(), cells.divided()])
}

/// Scores as words go, the strongest first and in a random order.
fn word_curves(encoder: &Encoder, text: &str, image: &[f32], random: &mut ChaCha8Rng) -> Result<Option<[Vec<f32>; 2]>> {
    let words = words_of(text);
    if words.len() < 2 {
        return Ok(None);
    }
    let shares: Vec<f32> = word_shares(encoder, text, image)?.iter().map(|share| share.contribution).collect();
    let space = encoder.space();
    let curve = |order: &[usize]| -> Result<Vec<f32>> {
        let texts: Vec<String> = (0..words.len())
            .map(|gone| {
                let rest: Vec<usize> = (0..words.len()).filter(|at| !order[..gone].contains(at)).collect();
                kept(&words, &rest)
            })
            .collect();
        let rows = encoder.encode_texts(&texts)?;
        (0..texts.len()).map(|row| pair_score(&space, &rows.joined(row), image)).collect()
    };
    Ok(Some([curve(&strongest_first(&shares))?, curve(&shuffled(shares.len(), random))?]))
}

/// Scores as cells are painted over, the strongest first and in a random order.
fn cell_curves(
    encoder: &Encoder,
    text: &str,
    image: &RgbImage,
    grid: Grid,
    random: &mut ChaCha8Rng,
) -> Result<[Vec<f32>; 2]> {
    let text = encoder.encode_text(text)?.joined(0);
    let shares = cell_shares(encoder, &text, image, grid)?.contribution;
    let curve = |order: &[usize]| {
        let sets: Vec<Vec<usize>> = (0..order.len()).map(|gone| order[..gone].to_vec()).collect();
        scores_without(encoder, &text, image, grid, &sets)
    };
    Ok([curve(&strongest_first(&shares))?, curve(&shuffled(shares.len(), random))?])
}

fn strongest_first(shares: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    order
}

fn shuffled(count: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(random);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_of_two_pairs() {
        let mut found = DeletionOutcome::default();
        found.add(&[1.0, 0.2, 0.0], &[1.0, 0.8, 0.6]);
        found.add(&[1.0, 0.5, 0.3], &[1.0, 0.5, 0.6]);
        let found = found.divided();
        assert_eq!((found.pairs, found.whole), (2, 1.0));
        assert!((found.strongest_first - 0.5).abs() < 1e-6 && (found.random - 0.75).abs() < 1e-6, "{found:?}");
        assert!(found.passes() && !DeletionOutcome::default().passes());
        assert_eq!(strongest_first(&[0.1, -2.0, 0.7]), [2, 0, 1]);
    }
}
