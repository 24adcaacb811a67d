//! NEON: 16 codes a step. The sums lie in the same registers as the codes, as 32-bit lanes.

use super::{Job, Measure};
use std::arch::aarch64::*;

const LANES: usize = 16;
const BIAS: i32 = 0;

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> int8x16_t {
    vdupq_n_s8(0)
}

/// # Safety
/// `LANES` codes must be readable at `from`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(from: *const i8) -> int8x16_t {
    // SAFETY: the caller's promise.
    unsafe { vld1q_s8(from) }
}

/// The intrinsic is not stable.
#[inline]
fn prefetch(_: *const i8) {}

#[inline]
#[target_feature(enable = "neon")]
fn step<const MEASURE: u8>(sum: int8x16_t, row: int8x16_t, query: int8x16_t) -> int8x16_t {
    let sums = vreinterpretq_s32_s8(sum);
    if MEASURE == Measure::Dot as u8 {
        let low = vmull_s8(vget_low_s8(row), vget_low_s8(query));
        let high = vmull_high_s8(row, query);
        return vreinterpretq_s8_s32(vpadalq_s16(vpadalq_s16(sums, low), high));
    }
    // Both raised by 128, a subtraction that stops at zero is max(0, a − b).
    let raise = |v| veorq_u8(vreinterpretq_u8_s8(v), vdupq_n_u8(0x80));
    let (row, query) = (raise(row), raise(query));
    let above = if MEASURE == Measure::RowAboveQuery as u8 { vqsubq_u8(row, query) } else { vqsubq_u8(query, row) };
    let low = vmull_u8(vget_low_u8(above), vget_low_u8(above));
    let high = vmull_high_u8(above, above);
    let sums = vpadalq_u16(vpadalq_u16(vreinterpretq_u32_s32(sums), low), high);
    vreinterpretq_s8_u32(sums)
}

#[inline]
#[target_feature(enable = "neon")]
fn sum(lanes: int8x16_t) -> i32 {
    vaddvq_s32(vreinterpretq_s32_s8(lanes))
}

tiled_code_kernel!("neon", 4 rows, 4 queries);
