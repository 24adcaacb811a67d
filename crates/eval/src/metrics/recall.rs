//! Ranks under many-to-many relevance, R@K, median and mean rank, and their sums (paper §4.1, Eq. 13).

use serde::{Deserialize, Serialize};

use gxn_base::{Error, Result};

/// The short names of the twelve retrieval metrics, in the order of [`Metrics::values`].
///
/// `i2t` is image-to-text, `t2i` text-to-image; recalls in percent, `medr` and `meanr` count from 1.
pub const METRIC_KEYS: [&str; 12] = [
    "i2t_r1",
    "i2t_r5",
    "i2t_r10",
    "i2t_medr",
    "i2t_meanr",
    "t2i_r1",
    "t2i_r5",
    "t2i_r10",
    "t2i_medr",
    "t2i_meanr",
    "rsum",
    "paper_sum",
];

/// Rank of the best relevant gallery item of every query, from 0, by a plain loop over a full score matrix.
///
/// `scores` is row-major `[Q, K]`, larger is better; `relevant[q]` lists the gallery items that are right for query `q`.
/// The rank is the number of irrelevant items that stand before the best relevant one. Ties are pessimistic: an irrelevant
/// item with an equal score stands before, and so does one whose score is NaN.
///
/// # Errors
/// When the matrix does not fit, or a query has no relevant item or one outside the gallery.
pub fn ranks_of_scores(scores: &[f32], gallery: usize, relevant: &[Vec<usize>]) -> Result<Vec<u32>> {
    if scores.len() != relevant.len() * gallery {
        return Err(Error::invalid(
            "score matrix",
            format!("{} scores", scores.len()),
            format!("{} queries × {gallery} items", relevant.len()),
        ));
    }
    let mut ranks = Vec::with_capacity(relevant.len());
    for (query, items) in relevant.iter().enumerate() {
        if items.is_empty() {
            return Err(Error::invalid(format!("query {query}"), "no relevant item", "at least one"));
        }
        if let Some(item) = items.iter().find(|&&item| item >= gallery) {
            let found = format!("relevant item {item}");
            return Err(Error::invalid(format!("query {query}"), found, format!("items below {gallery}")));
        }
        let row = &scores[query * gallery..(query + 1) * gallery];
        // f32::max passes over NaN, so an undefined score never helps a relevant item.
        let best = items.iter().map(|&item| row[item]).fold(f32::NEG_INFINITY, f32::max);
        let before = (0..gallery).filter(|item| stands_before(row[*item], best) && !items.contains(item)).count();
        ranks.push(before as u32);
    }
    Ok(ranks)
}

/// Whether an irrelevant item with `score` stands before a relevant one with score `best`: unless it is surely worse.
pub(crate) fn stands_before(score: f32, best: f32) -> bool {
    score >= best || score.is_nan()
}

/// R@K in percent: the share of ranks (from 0) below `k`; 0 when there are none.
fn recall_at(ranks: &[u32], k: u32) -> f64 {
    if ranks.is_empty() {
        return 0.0;
    }
    100.0 * ranks.iter().filter(|&&rank| rank < k).count() as f64 / ranks.len() as f64
}

/// What one retrieval direction achieves.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Recall {
    /// R@1, percent.
    pub r1: f64,
    /// R@5, percent.
    pub r5: f64,
    /// R@10, percent.
    pub r10: f64,
    /// Median rank, counted from 1: floor(median of the ranks from 0) + 1, as vsepp and open_clip print it.
    pub median_rank: f64,
    /// Mean rank, counted from 1.
    pub mean_rank: f64,
}

impl Recall {
    /// The recall of ranks that count from 0. Without any query everything is 0.
    pub fn of(ranks: &[u32]) -> Self {
        if ranks.is_empty() {
            return Self::default();
        }
        let mut sorted = ranks.to_vec();
        sorted.sort_unstable();
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self {
            r1: recall_at(ranks, 1),
            r5: recall_at(ranks, 5),
            r10: recall_at(ranks, 10),
            median_rank: median_of_middle(low, high),
            mean_rank: ranks.iter().map(|&rank| f64::from(rank)).sum::<f64>() / ranks.len() as f64 + 1.0,
        }
    }

