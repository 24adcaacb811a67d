//! The paired t-test: whether a difference between two settings would come with other seeds, too.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::compare::mean_and_deviation;

/// Differences that scatter less than this are equal: sums of percentages carry rounding errors.
const EQUAL: f64 = 1e-9;

/// Two-sided p of the hypothesis that pairs differ by nothing on average, from their differences. None when there are fewer than
/// two or all are equal: nothing is known of how they scatter.
pub(crate) fn paired_t_test(differences: &[f64]) -> Option<f64> {
    let (mean, deviation) = mean_and_deviation(differences.iter().copied());
    if deviation < EQUAL {
        return None;
    }
    let count = differences.len() as f64;
    let student = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
    Some(2.0 * student.cdf(-(mean / (deviation / count.sqrt())).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.ttest_1samp([...], 0)`.
    #[test]
    fn equals_scipy() {
        for (differences, expected) in [
            (vec![4.0, 1.6, 2.3], 0.066_052_912),
            (vec![1.0, 0.9, 1.7], 0.041_277_446),
            (vec![-1.0, -2.0], 0.204_832_765),
            (vec![0.3, -0.2, 0.1, 0.4, -0.6], 1.0),
        ] {
            let p = paired_t_test(&differences).unwrap();
            assert!((p - expected).abs() < 1e-8, "{differences:?}: {p}");
        }
    }

    #[test]
    fn one_pair_or_equal_differences_say_nothing() {
        assert_eq!(paired_t_test(&[]), None);
        assert_eq!(paired_t_test(&[1.0]), None);
        assert_eq!(paired_t_test(&[0.1 + 0.2, 0.3, 0.3]), None);
    }
}
