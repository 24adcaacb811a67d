//! [`lambda_sweep`]: recall under every weight of the two levels.

use super::EncodedDataset;
use gxn_base::Result;
use gxn_eval::Scoring;
use gxn_eval::metrics::Metrics;

/// λ goes from 0 to 1 in steps of 1 / `STEPS`.
const STEPS: u8 = 20;

/// Metrics by λ, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaSweep(pub Vec<(f64, Metrics)>);

impl LambdaSweep {
    /// That of the highest rsum, the least λ of equals.
    pub fn best(&self) -> Option<&(f64, Metrics)> {
        self.0.iter().reduce(|best, other| if other.1.rsum() > best.1.rsum() { other } else { best })
    }
}

/// The metrics of embeddings with two levels under λ = 0, 0.05, …, 1. `own` says how they are compared.
///
/// # Errors
/// When an image has no caption, or the embeddings have one level.
pub fn lambda_sweep(encoded: &EncodedDataset, own: Scoring) -> Result<LambdaSweep> {
    let at = |step: u8| {
        let lambda = f64::from(step) / f64::from(STEPS);
        Ok((lambda, encoded.metrics(Scoring { lambda: lambda as f32, ..own })?))
    };
    (0..=STEPS).map(at).collect::<Result<_>>().map(LambdaSweep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_the_highest() {
        let metrics = |r1| {
            let mut metrics = Metrics::default();
            metrics.image_to_text.r1 = r1;
            metrics
        };
        let sweep = LambdaSweep(vec![(0.0, metrics(10.0)), (0.5, metrics(30.0)), (1.0, metrics(30.0))]);
        assert_eq!(sweep.best().unwrap().0, 0.5);
        assert!(LambdaSweep(Vec::new()).best().is_none());
    }
}
