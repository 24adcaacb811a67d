//! Plain loops: the reference for the other kernels, and the fallback where none of them runs.

use super::{Element, Job, Measure};

/// Partial sums, which lets the compiler use whatever vectors the target always has.
const LANES: usize = 8;

/// Fills `out[query * row_count + row]`.
pub(super) fn block<E: Element>(job: &Job<'_, E>, out: &mut [f32]) {
    job.fill(out, pair);
}

/// One row with one query.
pub(super) fn pair<E: Element>(row: &[E], query: &[f32], measure: Measure) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (row, query) in row.chunks(LANES).zip(query.chunks(LANES)) {
        for ((sum, &row), &query) in sums.iter_mut().zip(row).zip(query) {
            let row = row.to_f32();
            *sum += match measure {
                Measure::Dot => row * query,
                Measure::RowAboveQuery => (row - query).max(0.0).powi(2),
                Measure::QueryAboveRow => (query - row).max(0.0).powi(2),
            };
        }
    }
    sums.iter().sum()
}
