//! Plain loops: the reference for the other kernels, and the fallback where none of them runs.

use super::{Job, Measure};

/// Fills `out[query * row_count + row]`.
pub(super) fn block(job: &Job<'_>, out: &mut [i32]) {
    job.fill(out, pair);
}

/// One row with one query.
pub(super) fn pair(row: &[i8], query: &[i8], measure: Measure) -> i32 {
    let pairs = row.iter().zip(query).map(|(&row, &query)| (i32::from(row), i32::from(query)));
    match measure {
        Measure::Dot => pairs.map(|(row, query)| row * query).sum(),
        Measure::RowAboveQuery => pairs.map(|(row, query)| (row - query).max(0).pow(2)).sum(),
        Measure::QueryAboveRow => pairs.map(|(row, query)| (query - row).max(0).pow(2)).sum(),
    }
}
