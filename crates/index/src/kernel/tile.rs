//! The loops that all vector kernels share; each instruction set brings a handful of primitives.

/// How far ahead of the sums memory is prefetched, at least a row and a tile.
pub(super) const AHEAD_BYTES: usize = 8192;

/// Writes `block`, `tiles` and `tile` for one instruction set, from its `LANES`, `zero`, `load`, `prefetch`, `step` and
/// `sum`.
///
/// One query is compared with `alone` rows at a time where it is multiplied only: where vectors are so wide that one sum keeps
/// up with memory, a single row after the other is read fastest, because memory is then read in line.
///
/// Every (row, query) pair has a single accumulator whatever the tile's shape, so one query alone and the same query
/// among a thousand give the same bits.
macro_rules! tiled_kernel {
    ($features:tt, $rows:tt rows, $queries:tt queries, $alone:tt alone) => {
        /// Fills `out[query * row_count + row]`.
        ///
        /// # Safety
        /// The processor must have the features, and `job.check(out)` must have passed.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn block<E: Element, const MEASURE: u8>(job: &Job<'_, E>, out: &mut [f32]) {
            // SAFETY: the caller's promise.
            unsafe { tiles::<E, MEASURE>(job, out) }
            let whole = job.len - job.len % LANES;
            if whole < job.len {
                // Only now, with the sums out of the registers: anything that looks like a call keeps the compiler
                // from holding them there through the loop.
                job.add_rest(whole, out, super::scalar::pair);
            }
        }

        /// The sums over the columns that fill whole vectors.
        ///
        /// # Safety
        /// As [`block`].
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn tiles<E: Element, const MEASURE: u8>(job: &Job<'_, E>, out: &mut [f32]) {
            let (row_count, query_count) = (job.row_count(), job.query_count());
            let mut query = 0;
            while query < query_count {
                // The group of queries stays in the first cache while the block of rows streams past.
                let wide = query_count - query >= $queries;
                let in_line = !wide && MEASURE == Measure::Dot as u8;
                let height = if in_line { $alone } else { $rows };
                let mut row = 0;
                while row < row_count {
                    let tall = row_count - row >= height;
                    // SAFETY: a tile is taken only where that many rows and queries are left.
                    unsafe {
                        match (tall, wide) {
                            (true, true) => tile::<E, MEASURE, $rows, $queries>(job, row, query, out),
                            (true, false) if in_line => tile::<E, MEASURE, $alone, 1>(job, row, query, out),
                            (true, false) => tile::<E, MEASURE, $rows, 1>(job, row, query, out),
                            (false, true) => tile::<E, MEASURE, 1, $queries>(job, row, query, out),
                            (false, false) => tile::<E, MEASURE, 1, 1>(job, row, query, out),
                        }
                    }
                    row += if tall { height } else { 1 };
                }
                query += if wide { $queries } else { 1 };
            }
        }

        /// The sums of some rows with some queries.
        ///
        /// # Safety
        /// As [`block`], and rows `row..row + ROWS` and queries `query..query + QUERIES` must exist.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn tile<E: Element, const MEASURE: u8, const ROWS: usize, const QUERIES: usize>(
            job: &Job<'_, E>,
            row: usize,
            query: usize,
            out: &mut [f32],
        ) {
            let len = job.len;
            let whole = len - len % LANES;
            let mut sums = [[zero(); QUERIES]; ROWS];
            // SAFETY: the rows and queries exist, and each holds `len` values from where its pointer starts
            // (`Job::check`); `at + LANES <= len` in the loop.
            unsafe {
                let rows = job.rows.as_ptr().add(row * job.stride + job.start);
                let queries = job.queries.as_ptr().add(query * len);
                let row_bytes = (job.stride * size_of::<E>()).max(1);
                let ahead = (super::tile::AHEAD_BYTES / row_bytes).max(ROWS) * job.stride;
                let mut at = 0;
                while at < whole {
                    let mut values = [zero(); QUERIES];
                    for (q, value) in values.iter_mut().enumerate() {
                        *value = load(queries.add(q * len + at));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let stored = rows.add(r * job.stride + at);
                        if QUERIES == 1 {
                            // One query waits for memory: ask for a next tile while this one is summed.
                            prefetch(stored.wrapping_add(ahead));
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
