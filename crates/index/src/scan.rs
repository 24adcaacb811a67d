//! The exact scan: every row against every query, on all threads.

use crate::bitmap::Bitmap;
use crate::kernel::{Element, Kernel, Measure, block_rows};
use crate::query::Plan;
use crate::segment::Segment;
use crate::top_k::{Scored, TopK};
use half::f16;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::slice::ChunksExact;

/// Candidates that a thread scores at once.
const RESCORED: usize = 64;

/// Stored rows in memory, or mapped.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a, E> {
    values: &'a [E],
    /// Values from one row to the next.
    stride: usize,
    dims: usize,
    lengths: Lengths<'a>,
}

/// Where 1 / ‖row‖ is.
#[derive(Clone, Copy, Debug)]
enum Lengths<'a> {
    Beside(&'a [f32]),
    /// At the end of each record.
    Stored(&'a Segment),
}

impl<'a> RowView<'a, f16> {
    /// The rows of a row file.
    pub(crate) fn records(segment: &'a Segment, dims: usize) -> Self {
        Self { values: segment.values(), stride: segment.stride(), dims, lengths: Lengths::Stored(segment) }
    }
}

impl<'a, E: Element> RowView<'a, E> {
    /// `values` is `[row_count, dims]`; `inverse_lengths` holds 1 / ‖row‖ for each (0 for a zero row).
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn new(values: &'a [E], dims: usize, inverse_lengths: &'a [f32]) -> Self {
        assert!(dims > 0, "rows must have columns");
        assert_eq!(values.len(), dims * inverse_lengths.len(), "values must be [row_count, dims]");
        Self { values, stride: dims, dims, lengths: Lengths::Beside(inverse_lengths) }
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.values.len() / self.stride
    }

    /// The best `keep` rows of each plan; the order is that of [`Scored`].
    ///
    /// A query's answer is bit for bit the same alone or among others, and on any number of threads.
    ///
    /// # Panics
    /// If a plan was made for wider rows.
    pub fn top(&self, plans: &[Plan], keep: usize) -> Vec<TopK> {
        top_of(&[Piece { rows: *self, range: 0..self.count(), first_row: 0, allowed: None }], plans, keep)
    }

    fn inverse_length(&self, row: usize) -> f32 {
        match self.lengths {
            Lengths::Beside(lengths) => lengths[row],
            Lengths::Stored(segment) => segment.inverse_length(row),
        }
    }

    /// The scores of the rows in `rows`, query after query.
    fn score_block<'b>(
        &self,
        passes: &[Pass],
        query_count: usize,
        rows: Range<usize>,
        buffers: &'b mut Buffers,
    ) -> ChunksExact<'b, f32> {
        let values = &self.values[rows.start * self.stride..rows.end * self.stride];
        let Buffers { scores, measured } = buffers;
        scores.clear();
        scores.resize(query_count * rows.len(), 0.0);
        for pass in passes {
            measured.clear();
            measured.resize(pass.owners.len() * rows.len(), 0.0);
            let columns = pass.columns.clone();
            Kernel::best().block(pass.measure, values, self.stride, columns, &pass.vectors, measured);
            for (&(owner, factor), measured) in pass.owners.iter().zip(measured.chunks_exact(rows.len())) {
                let scores = &mut scores[owner * rows.len()..][..rows.len()];
                if pass.by_length {
                    for ((score, value), row) in scores.iter_mut().zip(measured).zip(rows.clone()) {
                        *score += factor * self.inverse_length(row) * value;
                    }
                } else {
                    for (score, value) in scores.iter_mut().zip(measured) {
                        *score += factor * *value;
                    }
                }
            }
        }
        scores.chunks_exact(rows.len())
    }
}

/// Some of the rows to scan.
#[derive(Debug)]
pub(crate) struct Piece<'a, E> {
    pub(crate) rows: RowView<'a, E>,
    /// Those to score.
    pub(crate) range: Range<usize>,
    /// Number of its first row among all.
    pub(crate) first_row: usize,
    /// The only rows to score; `None` for all.
    pub(crate) allowed: Option<&'a Bitmap>,
}

