//! The scan over codes, whose scores are near the true ones.

use crate::codes::{Codes, encode};
use crate::kernel::{CodeKernel, Measure};
use crate::query::Plan;
use crate::scan::{Buffers, Scan};
use std::collections::BTreeMap;
use std::ops::Range;
use std::slice::ChunksExact;

/// The terms of all queries that read the same columns in the same way.
pub(crate) struct CodePass {
    measure: Measure,
    columns: Range<usize>,
    by_length: bool,
    /// `[owner_count, columns.len()]`.
    vectors: Vec<i8>,
    /// Query and factor of each vector.
    owners: Vec<(usize, f32)>,
}

impl Scan for &Codes {
    type Pass = CodePass;

    fn row_bytes(&self) -> usize {
        self.stride()
    }

    fn fits(&self, plan: &Plan) -> bool {
        plan.fits(self.dims())
    }

    /// A term that reads both levels becomes two, as each has steps of its own.
    fn passes(&self, plans: &[Plan]) -> Vec<CodePass> {
        let mut by_key = BTreeMap::new();
        for (owner, plan) in plans.iter().enumerate() {
            for term in &plan.terms {
                let border = self.split().clamp(term.columns.start, term.columns.end);
                let levels = [term.columns.start..border, border..term.columns.end];
                for (level, columns) in levels.into_iter().enumerate().filter(|(_, columns)| !columns.is_empty()) {
                    let vector = &term.vector[columns.start - term.columns.start..columns.end - term.columns.start];
                    let step = self.steps[level];
                    let (query_step, factor) = match term.measure {
                        Measure::Dot => {
                            let largest = vector.iter().fold(0.0, |largest: f32, v| largest.max(v.abs()));
                            let query_step = if largest > 0.0 { largest / 127.0 } else { 1.0 };
                            (query_step, step * query_step)
                        }
                        // Codes can be subtracted only if they count alike.
                        Measure::RowAboveQuery | Measure::QueryAboveRow => (step, step * step),
                    };
                    let key = (term.measure, columns.start, columns.end, term.by_length);
                    let pass = by_key.entry(key).or_insert_with(|| CodePass {
                        measure: term.measure,
                        columns,
                        by_length: term.by_length,
                        vectors: Vec::new(),
                        owners: Vec::new(),
                    });
                    pass.vectors.extend(vector.iter().map(|&value| encode(value, query_step)));
                    pass.owners.push((owner, term.factor * factor));
                }
            }
        }
        by_key.into_values().collect()
    }

    fn score_block<'b>(
        &self,
        passes: &[CodePass],
        query_count: usize,
        rows: Range<usize>,
        buffers: &'b mut Buffers,
    ) -> ChunksExact<'b, f32> {
        let values = self.values(rows.clone());
        let Buffers { scores, counted, .. } = buffers;
        scores.clear();
        scores.resize(query_count * rows.len(), 0.0);
        for pass in passes {
            counted.clear();
            counted.resize(pass.owners.len() * rows.len(), 0);
            let columns = pass.columns.clone();
            CodeKernel::best().block(pass.measure, values, self.stride(), columns, &pass.vectors, counted);
            for (&(owner, factor), counted) in pass.owners.iter().zip(counted.chunks_exact(rows.len())) {
                let scores = &mut scores[owner * rows.len()..][..rows.len()];
                for ((score, count), row) in scores.iter_mut().zip(counted).zip(rows.clone()) {
                    let factor = if pass.by_length { factor * self.inverse_length(row) } else { factor };
                    *score += factor * *count as f32;
                }
            }
        }
        scores.chunks_exact(rows.len())
    }
}
