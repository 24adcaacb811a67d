//! AVX-512 with VNNI: 64 codes a step.

use super::{Job, Measure};
use std::arch::x86_64::*;

const LANES: usize = 64;
/// The product takes one side without a sign: its codes are raised by 128.
const BIAS: i32 = 128;

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn zero() -> __m512i {
    _mm512_setzero_si512()
}

/// # Safety
/// `LANES` codes must be readable at `from`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn load(from: *const i8) -> __m512i {
    // SAFETY: the caller's promise; the load is an unaligned one.
    unsafe { _mm512_loadu_si512(from.cast()) }
}

/// Any address will do: nothing is read that the program could notice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn prefetch(at: *const i8) {
    _mm_prefetch::<_MM_HINT_T0>(at)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn step<const MEASURE: u8>(sum: __m512i, row: __m512i, query: __m512i) -> __m512i {
    let sign = _mm512_set1_epi8(i8::MIN);
    let raised = _mm512_xor_si512(row, sign);
    if MEASURE == Measure::Dot as u8 {
        return _mm512_dpbusd_epi32(sum, raised, query);
    }
    // Both raised, a subtraction that stops at zero is max(0, a − b).
    let query = _mm512_xor_si512(query, sign);
    let above = if MEASURE == Measure::RowAboveQuery as u8 {
        _mm512_subs_epu8(raised, query)
    } else {
        _mm512_subs_epu8(query, raised)
    };
    let low = _mm512_unpacklo_epi8(above, _mm512_setzero_si512());
    let high = _mm512_unpackhi_epi8(above, _mm512_setzero_si512());
    _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sum, low, low), high, high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sum(lanes: __m512i) -> i32 {
    _mm512_reduce_add_epi32(lanes)
}

tiled_code_kernel!("avx512f,avx512bw,avx512vnni", 4 rows, 4 queries);
