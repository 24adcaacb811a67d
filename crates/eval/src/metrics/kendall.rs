//! Kendall's rank correlation with ties: whether a score orders pairs as people do.

use serde::{Deserialize, Serialize};

/// τ-b and τ-c of two lists.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kendall {
    /// (C − D) / √((n₀ − n₁)(n₀ − n₂)): concordant less discordant pairs, n₀ = n(n − 1)/2 pairs in all, n₁ and n₂ of them tied
    /// in each list (Kendall 1945).
    pub tau_b: f64,
    /// 2(C − D) / (n² (m − 1)/m), m the smaller number of distinct values (Stuart 1953).
    pub tau_c: f64,
}

impl Kendall {
    /// The correlation of the two sides of `pairs`, exact, in O(n log n) (Knight 1966). `None` where one side has fewer than two
    /// distinct values or a NaN: nothing is ordered then.
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        if pairs.iter().any(|(x, y)| x.is_nan() || y.is_nan()) {
            return None;
        }
        // Adding 0 makes -0 and 0 one value.
        let mut sorted: Vec<(f64, f64)> = pairs.iter().map(|(x, y)| (x + 0.0, y + 0.0)).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let (x_ties, x_values) = ties(sorted.iter().map(|pair| pair.0));
        let (both_ties, _) = ties(sorted.iter().copied());
        let mut y: Vec<f64> = sorted.iter().map(|pair| pair.1).collect();
        let discordant = sort_and_count(&mut y);
        let (y_ties, y_values) = ties(y.iter().copied());
        let values = x_values.min(y_values);
        if values < 2 {
            return None;
        }
        let count = pairs.len() as i128;
        let all = count * (count - 1) / 2;
        let difference = (all - x_ties - y_ties + both_ties - 2 * discordant) as f64;
        let (count, values) = (count as f64, values as f64);
        Some(Self {
            tau_b: difference / ((all - x_ties) as f64).sqrt() / ((all - y_ties) as f64).sqrt(),
            tau_c: 2.0 * difference / (count * count * (values - 1.0) / values),
        })
    }
}

/// How many pairs of a sorted list are equal, and how many distinct values it has.
fn ties<T: PartialEq>(sorted: impl Iterator<Item = T>) -> (i128, usize) {
    let (mut pairs, mut values, mut run, mut last) = (0, 0, 0, None);
    for value in sorted {
        if last.as_ref() == Some(&value) {
            run += 1;
            pairs += run;
        } else {
            (run, values, last) = (0, values + 1, Some(value));
        }
    }
    (pairs, values)
}

/// Sorts the list by merging and returns how many pairs stood in the wrong order.
fn sort_and_count(list: &mut [f64]) -> i128 {
    if list.len() < 2 {
        return 0;
    }
    let middle = list.len() / 2;
    let mut wrong = sort_and_count(&mut list[..middle]) + sort_and_count(&mut list[middle..]);
    let (left, right) = list.split_at(middle);
    let (mut merged, mut i, mut j) = (Vec::with_capacity(list.len()), 0, 0);
    while i < left.len() && j < right.len() {
        if right[j] < left[i] {
            wrong += (left.len() - i) as i128;
            merged.push(right[j]);
            j += 1;
        } else {
            merged.push(left[i]);
            i += 1;
        }
    }
    merged.extend_from_slice(&left[i..]);
    merged.extend_from_slice(&right[j..]);
    list.copy_from_slice(&merged);
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(x: &[i32], y: &[i32]) -> Vec<(f64, f64)> {
        x.iter().zip(y).map(|(&x, &y)| (x.into(), y.into())).collect()
    }

    /// x 1 2 3 4, y 1 3 2 4: five pairs agree, one does not; τ-b = 4/6, τ-c = 2·4 / (16 · 3/4) = 2/3.
    #[test]
    fn worked_without_ties() {
        let found = Kendall::of(&pairs(&[1, 2, 3, 4], &[1, 3, 2, 4])).unwrap();
        assert!((found.tau_b - 2.0 / 3.0).abs() < 1e-12 && (found.tau_c - 2.0 / 3.0).abs() < 1e-12, "{found:?}");
    }

    /// x 1 1 2, y 1 2 2: pairs (1,3) agree, (1,2) is tied in x, (2,3) in y: C − D = 1, τ-b = 1/√(2·2) = 0.5,
    /// τ-c = 2 / (9 · 1/2) = 4/9.
    #[test]
    fn worked_with_ties() {
        let found = Kendall::of(&pairs(&[1, 1, 2], &[1, 2, 2])).unwrap();
        assert!((found.tau_b - 0.5).abs() < 1e-12 && (found.tau_c - 4.0 / 9.0).abs() < 1e-12, "{found:?}");
    }

    /// scipy.stats.kendalltau 1.17.1 (variant b, c).
    #[test]
    fn as_scipy_has_it() {
        let x = [12, 2, 1, 12, 2, 5, 7, 7, 3, 9];
        let y = [1, 4, 7, 1, 0, 3, 3, 2, 4, 4];
        let found = Kendall::of(&pairs(&x, &y)).unwrap();
        assert!((found.tau_b - SCIPY_B).abs() < 1e-12 && (found.tau_c - SCIPY_C).abs() < 1e-12, "{found:?}");
    }
    const SCIPY_B: f64 = -0.4391550328268399;
    const SCIPY_C: f64 = -0.43200000000000005;

    #[test]
    fn what_is_not_ordered_has_none() {
        for (x, y) in [(&[][..], &[][..]), (&[1], &[1]), (&[1, 1], &[1, 2]), (&[1, 2], &[3, 3])] {
            assert_eq!(Kendall::of(&pairs(x, y)), None);
        }
        assert_eq!(Kendall::of(&[(f64::NAN, 1.0), (1.0, 2.0)]), None);
        assert_eq!(Kendall::of(&[(0.0, 1.0), (-0.0, 2.0)]), None);
    }

    proptest! {
        /// Pair by pair gives the same, and exchanging the sides or turning one round does what it should.
        #[test]
        fn counted_pair_by_pair(list in prop::collection::vec((0..6i32, 0..6i32), 2..40)) {
            let list: Vec<(f64, f64)> = list.into_iter().map(|(x, y)| (x.into(), y.into())).collect();
            let Some(found) = Kendall::of(&list) else { return Ok(()) };
            let (mut difference, mut x_pairs, mut y_pairs) = (0.0, 0.0, 0.0);
            for (at, a) in list.iter().enumerate() {
                for b in &list[at + 1..] {
                    let sign = |d: f64| if d == 0.0 { 0.0 } else { d.signum() };
                    let (x, y) = (sign(a.0 - b.0), sign(a.1 - b.1));
                    difference += x * y;
                    x_pairs += x.abs();
                    y_pairs += y.abs();
                }
            }
            prop_assert!((found.tau_b - difference / f64::sqrt(x_pairs * y_pairs)).abs() < 1e-9);
            let swapped: Vec<_> = list.iter().map(|&(x, y)| (y, -x)).collect();
            let swapped = Kendall::of(&swapped).unwrap();
            prop_assert!((swapped.tau_b + found.tau_b).abs() < 1e-9 && (swapped.tau_c + found.tau_c).abs() < 1e-9);
        }
    }
}