/// [`RowView::top`] over several pieces.
///
/// # Panics
/// If a plan was made for wider rows.
pub(crate) fn top_of<E: Element>(pieces: &[Piece<'_, E>], plans: &[Plan], keep: usize) -> Vec<TopK> {
    let fit = |piece: &Piece<'_, E>| plans.iter().all(|plan| plan.fits(piece.rows.dims));
    assert!(pieces.iter().all(fit), "plans and rows must be of one space");
    let passes = passes(plans);
    let blocks: Vec<(usize, Range<usize>)> = pieces.iter().enumerate().flat_map(blocks).collect();
    let empty = || vec![TopK::new(keep); plans.len()];
    let work = || (empty(), Buffers::default());
    let scan = |(mut tops, mut buffers): (Vec<TopK>, Buffers), (piece, rows): &(usize, Range<usize>)| {
        let Piece { rows: stored, first_row, allowed, .. } = &pieces[*piece];
        let mut score = |rows: Range<usize>| {
            let scores = stored.score_block(&passes, plans.len(), rows.clone(), &mut buffers);
            for (top, scores) in tops.iter_mut().zip(scores) {
                for (row, &score) in rows.clone().zip(scores) {
                    top.push(Scored { score, row: first_row + row });
                }
            }
        };
        match allowed {
            None => score(rows.clone()),
            Some(allowed) => allowed.runs(rows.clone()).for_each(score),
        }
        (tops, buffers)
    };
    blocks.par_iter().fold(work, scan).map(|(tops, _)| tops).reduce(empty, |mut left, right| {
        left.iter_mut().zip(right).for_each(|(left, right)| left.merge(right));
        left
    })
}

/// The true scores of the rows that each plan's candidates are, to the bit as [`top_of`] has them.
pub(crate) fn rescore<E: Element>(
    pieces: &[Piece<'_, E>],
    plans: &[Plan],
    candidates: Vec<TopK>,
    keep: usize,
) -> Vec<TopK> {
    let one = |(plan, candidates): (&Plan, TopK)| {
        let plan = std::slice::from_ref(plan);
        let passes = passes(plan);
        let some = |candidates: &[Scored]| {
            let mut buffers = Buffers::default();
            let mut top = TopK::new(keep);
            for &Scored { row, .. } in candidates {
                let piece = pieces.partition_point(|piece| piece.first_row <= row) - 1;
                let at = row - pieces[piece].first_row;
                let mut scores = pieces[piece].rows.score_block(&passes, 1, at..at + 1, &mut buffers);
                top.push(Scored { score: scores.next().expect("one plan, one row")[0], row });
            }
            top
        };
        let candidates = candidates.into_page(0);
        candidates.par_chunks(RESCORED).map(some).reduce(
            || TopK::new(keep),
            |mut left, right| {
                left.merge(right);
                left
            },
        )
    };
    plans.par_iter().zip(candidates).map(one).collect()
}

/// The rows of a piece that a thread takes at once.
fn blocks<E>((number, piece): (usize, &Piece<'_, E>)) -> impl Iterator<Item = (usize, Range<usize>)> + use<E> {
    let (range, block) = (piece.range.clone(), block_rows(piece.rows.stride * size_of::<E>()));
    range.clone().step_by(block).map(move |first| (number, first..range.end.min(first + block)))
}

/// One thread's working memory.
#[derive(Default)]
struct Buffers {
    /// `[query_count, rows]`.
    scores: Vec<f32>,
    /// One pass before its factors, `[owner_count, rows]`.
    measured: Vec<f32>,
}

/// The terms of all queries that read the same columns in the same way.
struct Pass {
    measure: Measure,
    columns: Range<usize>,
    by_length: bool,
    /// `[owner_count, columns.len()]`.
    vectors: Vec<f32>,
    /// Query and factor of each vector.
    owners: Vec<(usize, f32)>,
}

/// In the order of [`crate::query::Term::key`], as are the terms of each plan: every query adds its terms in one order.
fn passes(plans: &[Plan]) -> Vec<Pass> {
    let mut by_key = BTreeMap::new();
    for (owner, plan) in plans.iter().enumerate() {
        for term in plan.terms() {
            let pass = by_key.entry(term.key()).or_insert_with(|| Pass {
                measure: term.measure,
                columns: term.columns.clone(),
                by_length: term.by_length,
                vectors: Vec::new(),
                owners: Vec::new(),
            });
            pass.vectors.extend_from_slice(&term.vector);
            pass.owners.push((owner, term.factor));
        }
    }
    by_key.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{PartKind, QueryPart, inverse_length};
    use crate::space::Space;
    use gxn_base::{Modality, Similarity};
    use proptest::prelude::*;

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths == 0.0 { 0.0 } else { dot(a, b) / lengths }
    }

    /// The score written from its definition: for every part and level, in f64.
    fn definition(space: &Space, modality: Modality, parts: &[QueryPart<'_>], row: &[f32]) -> f64 {
        let level = |part: &QueryPart<'_>, columns: Range<usize>| -> f64 {
            let pairs = row[columns.clone()].iter().zip(&part.vector[columns]);
            match space.similarity {
                Similarity::Cosine => pairs.map(|(&r, &q)| f64::from(r) * f64::from(q)).sum(),
                Similarity::Order | Similarity::OrderReversed => -pairs
                    .map(|(&row, &query)| {
                        let (image, caption) = if modality == Modality::Image { (row, query) } else { (query, row) };
                        let (a, b) =
                            if space.similarity == Similarity::Order { (image, caption) } else { (caption, image) };
                        f64::from(a - b).max(0.0).powi(2)
                    })
                    .sum::<f64>(),
            }
        };
        let lambda = f64::from(space.lambda);
        parts
            .iter()
            .map(|part| {
                f64::from(part.weight)
                    * match part.kind {
                        PartKind::Same => cosine(row, part.vector),
                        PartKind::Cross => {
                            lambda * level(part, 0..space.dims_abstract)
                                + (1.0 - lambda) * level(part, space.dims_abstract..space.dims())
                        }
                    }
            })
            .sum()
    }

    fn spaces() -> impl Strategy<Value = Space> {
        let similarity =
            prop_oneof![Just(Similarity::Cosine), Just(Similarity::Order), Just(Similarity::OrderReversed)];
        (similarity, 0.0f32..=1.0, 1usize..20, 0usize..20).prop_map(
            |(similarity, lambda, dims_abstract, dims_grounded)| {
                let lambda = if dims_grounded == 0 { 1.0 } else { lambda };
                Space { similarity, lambda, dims_abstract, dims_grounded }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn plans_score_by_the_definition(
            space in spaces(),
            image_rows in any::<bool>(),
            values in prop::collection::vec(-1.0f32..1.0, 40 * 30),
            queries in prop::collection::vec(
                prop::collection::vec((any::<bool>(), -2.0f32..2.0, prop::collection::vec(-1.0f32..1.0, 40)), 1..4),
                1..6,
            ),
        ) {
            let modality = if image_rows { Modality::Image } else { Modality::Text };
            let dims = space.dims();
            let halves: Vec<f16> = values[..30 * dims].iter().map(|&v| f16::from_f32(v)).collect();
            let stored: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
            let lengths: Vec<f32> = halves.chunks(dims).map(inverse_length).collect();
            let rows = RowView::new(&halves, dims, &lengths);
            let queries: Vec<Vec<QueryPart<'_>>> = queries
                .iter()
                .map(|parts| {
                    parts
                        .iter()
                        .map(|(cross, weight, vector)| QueryPart {
                            vector: &vector[..dims],
                            weight: *weight,
                            kind: if *cross { PartKind::Cross } else { PartKind::Same },
                        })
                        .collect()
                })
                .collect();
            let plans: Vec<Plan> = queries.iter().map(|parts| Plan::new(&space, modality, parts).unwrap()).collect();
            let together = rows.top(&plans, 30);
            for ((parts, plan), top) in queries.iter().zip(&plans).zip(together) {
                let page = top.into_page(0);
                prop_assert_eq!(page.len(), 30);
                for hit in &page {
                    let row = &stored[hit.row * dims..][..dims];
                    let exact = definition(&space, modality, parts, row);
                    prop_assert!((f64::from(hit.score) - exact).abs() < 1e-4, "{} for {exact}", hit.score);
                    let levels = plan.level_scores(&halves[hit.row * dims..][..dims], lengths[hit.row]);
                    let sum = levels.abstract_level + levels.grounded_level;
                    prop_assert!((sum - hit.score).abs() < 1e-4);
                }
                let alone = rows.top(std::slice::from_ref(plan), 30).remove(0).into_page(0);
                prop_assert!(alone.iter().zip(&page).all(|(a, b)| a.row == b.row && a.score.to_bits() == b.score.to_bits()));
            }
        }
    }

    /// v_h = (1, 0), v_l = (0.6, 0.8); t_h = (0, 1), t_l = (0.8, 0.6); λ = 0.25.
    /// Cosine: 0.25·0 + 0.75·0.96 = 0.72. Order v − t: −(0.25·1 + 0.75·0.04) = −0.28. Same: (0 + 0.96) / 2 = 0.48.
    #[test]
    fn worked_numbers() {
        let (row, query) = ([1.0f32, 0.0, 0.6, 0.8], [0.0f32, 1.0, 0.8, 0.6]);
        let lengths = [inverse_length(&row)];
        let score = |similarity, kind| {
            let space = Space { similarity, lambda: 0.25, dims_abstract: 2, dims_grounded: 2 };
            let plan = Plan::new(&space, Modality::Image, &[QueryPart { vector: &query, weight: 1.0, kind }]).unwrap();
            let score =
                RowView::new(&row, 4, &lengths).top(std::slice::from_ref(&plan), 1).remove(0).into_page(0)[0].score;
            (score, plan.level_scores(&row, lengths[0]))
        };
        let order = Similarity::Order;
        for (similarity, kind, total, h, l) in [
            (Similarity::Cosine, PartKind::Cross, 0.72, 0.0, 0.72),
            (order, PartKind::Cross, -0.28, -0.25, -0.03),
            (order, PartKind::Same, 0.48, 0.0, 0.48),
        ] {
            let (score, levels) = score(similarity, kind);
            assert!((score - total).abs() < 1e-6, "{similarity:?} {kind:?}: {score}");
            assert!((levels.abstract_level - h).abs() < 1e-6 && (levels.grounded_level - l).abs() < 1e-6);
        }
    }
}
