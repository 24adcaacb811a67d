//! AVX2 with FMA and F16C: eight values a step.

use super::{Element, Job, Measure};
use std::arch::x86_64::*;

const LANES: usize = 8;

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn zero() -> __m256 {
    _mm256_setzero_ps()
}

/// # Safety
/// `LANES` values must be readable at `from`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load<E: Element>(from: *const E) -> __m256 {
    // SAFETY: the caller's promise; both loads are unaligned ones.
    unsafe { if E::HALF { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) } else { _mm256_loadu_ps(from.cast()) } }
}

/// Any address will do: nothing is read that the program could notice.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch<E>(at: *const E) {
    _mm_prefetch::<_MM_HINT_T0>(at.cast())
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn step<const MEASURE: u8>(sum: __m256, row: __m256, query: __m256) -> __m256 {
    if MEASURE == Measure::Dot as u8 {
        return _mm256_fmadd_ps(row, query, sum);
    }
    let above =
        if MEASURE == Measure::RowAboveQuery as u8 { _mm256_sub_ps(row, query) } else { _mm256_sub_ps(query, row) };
    let above = _mm256_max_ps(above, _mm256_setzero_ps());
    _mm256_fmadd_ps(above, above, sum)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

// Sixteen registers: a taller tile would spill its sums.
tiled_kernel!("avx2,fma,f16c", 4 rows, 2 queries, 4 alone);
