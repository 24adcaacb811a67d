//! Isotonic regression: the probability that never falls as the score rises, and how well probabilities are calibrated.

use serde::{Deserialize, Serialize};

/// A rising curve from scores to probabilities: straight lines between its points, constant beyond them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    scores: Vec<f32>,
    probabilities: Vec<f32>,
}

/// Neighbouring scores that share a probability.
struct Pool {
    score_sum: f64,
    hits: f64,
    count: f64,
}

impl Isotonic {
    /// The rising curve that is closest, in squares, to the outcomes (Ayer et al. 1955, pool adjacent violators). Each block
    /// of equal probability becomes one point at its mean score; there is half a hit and half a miss more in each, so
    /// that nothing is ever certain.
    ///
    /// `pairs` are (score, whether it was a hit), in any order.
    ///
    /// # Panics
    /// If there is no pair, or a score is NaN.
    pub fn fit(mut pairs: Vec<(f32, bool)>) -> Self {
        assert!(!pairs.is_empty(), "a curve needs outcomes");
        pairs.sort_unstable_by(|a, b| a.0.partial_cmp(&b.0).expect("scores are numbers"));
        let mut blocks: Vec<Pool> = Vec::new();
        for same in pairs.chunk_by(|a, b| a.0 == b.0) {
            blocks.push(Pool {
                score_sum: f64::from(same[0].0) * same.len() as f64,
                hits: same.iter().filter(|pair| pair.1).count() as f64,
                count: same.len() as f64,
            });
            while let [.., before, last] = blocks.as_slice()
                && before.hits * last.count >= last.hits * before.count
            {
                let last = blocks.pop().expect("there are two");
                let before = blocks.last_mut().expect("there are two");
                before.score_sum += last.score_sum;
                before.hits += last.hits;
                before.count += last.count;
            }
        }
        let mut curve = Self { scores: Vec::new(), probabilities: Vec::new() };
        for block in blocks {
            let probability = ((block.hits + 0.5) / (block.count + 1.0)) as f32;
            // Half a hit can turn two small blocks around.
            let floor = curve.probabilities.last().copied().unwrap_or(0.0);
            curve.scores.push((block.score_sum / block.count) as f32);
            curve.probabilities.push(probability.max(floor));
        }
        curve
    }

    /// The probability of a hit at `score`, in (0, 1).
    pub fn probability(&self, score: f32) -> f32 {
        let next = self.scores.partition_point(|&s| s < score);
        let (Some(&above), Some(before)) = (self.scores.get(next), next.checked_sub(1)) else {
            return self.probabilities[next.min(self.scores.len() - 1)];
        };
        let below = self.scores[before];
        let part = if above > below { (score - below) / (above - below) } else { 1.0 };
        self.probabilities[before] + part * (self.probabilities[next] - self.probabilities[before])
    }

    /// Whether the points rise and are probabilities, as [`Isotonic::fit`] leaves them.
    pub fn is_sound(&self) -> bool {
        let equal = self.scores.len() == self.probabilities.len() && !self.scores.is_empty();
        equal
            && self.scores.iter().all(|s| s.is_finite())
            && self.scores.is_sorted()
            && self.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
            && self.probabilities.is_sorted()
    }
}

/// Expected calibration error: predictions are sorted into `bins` of equal numbers; the mean, over predictions, of
/// |mean prediction − share of hits| in their bin. 0 for no prediction.
///
/// `pairs` are (predicted probability, whether it was a hit).
///
/// # Panics
/// If `bins` is 0 or a prediction is NaN.
pub fn expected_calibration_error(pairs: &[(f32, bool)], bins: usize) -> f64 {
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.0.partial_cmp(&b.0).expect("predictions are numbers"));
    let edges = |bin: usize| bin * pairs.len() / bins;
    let error = |bin: usize| {
        let members = &pairs[edges(bin)..edges(bin + 1)];
        let predicted: f64 = members.iter().map(|pair| f64::from(pair.0)).sum();
        let hits = members.iter().filter(|pair| pair.1).count() as f64;
        (predicted - hits).abs()
    };
    (0..bins).map(error).sum::<f64>() / pairs.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Outcomes 0 1 0 1 1 at 1…5: the 1 and 0 in the middle are pooled. Blocks {1}: 0/1, {2, 3}: 1/2, {4, 5}: 2/2.
    #[test]
    fn neighbours_in_the_wrong_order_are_pooled() {
        let pairs = vec![(3.0, false), (1.0, false), (2.0, true), (5.0, true), (4.0, true)];
        let curve = Isotonic::fit(pairs);
        assert_eq!(curve.scores, [1.0, 2.5, 4.5]);
        assert_eq!(curve.probabilities, [0.25, 0.5, 2.5 / 3.0]);
        assert_eq!([0.0, 1.0, 1.75, 2.5, 9.0].map(|s| curve.probability(s)), [0.25, 0.25, 0.375, 0.5, 2.5 / 3.0]);
    }

    /// Two bins of two: predictions 0.1, 0.3 without a hit (error 0.4 in sum), 0.6, 0.8 with two (0.6): 1.0 / 4.
    #[test]
    fn calibration_error_by_hand() {
        let pairs = [(0.8, true), (0.1, false), (0.6, true), (0.3, false)];
        assert!((expected_calibration_error(&pairs, 2) - 0.25).abs() < 1e-7);
        assert_eq!(expected_calibration_error(&[], 10), 0.0);
        assert!(expected_calibration_error(&[(0.5, true), (0.5, false)], 1) < 1e-9);
    }

    proptest! {
        /// The curve rises, is sound, and keeps the number of hits as far as the half hits allow.
        #[test]
        fn curves_rise(pairs in prop::collection::vec((-10f32..10.0, any::<bool>()), 1..200), a in -20f32..20.0, b in -20f32..20.0) {
            let curve = Isotonic::fit(pairs);
            prop_assert!(curve.is_sound());
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(curve.probability(low) <= curve.probability(high) + 1e-6);
            prop_assert!((0.0..=1.0).contains(&curve.probability(low)));
        }
    }
}