    /// R@1 + R@5 + R@10.
    pub fn sum(&self) -> f64 {
        self.r1 + self.r5 + self.r10
    }
}

/// floor(median) + 1 from the two middle ranks (from 0), which are the same one when the count is odd.
pub(crate) fn median_of_middle(low: u32, high: u32) -> f64 {
    ((u64::from(low) + u64::from(high)) / 2 + 1) as f64
}

/// Both retrieval directions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Metrics {
    /// Queries are images.
    pub image_to_text: Recall,
    /// Queries are captions.
    pub text_to_image: Recall,
}

impl Metrics {
    /// The metrics of the ranks (from 0) of every image query and every caption query.
    pub fn of(image_to_text: &[u32], text_to_image: &[u32]) -> Self {
        Self { image_to_text: Recall::of(image_to_text), text_to_image: Recall::of(text_to_image) }
    }

    /// The mean of several folds, number by number; zeros when there is none.
    pub fn mean(folds: &[Self]) -> Self {
        let mut mean = [0.0; 12];
        for fold in folds {
            for (sum, value) in mean.iter_mut().zip(fold.values()) {
                *sum += value / folds.len() as f64;
            }
        }
        Self::from_values(&mean)
    }

    /// R@1 + R@5 + R@10 of both directions: 600 is perfect.
    pub fn rsum(&self) -> f64 {
        self.image_to_text.sum() + self.text_to_image.sum()
    }

    /// mR, the mean of the six recalls: rsum / 6.
    pub fn mean_recall(&self) -> f64 {
        self.rsum() / 6.0
    }

    /// The paper's own Sum (Eq. 13): R@1 + R@10 of both directions, 400 is perfect.
    pub fn paper_sum(&self) -> f64 {
        self.image_to_text.r1 + self.image_to_text.r10 + self.text_to_image.r1 + self.text_to_image.r10
    }

    /// All twelve numbers in the order of [`METRIC_KEYS`].
    pub fn values(&self) -> [f64; 12] {
        let (i, t) = (&self.image_to_text, &self.text_to_image);
        [
            i.r1,
            i.r5,
            i.r10,
            i.median_rank,
            i.mean_rank,
            t.r1,
            t.r5,
            t.r10,
            t.median_rank,
            t.mean_rank,
            self.rsum(),
            self.paper_sum(),
        ]
    }

