//! BLEU-1..4 (Papineni et al. 2002) with the constants of the coco-caption package.

use rayon::prelude::*;

use super::ngram::{Counted, MAX_ORDER, Ngram, counts, shared};

const TINY: f64 = 1e-15;
const SMALL: f64 = 1e-9;

/// BLEU-1 to BLEU-4 of a set of captions, and of each caption.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bleu {
    /// Of the whole set: matches and lengths are summed before they are divided.
    pub corpus: [f64; MAX_ORDER],
    /// Of every caption by itself.
    pub sentences: Vec<[f64; MAX_ORDER]>,
}

#[derive(Clone, Copy, Default)]
struct Matches {
    correct: [u64; MAX_ORDER],
    guess: [u64; MAX_ORDER],
    length: u64,
    reference_length: u64,
}

/// References prepared for BLEU: counted once, compared with many candidates.
#[derive(Debug, Clone)]
pub(super) struct BleuReferences(Vec<Prepared>);

/// The references of one image.
#[derive(Debug, Clone)]
struct Prepared {
    most: Vec<(Ngram, u32)>,
    lengths: Vec<usize>,
}

impl BleuReferences {
    /// Prepares the counted references of every image.
    pub(super) fn new(images: Vec<Counted>) -> Self {
        Self(images.into_iter().map(|image| Prepared { most: image.highest, lengths: image.lengths }).collect())
    }

    /// BLEU of `candidates[i]` against the references of image `i`, in 0..=1.
    ///
    /// The reference length is the closest one, the shorter of two equally close. A candidate without references counts
    /// as compared with nothing: length 0, no match.
    pub(super) fn score(&self, candidates: &[Vec<u32>]) -> Bleu {
        let matches: Vec<Matches> =
            candidates.par_iter().zip(&self.0).map(|(candidate, image)| image.compare(candidate)).collect();
        let total = matches.iter().fold(Matches::default(), |mut total, one| {
            for n in 0..MAX_ORDER {
                total.correct[n] += one.correct[n];
                total.guess[n] += one.guess[n];
            }
            total.length += one.length;
            total.reference_length += one.reference_length;
            total
        });
        Bleu { corpus: total.score(), sentences: matches.iter().map(Matches::score).collect() }
    }
}

impl Prepared {
    fn compare(&self, candidate: &[u32]) -> Matches {
        let length = candidate.len();
        let closest = self.lengths.iter().copied().min_by_key(|&other| (other.abs_diff(length), other));
        let mut matches =
            Matches { length: length as u64, reference_length: closest.unwrap_or(0) as u64, ..Matches::default() };
        for (n, guess) in matches.guess.iter_mut().enumerate() {
            *guess = length.saturating_sub(n) as u64;
        }
        let own: Vec<(Ngram, (usize, u32))> =
            counts(candidate).into_iter().map(|(ngram, count)| (ngram, (ngram.order(), count))).collect();
        shared(&own, &self.most, |(order, count), most| matches.correct[order - 1] += u64::from(count.min(most)));
        matches
    }
}

impl Matches {
    fn score(&self) -> [f64; MAX_ORDER] {
        let ratio = (self.length as f64 + TINY) / (self.reference_length as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|n| {
            product *= (self.correct[n] as f64 + TINY) / (self.guess[n] as f64 + SMALL);
            product.powf(1.0 / (n + 1) as f64) * brevity
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(images: &[Vec<Vec<u32>>]) -> BleuReferences {
        BleuReferences::new(Counted::all(images))
    }

    /// Candidate "a b c" against "a b d e": 2 of 3 words, 1 of 2 pairs; brevity exp(1 − 4/3).
    #[test]
    fn worked_bleu() {
        let found = references(&[vec![vec![0, 1, 3, 4]]]).score(&[vec![0, 1, 2]]);
        let brevity = (-1.0f64 / 3.0).exp();
        assert!((found.corpus[0] - brevity * 2.0 / 3.0).abs() < 1e-8);
        assert!((found.corpus[1] - brevity * (2.0f64 / 3.0 * 0.5).sqrt()).abs() < 1e-8);
        assert!(found.corpus[2] < 1e-4);
        assert_eq!(found.sentences[0], found.corpus);
    }

    /// Repeats count at most as often as in the reference that has most; the closest length wins, the shorter on a tie.
    #[test]
    fn clipping_and_closest_length() {
        let found = references(&[vec![vec![0, 1], vec![0, 0, 1, 1]]]).0[0].compare(&[0, 0, 0]);
        assert_eq!(found.correct[0], 2);
        assert_eq!(found.reference_length, 2);
    }
}
