//! Dot products and order violations of rows of 8-bit codes with queries of such codes. All sums are exact integers,
//! so every kernel gives the same.

#[macro_use]
mod tile;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

use super::{Block, Measure};
use std::ops::Range;
use std::sync::OnceLock;

/// Most columns that can be compared at once: 255² · 32768 still fits an `i32`.
pub const MOST_COLUMNS: usize = 1 << 15;

/// Rows and queries of codes.
type Job<'a> = Block<'a, i8, i8>;

/// One choice of instruction set for codes, present on this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeKernel(Isa);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl CodeKernel {
    /// The fastest kernel of this processor; found at the first call.
    pub fn best() -> Self {
        static BEST: OnceLock<CodeKernel> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// Every kernel that runs here, fastest first; the last is the plain loops.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                found.push(Self(Isa::Avx512Vnni));
            }
            if is_x86_feature_detected!("avx2") {
                found.push(Self(Isa::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Self(Isa::Neon));
        }
        found.push(Self(Isa::Scalar));
        found
    }

    /// `avx512vnni`, `avx2`, `neon` or `scalar`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            Isa::Scalar => "scalar",
        }
    }

    /// Every row with every query, on this thread: fills `out[query * row_count + row]`.
    ///
    /// `rows` is `[row_count, stride]`; only the columns in `part` are compared; `queries` is
    /// `[query_count, part.len()]`.
    ///
    /// # Panics
    /// If the lengths do not agree, or `part` is empty or has more than [`MOST_COLUMNS`] columns.
    pub fn block(
        self,
        measure: Measure,
        rows: &[i8],
        stride: usize,
        part: Range<usize>,
        queries: &[i8],
        out: &mut [i32],
    ) {
        let job = Job { measure, rows, stride, start: part.start, len: part.len(), queries };
        job.check(part.end, out);
        assert!(job.len <= MOST_COLUMNS, "{} columns, of at most {MOST_COLUMNS}", job.len);
        if out.is_empty() {
            return;
        }
        match self.0 {
            // SAFETY: a `CodeKernel` of an instruction set is made only where it was detected; the job was checked.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe {
                match measure {
                    Measure::Dot => avx512::block::<{ Measure::Dot as u8 }>(&job, out),
                    Measure::RowAboveQuery => avx512::block::<{ Measure::RowAboveQuery as u8 }>(&job, out),
                    Measure::QueryAboveRow => avx512::block::<{ Measure::QueryAboveRow as u8 }>(&job, out),
                }
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe {
                match measure {
                    Measure::Dot => avx2::block::<{ Measure::Dot as u8 }>(&job, out),
                    Measure::RowAboveQuery => avx2::block::<{ Measure::RowAboveQuery as u8 }>(&job, out),
                    Measure::QueryAboveRow => avx2::block::<{ Measure::QueryAboveRow as u8 }>(&job, out),
                }
            },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => unsafe {
                match measure {
                    Measure::Dot => neon::block::<{ Measure::Dot as u8 }>(&job, out),
                    Measure::RowAboveQuery => neon::block::<{ Measure::RowAboveQuery as u8 }>(&job, out),
                    Measure::QueryAboveRow => neon::block::<{ Measure::QueryAboveRow as u8 }>(&job, out),
                }
            },
            Isa::Scalar => scalar::block(&job, out),
        }
    }
}
