//! [`Standard`]: by how much a score stands out of a query's scores against the bank.

/// What a query's scores against the bank are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standard {
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

impl Standard {
    pub(super) fn of(scores: &[f32]) -> Self {
        let count = scores.len().max(1) as f64;
        let mean = scores.iter().map(|&s| f64::from(s)).sum::<f64>() / count;
        let square = scores.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: square.sqrt().max(f64::MIN_POSITIVE) }
    }

    /// The same without one of the `count` scores; without the only one, as that of no scores.
    pub(super) fn without(self, score: f32, count: usize) -> Self {
        let (n, score) = (count as f64, f64::from(score));
        let left = (n - 1.0).max(1.0);
        let mean = (n * self.mean - score) / left;
        let square_sum = n * (self.deviation.powi(2) + self.mean.powi(2)) - score.powi(2);
        let variance = square_sum / left - mean.powi(2);
        Self { mean, deviation: variance.max(0.0).sqrt().max(f64::MIN_POSITIVE) }
    }

    /// That of scores which are all larger by the factor `weight`.
    pub(super) fn scaled(self, weight: f32) -> Self {
        let weight = f64::from(weight);
        Self { mean: self.mean * weight, deviation: self.deviation * weight }
    }

    /// By how many standard deviations `score` lies above the mean; kept within what f32 can hold.
    pub(super) fn score(self, score: f32) -> f32 {
        ((f64::from(score) - self.mean) / self.deviation).clamp(-1e6, 1e6) as f32
    }
}
