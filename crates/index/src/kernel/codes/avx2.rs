//! AVX2: 32 codes a step.

use super::{Job, Measure};
use std::arch::x86_64::*;

const LANES: usize = 32;
const BIAS: i32 = 0;

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> __m256i {
    _mm256_setzero_si256()
}

/// # Safety
/// `LANES` codes must be readable at `from`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const i8) -> __m256i {
    // SAFETY: the caller's promise; the load is an unaligned one.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// Any address will do: nothing is read that the program could notice.
#[inline]
#[target_feature(enable = "avx2")]
fn prefetch(at: *const i8) {
    _mm_prefetch::<_MM_HINT_T0>(at)
}

#[inline]
#[target_feature(enable = "avx2")]
fn step<const MEASURE: u8>(sum: __m256i, row: __m256i, query: __m256i) -> __m256i {
    if MEASURE == Measure::Dot as u8 {
        // The shorter instruction for bytes would saturate.
        let low = |v| _mm256_cvtepi8_epi16(_mm256_castsi256_si128(v));
        let high = |v| _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(v));
        let products =
            _mm256_add_epi32(_mm256_madd_epi16(low(row), low(query)), _mm256_madd_epi16(high(row), high(query)));
        return _mm256_add_epi32(sum, products);
    }
    // Both raised by 128, a subtraction that stops at zero is max(0, a − b).
    let sign = _mm256_set1_epi8(i8::MIN);
    let (row, query) = (_mm256_xor_si256(row, sign), _mm256_xor_si256(query, sign));
    let above = if MEASURE == Measure::RowAboveQuery as u8 {
        _mm256_subs_epu8(row, query)
    } else {
        _mm256_subs_epu8(query, row)
    };
    let low = _mm256_unpacklo_epi8(above, _mm256_setzero_si256());
    let high = _mm256_unpackhi_epi8(above, _mm256_setzero_si256());
    let squares = _mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high));
    _mm256_add_epi32(sum, squares)
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum(lanes: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
}

// Sixteen registers: a taller tile would spill its sums.
tiled_code_kernel!("avx2", 4 rows, 2 queries);
