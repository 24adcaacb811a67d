//! The best rows of a scan, in an order without ties.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A row and its score.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    /// Larger is better.
    pub score: f32,
    /// Number of the row.
    pub row: usize,
}

/// Greater is better: the higher score (`f32::total_cmp`), of equal scores the lower row.
impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.row.cmp(&self.row))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}

/// Keeps the best `keep` rows of those pushed. The result does not depend on the order of the pushes.
#[derive(Clone, Debug)]
pub struct TopK {
    keep: usize,
    worst_first: BinaryHeap<Reverse<Scored>>,
}

impl TopK {
    /// Nothing yet; memory grows with what is pushed, up to `keep`.
    pub fn new(keep: usize) -> Self {
        Self { keep, worst_first: BinaryHeap::new() }
    }

    /// Offers a row.
    pub fn push(&mut self, scored: Scored) {
        if self.worst_first.len() < self.keep {
            self.worst_first.push(Reverse(scored));
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && scored > worst.0
        {
            *worst = Reverse(scored);
        }
    }

    /// Offers everything that `other` kept.
    pub fn merge(&mut self, other: Self) {
        for Reverse(scored) in other.worst_first {
            self.push(scored);
        }
    }

    /// The kept rows from place `offset` on, best first.
    pub fn into_page(self, offset: usize) -> Vec<Scored> {
        // Ascending in `Reverse` is best first.
        let sorted = self.worst_first.into_sorted_vec();
        sorted.into_iter().skip(offset).map(|Reverse(scored)| scored).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn top(scores: &[f32], keep: usize, offset: usize) -> Vec<usize> {
        let mut top = TopK::new(keep);
        for (row, &score) in scores.iter().enumerate() {
            top.push(Scored { score, row });
        }
        top.into_page(offset).into_iter().map(|s| s.row).collect()
    }

    #[test]
    fn ties_go_to_the_lower_row() {
        assert_eq!(top(&[1.0, 3.0, 3.0, 2.0, 3.0], 4, 0), [1, 2, 4, 3]);
        assert_eq!(top(&[1.0, 3.0, 3.0, 2.0, 3.0], 4, 2), [4, 3]);
        assert_eq!(top(&[1.0, 3.0], 0, 0), [0usize; 0]);
        assert_eq!(top(&[1.0, 3.0], 9, 5), [0usize; 0]);
    }

    proptest! {
        #[test]
        fn equals_a_full_sort(scores in prop::collection::vec(-3i8..3, 0..60), keep in 0usize..70, cut in 0usize..60) {
            let all: Vec<Scored> = scores.iter().enumerate().map(|(row, &s)| Scored { score: f32::from(s), row }).collect();
            let mut sorted = all.clone();
            sorted.sort_by(|a, b| b.cmp(a));
            sorted.truncate(keep);
            let cut = cut.min(all.len());
            let (mut left, mut right) = (TopK::new(keep), TopK::new(keep));
            all[..cut].iter().rev().for_each(|&s| left.push(s));
            all[cut..].iter().for_each(|&s| right.push(s));
            right.merge(left);
            prop_assert_eq!(right.into_page(0), sorted);
        }
    }
}
