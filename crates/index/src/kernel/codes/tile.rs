//! The loops that all vector kernels for codes share; each instruction set brings a handful of primitives.

/// Writes `block` and `tile` for one instruction set, from its `LANES`, `BIAS`, `zero`, `load`, `prefetch`, `step` and
/// `sum`. `BIAS` is what `step` adds to every code of a row in a dot product.
macro_rules! tiled_code_kernel {
    ($features:tt, $rows:tt rows, $queries:tt queries) => {
        /// Fills `out[query * row_count + row]`.
        ///
        /// # Safety
        /// The processor must have the features, and `job.check(out)` must have passed.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn block<const MEASURE: u8>(job: &Job<'_>, out: &mut [i32]) {
            let (row_count, query_count) = (job.row_count(), job.query_count());
            let mut query = 0;
            while query < query_count {
                let wide = query_count - query >= $queries;
                let mut row = 0;
                while row < row_count {
                    let tall = row_count - row >= $rows;
                    // SAFETY: a tile is taken only where that many rows and queries are left.
                    unsafe {
                        match (tall, wide) {
                            (true, true) => tile::<MEASURE, $rows, $queries>(job, row, query, out),
                            (true, false) => tile::<MEASURE, $rows, 1>(job, row, query, out),
                            (false, true) => tile::<MEASURE, 1, $queries>(job, row, query, out),
                            (false, false) => tile::<MEASURE, 1, 1>(job, row, query, out),
                        }
                    }
                    row += if tall { $rows } else { 1 };
                }
                query += if wide { $queries } else { 1 };
            }
            let whole = job.len - job.len % LANES;
            if MEASURE == Measure::Dot as u8 && BIAS != 0 {
                for (values, out) in job.queries.chunks_exact(job.len).zip(out.chunks_exact_mut(row_count)) {
                    let excess = BIAS * values[..whole].iter().map(|v| i32::from(*v)).sum::<i32>();
                    out.iter_mut().for_each(|out| *out -= excess);
                }
            }
            if whole < job.len {
                job.add_rest(whole, 0..row_count, 0..query_count, out);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn tile<const MEASURE: u8, const ROWS: usize, const QUERIES: usize>(
            job: &Job<'_>,
            row: usize,
            query: usize,
            out: &mut [i32],
        ) {
            let len = job.len;
            let whole = len - len % LANES;
            let mut sums = [[zero(); QUERIES]; ROWS];
            // SAFETY: rows `row..row + ROWS` and queries `query..query + QUERIES` exist, and each holds `len` codes
            // from where its pointer starts (`Job::check`); `at + LANES <= len` in the loop.
            unsafe {
                let rows = job.rows.as_ptr().add(row * job.stride + job.start);
                let queries = job.queries.as_ptr().add(query * len);
                let mut at = 0;
                while at < whole {
                    let mut values = [zero(); QUERIES];
                    for (q, value) in values.iter_mut().enumerate() {
                        *value = load(queries.add(q * len + at));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let stored = rows.add(r * job.stride + at);
                        if QUERIES == 1 {
                            // One query waits for memory: ask for the next tile while this one is summed.
                            prefetch(stored.wrapping_add(ROWS * job.stride));
                        }
                        let stored = load(stored);
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = step::<MEASURE>(*sum, stored, value);
                        }
                    }
                    at += LANES;
                }
            }
            let row_count = job.row_count();
            for (r, sums) in sums.iter().enumerate() {
                for (q, &total) in sums.iter().enumerate() {
                    out[(query + q) * row_count + row + r] = sum(total);
                }
            }
        }
    };
}
