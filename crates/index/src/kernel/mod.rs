//! Dot products and order violations of many stored rows with `f32` queries.
//!
//! The instruction set is found once at run time ([`Kernel::best`]). Results of one kernel do not depend on how rows
//! and queries are grouped nor on the number of threads; two kernels differ in the last bits.

#[macro_use]
mod tile;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod element;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

pub use element::Element;
pub use matrix::score_matrix;

use gxn_base::{Modality, Similarity};
use std::ops::Range;
use std::sync::OnceLock;

/// What is summed over the values `a` of a row and `b` of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Measure {
    /// Σ a·b. Larger is closer.
    Dot,
    /// Σ max(0, a − b)²: how far the row rises above the query. Smaller is closer.
    RowAboveQuery,
    /// Σ max(0, b − a)²: how far the query rises above the row. Smaller is closer.
    QueryAboveRow,
}

impl Measure {
    /// What a kernel sums when the stored rows are of `rows_are` and the query of the other modality.
    pub fn of(similarity: Similarity, rows_are: Modality) -> Self {
        match (similarity, rows_are) {
            (Similarity::Cosine, _) => Self::Dot,
            (Similarity::Order, Modality::Image) | (Similarity::OrderReversed, Modality::Text) => Self::RowAboveQuery,
            (Similarity::Order, Modality::Text) | (Similarity::OrderReversed, Modality::Image) => Self::QueryAboveRow,
        }
    }
}

/// One choice of instruction set, present on this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Isa);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl Kernel {
    /// The fastest kernel of this processor; found at the first call.
    pub fn best() -> Self {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// Every kernel that runs here, fastest first; the last is [`Kernel::scalar`].
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                found.push(Self(Isa::Avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                found.push(Self(Isa::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Self(Isa::Neon));
        }
        found.push(Self::scalar());
        found
    }

    /// The plain loops.
    pub fn scalar() -> Self {
        Self(Isa::Scalar)
    }

    /// `avx512`, `avx2`, `neon` or `scalar`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            Isa::Scalar => "scalar",
        }
    }

    /// The measure of one row with one query.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn pair<E: Element>(self, measure: Measure, row: &[E], query: &[f32]) -> f32 {
        assert_eq!(row.len(), query.len(), "row and query must have equal lengths");
        let mut out = [0.0];
        if !row.is_empty() {
            self.block(measure, row, row.len(), 0..row.len(), query, &mut out);
        }
        out[0]
    }

    /// Every row with every query, on this thread: fills `out[query * row_count + row]`.
    ///
    /// `rows` is `[row_count, stride]`; only the columns in `part` are compared; `queries` is
    /// `[query_count, part.len()]`. For best speed the rows given at once fit the second-level cache.
    ///
    /// # Panics
    /// If the lengths do not agree, or `part` is empty.
    pub fn block<E: Element>(
        self,
        measure: Measure,
        rows: &[E],
        stride: usize,
        part: Range<usize>,
        queries: &[f32],
        out: &mut [f32],
    ) {
        let job = Job { measure, rows, stride, start: part.start, len: part.len(), queries };
        job.check(part.end, out);
        if out.is_empty() {
            return;
        }
        // SAFETY: a `Kernel` of an instruction set is made only where it was detected; the job was checked above.
        #[allow(unused_unsafe)]
        unsafe {
            match (self.0, measure) {
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512, Measure::Dot) => avx512::block::<E, { Measure::Dot as u8 }>(&job, out),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512, Measure::RowAboveQuery) => {
                    avx512::block::<E, { Measure::RowAboveQuery as u8 }>(&job, out)
                }
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512, Measure::QueryAboveRow) => {
                    avx512::block::<E, { Measure::QueryAboveRow as u8 }>(&job, out)
                }
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx2, Measure::Dot) => avx2::block::<E, { Measure::Dot as u8 }>(&job, out),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx2, Measure::RowAboveQuery) => avx2::block::<E, { Measure::RowAboveQuery as u8 }>(&job, out),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx2, Measure::QueryAboveRow) => avx2::block::<E, { Measure::QueryAboveRow as u8 }>(&job, out),
                #[cfg(target_arch = "aarch64")]
                (Isa::Neon, Measure::Dot) => neon::block::<E, { Measure::Dot as u8 }>(&job, out),
                #[cfg(target_arch = "aarch64")]
                (Isa::Neon, Measure::RowAboveQuery) => neon::block::<E, { Measure::RowAboveQuery as u8 }>(&job, out),
                #[cfg(target_arch = "aarch64")]
                (Isa::Neon, Measure::QueryAboveRow) => neon::block::<E, { Measure::QueryAboveRow as u8 }>(&job, out),
                (Isa::Scalar, _) => scalar::block(&job, out),
            }
        }
    }
}

/// The arguments of one block, checked before any pointer is formed.
struct Job<'a, E> {
    measure: Measure,
    rows: &'a [E],
    stride: usize,
    start: usize,
    len: usize,
    queries: &'a [f32],
}

impl<E> Job<'_, E> {
    fn row_count(&self) -> usize {
        self.rows.len() / self.stride
    }

    fn query_count(&self) -> usize {
        self.queries.len() / self.len
    }

    /// Fills `out[query * row_count + row]` pair by pair.
    fn fill(&self, out: &mut [f32], pair: impl Fn(&[E], &[f32], Measure) -> f32) {
        let row_count = self.row_count();
        for (query, out) in self.queries.chunks_exact(self.len).zip(out.chunks_exact_mut(row_count)) {
            for (row, out) in self.rows.chunks_exact(self.stride).zip(out) {
                *out = pair(&row[self.start..self.start + self.len], query, self.measure);
            }
        }
    }

    /// Adds the columns from `from` on, too few for a vector, to what `out` holds.
    #[inline(never)]
    fn add_rest(&self, from: usize, out: &mut [f32], pair: impl Fn(&[E], &[f32], Measure) -> f32) {
        let row_count = self.row_count();
        for (query, out) in self.queries.chunks_exact(self.len).zip(out.chunks_exact_mut(row_count)) {
            for (row, out) in self.rows.chunks_exact(self.stride).zip(out) {
                *out += pair(&row[self.start + from..self.start + self.len], &query[from..], self.measure);
            }
        }
    }

    fn check(&self, end: usize, out: &[f32]) {
        assert!(self.len > 0, "no columns to compare");
        assert!(end <= self.stride, "columns up to {end} of rows with {} columns", self.stride);
        assert_eq!(self.rows.len() % self.stride, 0, "rows must be whole");
        assert_eq!(self.queries.len() % self.len, 0, "queries must be whole");
        assert_eq!(out.len(), self.row_count() * self.query_count(), "out must be [query_count, row_count]");
    }
}

/// How many rows of `row_bytes` bytes a thread takes at once: a quarter of a MiB, which the second-level cache of every
/// processor of the last ten years holds beside a group of queries.
pub(crate) fn block_rows(row_bytes: usize) -> usize {
    ((256 << 10) / row_bytes.max(1)).clamp(8, 4096)
}
