//! [`Bank`]: held-out items of one modality, and their hubness.

use gxn_eval::HubnessScale;
use gxn_index::{Modality, PartKind, Plan, QueryPart, Space};
use rayon::prelude::*;

use super::pairs::{FOLDS, Pairs, fold, other, scores};
use super::standard::Standard;

/// Held-out items that queries are held against.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bank {
    /// `[B, dims]`
    pub(super) rows: Vec<f32>,
    /// What is taken off their scores, `[B]`; zeros where hubs are not corrected.
    pub(super) hubness: Vec<f32>,
    /// How hubness follows from scores with the bank of the other modality. Calibrations of before did not correct hubs.
    pub(super) hubness_scale: Option<HubnessScale>,
}

impl Bank {
    /// What a query scores against it.
    pub(super) fn standard(&self, space: &Space, plan: &Plan) -> Standard {
        let scores = scores(&self.rows, space, plan);
        Standard::of(&scores.iter().zip(&self.hubness).map(|(score, hubness)| score - hubness).collect::<Vec<f32>>())
    }
}

/// The scores of items, `rows`, with queries that look for them: one list for each query.
fn scores_with(queries: &[f32], space: &Space, target: Modality, rows: &[f32]) -> Vec<Vec<f32>> {
    let scored = |vector: &[f32]| {
        let part = QueryPart { vector, weight: 1.0, kind: PartKind::Cross };
        let plan = Plan::new(space, target, &[part]).expect("embeddings fit their own space");
        scores(rows, space, &plan)
    };
    queries.par_chunks_exact(space.dims()).map(scored).collect()
}

/// Hubness of items of `target`, `rows`, as `queries` show it, `[N]`.
pub(super) fn hubness(scale: HubnessScale, queries: &[f32], space: &Space, target: Modality, rows: &[f32]) -> Vec<f32> {
    by_scores(scale, &scores_with(queries, space, target, rows), |_, _| true)
}

/// What pairs with known answers say of the hubness of their items.
pub(super) struct FittedHubness {
    pub(super) scale: HubnessScale,
    /// Of all items, as for any item to come.
    pub(super) whole: Vec<f32>,
    /// Of all items, for queries of each fold ([`fold`]): as the queries of the other folds show it that are not the item's
    /// own. Else a query, which is in the bank, would itself take something off its wrong answers.
    pub(super) folds: Vec<Vec<f32>>,
}

impl FittedHubness {
    /// The queries of the bank are those at the places `held`, `size` is that of the whole bank.
    pub(super) fn of(pairs: &Pairs<'_>, space: &Space, target: Modality, held: &[usize], size: gxn_eval::Bank) -> Self {
        let queries = pairs.stored_at(other(target), held.iter().copied());
        let scores = scores_with(&queries, space, target, &pairs.stored(target));
        let deviation = Standard::of(&scores.concat()).deviation;
        let scale = match target {
            Modality::Image => HubnessScale::of_images(deviation, size),
            Modality::Text => HubnessScale::of_captions(deviation, size),
        };
        let image_of = |query: usize| pairs.image_of(other(target), held[query]);
        let without = |left_out: usize| {
            let is_other = |query: usize, item: usize| {
                fold(image_of(query)) != left_out && image_of(query) != pairs.image_of(target, item)
            };
            by_scores(scale, &scores, is_other)
        };
        Self { scale, whole: by_scores(scale, &scores, |_, _| true), folds: (0..FOLDS).map(without).collect() }
    }
}

/// Hubness of items from the scores of each query with all of them; `counts(query, item)` says which are to be used.
fn by_scores(scale: HubnessScale, scores: &[Vec<f32>], counts: impl Fn(usize, usize) -> bool + Sync) -> Vec<f32> {
    let of_item = |item: usize| {
        let used = scores.iter().enumerate().filter(|&(query, _)| counts(query, item));
        scale.hubness(&mut used.map(|(_, of_query)| of_query[item]).collect::<Vec<f32>>())
    };
    (0..scores.first().map_or(0, Vec::len)).into_par_iter().map(of_item).collect()
}
