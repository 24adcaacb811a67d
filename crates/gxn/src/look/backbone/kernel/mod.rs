//! Convolution kernels over channels-last maps, forwards and backwards.
//!
//! | kernel | forwards | backwards |
//! |---|---|---|
//! | [`Dense`] | any kernel side, 1×1 included | gradient of the input, with turned and transposed weights |
//! | [`Depthwise`] | one channel at a time | gradient of the input, with turned weights |
//! | [`Outer`] | | gradient of the weights of a dense convolution, and of biases |
//! | [`DepthwiseOuter`] | | gradient of the weights of a depthwise convolution |
//!
//! Channels are padded to sixteen, so that no kernel has a masked edge. All run on one thread: images, not pixels,
//! are spread over the cores. NaN in the input is not preserved by the clamp.

mod dense;
mod depthwise;
mod outer;
#[cfg(test)]
mod tests;

pub(super) use dense::Dense;
pub(super) use depthwise::{Depthwise, DepthwiseOuter};
pub(super) use outer::Outer;

/// Channels in one panel of weights; maps are padded to a multiple of it.
pub(super) const PANEL: usize = 16;

/// What passes an activation backwards: the result is zero where the activation's output was at one of its bounds.
#[derive(Clone, Copy)]
pub(super) struct Mask<'a> {
    /// Outputs of the activation; the first belongs to the first output pixel.
    pub values: &'a [f32],
    /// Floats from one row, and one pixel, to the next.
    pub step: [usize; 2],
    /// The activation's bounds.
    pub bounds: [f32; 2],
}

impl Mask<'_> {
    fn assert_covers(&self, [rows, columns]: [usize; 2], channels: usize) {
        let reach = (rows - 1) * self.step[0] + (columns - 1) * self.step[1] + channels;
        assert!(self.values.len() >= reach, "mask too short");
    }
}

/// Defines `unsafe fn $name(job, instructions, out)`: `$body`, compiled for each instruction set with its tile sizes.
macro_rules! for_each_instruction_set {
    ($name:ident, $job:ident, $body:ident, [$($avx512:literal),*], [$($avx2:literal),*], [$($portable:literal),*]) => {
        unsafe fn $name(job: &$job<'_>, instructions: Instructions, out: *mut f32) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512(job: &$job<'_>, out: *mut f32) {
                // SAFETY: the caller's.
                unsafe { $body::<gxn_ops::simd16::Avx512, $($avx512),*>(job, out) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2(job: &$job<'_>, out: *mut f32) {
                // SAFETY: the caller's.
                unsafe { $body::<gxn_ops::simd16::Avx2, $($avx2),*>(job, out) }
            }
            match instructions {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the caller checked every access; the instructions were detected.
                Instructions::Avx512 => unsafe { avx512(job, out) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the caller checked every access; the instructions were detected.
                Instructions::Avx2 => unsafe { avx2(job, out) },
                // SAFETY: the caller checked every access.
                Instructions::Portable => unsafe { $body::<gxn_ops::simd16::Portable, $($portable),*>(job, out) },
            }
        }
    };
}
use for_each_instruction_set;

/// Calls the tile that was compiled for exactly this many pixels.
macro_rules! by_size {
    ($size:expr, $($n:literal)*, $call:ident, $lanes:ty, [$($more:tt)*], $arguments:tt) => {
        by_size!(@ $size, [$($n)*], $call, $lanes, [$($more)*], $arguments)
    };
    (@ $size:expr, [$($n:literal)*], $call:ident, $lanes:ty, $more:tt, $arguments:tt) => {
        match $size {
            $($n => by_size!(@@ $call, $lanes, $n, $more, $arguments),)*
            _ => unreachable!("a tile has at most nine pixels"),
        }
    };
    (@@ $call:ident, $lanes:ty, $n:literal, [$($more:tt)*], $arguments:tt) => {
        $call::<$lanes, $n $($more)*> $arguments
    };
}

use by_size;
