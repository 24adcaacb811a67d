//! All scores of many queries against many rows.

use super::{Element, Kernel, Measure, block_rows};
use rayon::prelude::*;

/// Queries that share one pass over the rows; they stay in the second-level cache.
const QUERIES_PER_PASS: usize = 32;

/// The measure of every query with every row, on all threads: fills `out[query * row_count + row]`.
///
/// `rows` is `[row_count, dims]` and `queries` is `[query_count, dims]`. With [`Measure::Dot`] the result is a score
/// (larger is closer); the violations count the other way.
///
/// # Panics
/// If `dims` is 0 or the lengths do not agree.
pub fn score_matrix<E: Element>(measure: Measure, rows: &[E], queries: &[f32], dims: usize, out: &mut [f32]) {
    assert!(dims > 0, "no columns to compare");
    assert_eq!(rows.len() % dims, 0, "rows must be whole");
    assert_eq!(queries.len() % dims, 0, "queries must be whole");
    let row_count = rows.len() / dims;
    assert_eq!(out.len(), queries.len() / dims * row_count, "out must be [query_count, row_count]");
    if row_count == 0 {
        return;
    }
    let kernel = Kernel::best();
    let block = block_rows(dims * size_of::<E>());
    // Few queries would leave threads idle in groups of 32.
    let per_pass = (queries.len() / dims).div_ceil(rayon::current_num_threads()).clamp(1, QUERIES_PER_PASS);
    out.par_chunks_mut(per_pass * row_count).zip(queries.par_chunks(per_pass * dims)).for_each(|(out, queries)| {
        let query_count = queries.len() / dims;
        let mut scores = vec![0.0; query_count * block];
        for (at, rows) in rows.chunks(block * dims).enumerate() {
            let count = rows.len() / dims;
            let scores = &mut scores[..query_count * count];
            kernel.block(measure, rows, dims, 0..dims, queries, scores);
            for (out, scores) in out.chunks_exact_mut(row_count).zip(scores.chunks_exact(count)) {
                out[at * block..at * block + count].copy_from_slice(scores);
            }
        }
    });
}