    /// The metrics with the first ten of [`Metrics::values`]; the two sums follow from them.
    pub(crate) fn from_values(values: &[f64; 12]) -> Self {
        let direction = |v: &[f64]| Recall { r1: v[0], r5: v[1], r10: v[2], median_rank: v[3], mean_rank: v[4] };
        Self { image_to_text: direction(&values[..5]), text_to_image: direction(&values[5..10]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Query 0: relevant items 1 and 3 score .5 and .7, item 0 scores .9: one stands before. Query 1: its relevant item
    /// ties with two others, both stand before. Query 2: the best item is right.
    #[test]
    fn worked_ranks() {
        let scores = [0.9, 0.5, 0.1, 0.7, /**/ 0.2, 0.2, 0.2, 0.1, /**/ 0.0, -1.0, -2.0, -3.0];
        let found = ranks_of_scores(&scores, 4, &[vec![1, 3], vec![1], vec![0]]).unwrap();
        assert_eq!(found, [1, 2, 0]);
    }

    /// A tie among relevant items does not push the rank, and a NaN never helps.
    #[test]
    fn relevant_ties_are_harmless_and_nan_is_pessimistic() {
        assert_eq!(ranks_of_scores(&[0.5, 0.5, 0.1], 3, &[vec![0, 1]]).unwrap(), [0]);
        assert_eq!(ranks_of_scores(&[0.5, f32::NAN, 0.1], 3, &[vec![0]]).unwrap(), [1]);
        assert_eq!(ranks_of_scores(&[f32::NAN, 0.2, 0.1], 3, &[vec![0]]).unwrap(), [2]);
    }

    /// Ranks 0, 0, 4, 9: R@1 50, R@5 75, R@10 100; median (0 + 4) / 2 + 1 = 3; mean 13 / 4 + 1 = 4.25.
    #[test]
    fn worked_recall() {
        let recall = Recall::of(&[9, 0, 4, 0]);
        assert_eq!(recall, Recall { r1: 50.0, r5: 75.0, r10: 100.0, median_rank: 3.0, mean_rank: 4.25 });
        // The floor: the median of 0 and 1 is 0.5, printed as 1.
        assert_eq!(Recall::of(&[0, 1]).median_rank, 1.0);
        assert_eq!(Recall::of(&[]), Recall::default());
    }

    /// rsum = 225 + 100, paper Sum = 150 + 50 (the second direction has R@1 0, R@5 50, R@10 50).
    #[test]
    fn worked_sums() {
        let metrics = Metrics::of(&[9, 0, 4, 0], &[3, 10]);
        assert_eq!(metrics.rsum(), 325.0);
        assert_eq!(metrics.paper_sum(), 200.0);
        assert_eq!(metrics.values()[10..], [325.0, 200.0]);
        assert_eq!(Metrics::from_values(&metrics.values()), metrics);
        let twice = Metrics::mean(&[metrics, Metrics::default()]);
        assert_eq!(twice.rsum(), 162.5);
    }

    #[test]
    fn bad_input_is_named() {
        assert!(ranks_of_scores(&[0.0; 5], 3, &[vec![0]]).unwrap_err().to_string().contains("5 scores"));
        assert!(ranks_of_scores(&[0.0; 3], 3, &[vec![]]).unwrap_err().to_string().contains("no relevant item"));
        assert!(ranks_of_scores(&[0.0; 3], 3, &[vec![3]]).unwrap_err().to_string().contains("relevant item 3"));
    }

    /// A score matrix with few distinct values (many ties), one relevant item per query, and a permutation of the items.
    fn problem() -> impl Strategy<Value = (Vec<f32>, Vec<usize>, Vec<usize>)> {
        (1..9usize, 1..12usize).prop_flat_map(|(queries, gallery)| {
            (
                prop::collection::vec((0..5i8).prop_map(f32::from), queries * gallery),
                prop::collection::vec(0..gallery, queries),
                Just((0..gallery).collect::<Vec<_>>()).prop_shuffle(),
            )
        })
    }

    proptest! {
        /// Renaming the gallery's items changes no rank, whatever the ties.
        #[test]
        fn relabelling_keeps_ranks((scores, right, places) in problem()) {
            let gallery = places.len();
            let relevant: Vec<_> = right.iter().map(|&item| vec![item]).collect();
            let mut moved = vec![0.0; scores.len()];
            for (query, row) in scores.chunks_exact(gallery).enumerate() {
                for (item, &score) in row.iter().enumerate() {
                    moved[query * gallery + places[item]] = score;
                }
            }
            let renamed: Vec<_> = right.iter().map(|&item| vec![places[item]]).collect();
            prop_assert_eq!(ranks_of_scores(&scores, gallery, &relevant).unwrap(), ranks_of_scores(&moved, gallery, &renamed).unwrap());
        }

        /// The order of the queries does not matter to the recall.
        #[test]
        fn query_order_keeps_recall(mut found in prop::collection::vec(0..50u32, 1..40)) {
            let before = Recall::of(&found);
            found.reverse();
            let after = Recall::of(&found);
            prop_assert!((before.mean_rank - after.mean_rank).abs() < 1e-9);
            prop_assert_eq!(Recall { mean_rank: 0.0, ..before }, Recall { mean_rank: 0.0, ..after });
        }

        /// Lowering one irrelevant score by anything never worsens a rank; equal scores count against the query.
        #[test]
        fn ties_are_pessimistic((scores, right, _) in problem()) {
            let gallery = scores.len() / right.len();
            let relevant: Vec<_> = right.iter().map(|&item| vec![item]).collect();
            let with_ties = ranks_of_scores(&scores, gallery, &relevant).unwrap();
            for (query, &item) in right.iter().enumerate() {
                let row = &scores[query * gallery..(query + 1) * gallery];
                let worse = row.iter().filter(|&&score| score < row[item]).count();
                prop_assert_eq!(with_ties[query] as usize, gallery - 1 - worse);
            }
        }
    }
}
