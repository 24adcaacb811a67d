//! [`PermutationTest`]: do rows belong to their columns more than chance allows?

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::seed::mix;

/// Random orders of the permutation test.
pub(super) const ORDERS: usize = 9_999;

/// Whether row `i` is better in column `i` than under a random order of the rows.
pub(super) struct PermutationTest {
    /// Mean of the other columns.
    pub others: f64,
    /// Share of random orders (and this one) whose mean is at most that of the diagonal.
    pub p: f64,
}

impl PermutationTest {
    /// `ranks` is square.
    pub fn new(ranks: &[Vec<f64>], seed: u64) -> Self {
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
    use super::*;

    /// Five generated images that all find their own image: one order of 5! = 120 is as good, p near 1/120; ranks that are the same in
    /// every column: p = 1.
    #[test]
    fn worked_permutations() {
        let ranks: Vec<Vec<f64>> =
            (0..5).map(|row| (0..5).map(|column| if row == column { 0.0 } else { 0.5 }).collect()).collect();
        let test = PermutationTest::new(&ranks, 3);
        assert!((test.p - 1.0 / 120.0).abs() < 0.003, "{}", test.p);
        assert_eq!(test.others, 0.5);
        let same = vec![vec![0.1; 5], vec![0.7; 5], vec![0.3; 5], vec![0.2; 5], vec![0.9; 5]];
        assert_eq!(PermutationTest::new(&same, 3).p, 1.0);
    }
}
