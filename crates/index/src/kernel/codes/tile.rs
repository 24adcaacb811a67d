//! What the vector kernels for codes add to the loops that they share with those for floats.

/// Writes `block` for codes and one instruction set, on [`tile_loops`] and the set's `BIAS`: what `step` adds to every code
/// of a row in a dot product.
macro_rules! tiled_code_kernel {
    ($features:tt, $rows:tt rows, $queries:tt queries) => {
        tile_loops!($features, $rows rows, $queries queries, $rows alone, [], Job<'_>, i32);

        /// Fills `out[query * row_count + row]`.
        ///
        /// # Safety
        /// The processor must have the features, and `job.check(out)` must have passed.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn block<const MEASURE: u8>(job: &Job<'_>, out: &mut [i32]) {
            // SAFETY: the caller's promise.
            unsafe { tiles::<MEASURE>(job, out) }
            let (row_count, query_count) = (job.row_count(), job.query_count());
            let whole = job.len - job.len % LANES;
            if MEASURE == Measure::Dot as u8 && BIAS != 0 {
                for (values, out) in job.queries.chunks_exact(job.len).zip(out.chunks_exact_mut(row_count)) {
                    let excess = BIAS * values[..whole].iter().map(|v| i32::from(*v)).sum::<i32>();
                    out.iter_mut().for_each(|out| *out -= excess);
                }
            }
            if whole < job.len {
                job.add_rest(whole, 0..row_count, 0..query_count, out, super::scalar::pair);
            }
        }
    };
}
