//! AVX-512: sixteen values a step.

use super::{Element, Job, Measure};
use std::arch::x86_64::*;

const LANES: usize = 16;

#[inline]
#[target_feature(enable = "avx512f")]
fn zero() -> __m512 {
    _mm512_setzero_ps()
}

/// # Safety
/// `LANES` values must be readable at `from`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load<E: Element>(from: *const E) -> __m512 {
    // SAFETY: the caller's promise; both loads are unaligned ones.
    unsafe { if E::HALF { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) } else { _mm512_loadu_ps(from.cast()) } }
}

/// Any address will do: nothing is read that the program could notice.
#[inline]
#[target_feature(enable = "avx512f")]
fn prefetch<E>(at: *const E) {
    _mm_prefetch::<_MM_HINT_T0>(at.cast())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn step<const MEASURE: u8>(sum: __m512, row: __m512, query: __m512) -> __m512 {
    if MEASURE == Measure::Dot as u8 {
        return _mm512_fmadd_ps(row, query, sum);
    }
    let above =
        if MEASURE == Measure::RowAboveQuery as u8 { _mm512_sub_ps(row, query) } else { _mm512_sub_ps(query, row) };
    let above = _mm512_max_ps(above, _mm512_setzero_ps());
    _mm512_fmadd_ps(above, above, sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sum(lanes: __m512) -> f32 {
    _mm512_reduce_add_ps(lanes)
}

tiled_kernel!("avx512f", 4 rows, 4 queries, 1 alone);
