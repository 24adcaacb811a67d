//! NEON: four values a step.

use super::{Element, Job, Measure};
use std::arch::aarch64::*;

const LANES: usize = 4;

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> float32x4_t {
    vdupq_n_f32(0.0)
}

/// # Safety
/// `LANES` values must be readable at `from`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load<E: Element>(from: *const E) -> float32x4_t {
    if !E::HALF {
        // SAFETY: the caller's promise.
        return unsafe { vld1q_f32(from.cast()) };
    }
    // SAFETY: the caller's promise.
    let bits = vmovl_u16(unsafe { vld1_u16(from.cast()) });
    let sign = vshlq_n_u32::<16>(vandq_u32(bits, vdupq_n_u32(0x8000)));
    let magnitude = vshlq_n_u32::<13>(vandq_u32(bits, vdupq_n_u32(0x7fff)));
    // The exponents' biases differ by 127 - 15; the product is exact and covers subnormal values. Stored rows hold
    // neither infinities nor NaN, which this would misread.
    let scaled = vmulq_f32(vreinterpretq_f32_u32(magnitude), vdupq_n_f32(f32::from_bits((127 + 112) << 23)));
    vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(scaled), sign))
}

/// The intrinsic is not stable.
#[inline]
fn prefetch<E>(_: *const E) {}

#[inline]
#[target_feature(enable = "neon")]
fn step<const MEASURE: u8>(sum: float32x4_t, row: float32x4_t, query: float32x4_t) -> float32x4_t {
    if MEASURE == Measure::Dot as u8 {
        return vfmaq_f32(sum, row, query);
    }
    let above = if MEASURE == Measure::RowAboveQuery as u8 { vsubq_f32(row, query) } else { vsubq_f32(query, row) };
    let above = vmaxq_f32(above, vdupq_n_f32(0.0));
    vfmaq_f32(sum, above, above)
}

#[inline]
#[target_feature(enable = "neon")]
fn sum(lanes: float32x4_t) -> f32 {
    vaddvq_f32(lanes)
}

tiled_kernel!("neon", 4 rows, 4 queries, 4 alone);
