//! The two inner loops of all convolutions. Each vector holds one pixel of sixteen images.

#[cfg(target_arch = "x86_64")]
use crate::simd16::{Avx2, Avx512};
use crate::simd16::{Instructions, Lanes, Portable, pieces};

/// Images side by side.
pub(super) const LANES: usize = 16;
/// Channels of the result that one tile holds in registers.
pub(super) const CHANNELS: usize = 6;
/// Pixels, or taps, that one tile holds in registers where there are 32 of them; elsewhere one.
pub(super) const WIDTH: usize = 4;

/// A row of output pixels in up to six channels: `out += Σ_channels Σ_taps input · weight`.
pub(super) struct Row<'a> {
    /// From the first tap of the first pixel in the first channel.
    pub input: &'a [f32],
    /// Floats from one channel, one row, and one output pixel's first tap, to the next.
    pub plane: usize,
    pub line: usize,
    pub step: usize,
    /// Input channels and taps.
    pub channels: usize,
    pub taps: [usize; 2],
    /// `[channels, taps, taps, out_channels]`.
    pub weights: &'a [f32],
    pub out_channels: usize,
    pub pixels: usize,
    /// Floats from one output channel, and one output pixel, to the next.
    pub out_plane: usize,
    pub out_step: usize,
}

impl Row<'_> {
    /// Adds the sums to `out`, whose first element is the first pixel in the first channel.
    ///
    /// # Panics
    /// When a slice is too short for the counts and steps.
    pub fn run(&self, instructions: Instructions, out: &mut [f32]) {
        let [down, across] = self.taps;
        if self.pixels == 0 || self.channels * down * across == 0 || self.out_channels == 0 {
            return;
        }
        assert!(self.out_channels <= CHANNELS, "more channels than a tile holds");
        let reach = (self.channels - 1) * self.plane + (down - 1) * self.line + (across - 1) * LANES;
        assert!(self.input.len() >= reach + (self.pixels - 1) * self.step + LANES, "input too short");
        assert_eq!(self.weights.len(), self.channels * down * across * self.out_channels, "weights");
        let reach = (self.out_channels - 1) * self.out_plane + (self.pixels - 1) * self.out_step;
        assert!(out.len() >= reach + LANES, "output too short");
        match instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx512 => unsafe { row_avx512(self, out.as_mut_ptr()) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx2 => unsafe { row_avx2(self, out.as_mut_ptr()) },
            // SAFETY: the assertions above bound every access.
            Instructions::Portable => unsafe { row::<Portable, 1>(self, out.as_mut_ptr()) },
        }
    }
}

/// Products of two maps, summed over pixels but not over images: `out[channel, tap] += Σ_pixels small · large`.
pub(super) struct Correlation<'a> {
    /// From the first pixel in the first channel.
    pub small: &'a [f32],
    pub small_plane: usize,
    pub small_line: usize,
    /// From the first tap of the first pixel.
    pub large: &'a [f32],
    /// Floats from one pixel's first tap to the next one's, down and across.
    pub large_steps: [usize; 2],
    /// Floats from the first tap to each tap.
    pub taps: &'a [usize],
    /// Channels of the small map, at most six.
    pub channels: usize,
    pub pixels: [usize; 2],
    /// Blocks of images, and floats from one to the next in both maps.
    pub blocks: usize,
    pub block_steps: [usize; 2],
}

impl Correlation<'_> {
    /// Adds the sums to `out` `[channels, taps, 16]`.
    ///
    /// # Panics
    /// When a slice is too short for the counts and steps.
    pub fn run(&self, instructions: Instructions, out: &mut [f32]) {
        let [rows, columns] = self.pixels;
        if self.blocks * rows * columns * self.channels * self.taps.len() == 0 {
            return;
        }
        assert!(self.channels <= CHANNELS, "more channels than a tile holds");
        let [small_last, large_last] = self.block_steps.map(|step| (self.blocks - 1) * step);
        let reach = (self.channels - 1) * self.small_plane + (rows - 1) * self.small_line + columns * LANES;
        assert!(self.small.len() >= small_last + reach, "small map too short");
        let tap = self.taps.iter().max().expect("there is a tap");
        let reach = tap + (rows - 1) * self.large_steps[0] + (columns - 1) * self.large_steps[1] + LANES;
        assert!(self.large.len() >= large_last + reach, "large map too short");
        assert!(out.len() >= self.channels * self.taps.len() * LANES, "sums too short");
        match instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx512 => unsafe { correlation_avx512(self, out.as_mut_ptr()) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx2 => unsafe { correlation_avx2(self, out.as_mut_ptr()) },
            // SAFETY: the assertions above bound every access.
            Instructions::Portable => unsafe { correlation::<Portable, 1>(self, out.as_mut_ptr()) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn row_avx512(job: &Row, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe { row::<Avx512, WIDTH>(job, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn row_avx2(job: &Row, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe { row::<Avx2, 1>(job, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn correlation_avx512(job: &Correlation, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe { correlation::<Avx512, WIDTH>(job, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn correlation_avx2(job: &Correlation, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe { correlation::<Avx2, 1>(job, out) }
}

/// Calls the tile that was compiled for exactly so many channels and so many pixels or taps.
macro_rules! by_size {
    ($tile:ident, $lanes:ty, $most:expr, $channels:expr, $width:expr, $arguments:tt) => {
        match $channels {
            1 => by_size!(@ $tile, $lanes, $most, 1, $width, $arguments),
            2 => by_size!(@ $tile, $lanes, $most, 2, $width, $arguments),
            3 => by_size!(@ $tile, $lanes, $most, 3, $width, $arguments),
            4 => by_size!(@ $tile, $lanes, $most, 4, $width, $arguments),
            5 => by_size!(@ $tile, $lanes, $most, 5, $width, $arguments),
            6 => by_size!(@ $tile, $lanes, $most, 6, $width, $arguments),
            _ => unreachable!("a tile has one to six channels"),
        }
    };
    (@ $tile:ident, $lanes:ty, $most:expr, $channels:literal, $width:expr, $arguments:tt) => {
        match $width {
            1 => by_size!(@@ $tile, $lanes, $channels, 1, $arguments),
            2 if $most > 1 => by_size!(@@ $tile, $lanes, $channels, 2, $arguments),
            3 if $most > 1 => by_size!(@@ $tile, $lanes, $channels, 3, $arguments),
            4 if $most > 1 => by_size!(@@ $tile, $lanes, $channels, 4, $arguments),
            _ => unreachable!("a tile is one to four wide"),
        }
    };
    (@@ $tile:ident, $lanes:ty, $channels:literal, $width:literal, $arguments:tt) => {
        $tile::<$lanes, $channels, $width> $arguments
    };
}

#[inline(always)]
unsafe fn row<V: Lanes, const MOST: usize>(job: &Row, out: *mut f32) {
    for (pixel, width) in pieces(job.pixels, MOST) {
        // SAFETY: bounds were checked by `Row::run`.
        unsafe {
            let input = job.input.as_ptr().add(pixel * job.step);
            let out = out.add(pixel * job.out_step);
            by_size!(row_tile, V, MOST, job.out_channels, width, (job, input, out));
        }
    }
}

#[inline(always)]
unsafe fn row_tile<V: Lanes, const C: usize, const P: usize>(job: &Row, input: *const f32, out: *mut f32) {
    let (step, out_plane, out_step) = (job.step, job.out_plane, job.out_step);
    let [down, across] = job.taps;
    // SAFETY: bounds were checked by `Row::run`.
    unsafe {
        let mut sums: [[V; P]; C] =
            std::array::from_fn(|c| std::array::from_fn(|p| V::load(out.add(c * out_plane + p * out_step))));
        let mut weights = job.weights.as_ptr();
        for channel in 0..job.channels {
            for y in 0..down {
                let mut input = input.add(channel * job.plane + y * job.line);
                for _ in 0..across {
                    let values: [V; P] = std::array::from_fn(|p| V::load(input.add(p * step)));
                    for (c, sums) in sums.iter_mut().enumerate() {
                        let weight = V::splat(*weights.add(c));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = value.mul_add(weight, *sum);
                        }
                    }
                    weights = weights.add(C);
                    input = input.add(LANES);
                }
            }
        }
        for (c, sums) in sums.into_iter().enumerate() {
            for (p, sum) in sums.into_iter().enumerate() {
                sum.store(out.add(c * out_plane + p * out_step));
            }
        }
    }
}

#[inline(always)]
unsafe fn correlation<V: Lanes, const MOST: usize>(job: &Correlation, out: *mut f32) {
    for (tap, width) in pieces(job.taps.len(), MOST) {
        // SAFETY: bounds were checked by `Correlation::run`.
        unsafe {
            let out = out.add(tap * LANES);
            by_size!(correlation_tile, V, MOST, job.channels, width, (job, tap, out));
        }
    }
}

#[inline(always)]
unsafe fn correlation_tile<V: Lanes, const C: usize, const T: usize>(job: &Correlation, tap: usize, out: *mut f32) {
    let out_line = job.taps.len() * LANES;
    let (small_plane, step) = (job.small_plane, job.large_steps[1]);
    // SAFETY: bounds were checked by `Correlation::run`.
    unsafe {
        let mut sums: [[V; T]; C] =
            std::array::from_fn(|c| std::array::from_fn(|t| V::load(out.add(c * out_line + t * LANES))));
        for (block, y) in (0..job.blocks).flat_map(|block| (0..job.pixels[0]).map(move |y| (block, y))) {
            let mut small = job.small.as_ptr().add(block * job.block_steps[0] + y * job.small_line);
            let large = job.large.as_ptr().add(block * job.block_steps[1] + y * job.large_steps[0]);
            let mut large: [*const f32; T] = std::array::from_fn(|t| large.add(job.taps[tap + t]));
            for _ in 0..job.pixels[1] {
                let values: [V; T] = large.map(|large| V::load(large));
                for (c, sums) in sums.iter_mut().enumerate() {
                    let factor = V::load(small.add(c * small_plane));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = value.mul_add(factor, *sum);
                    }
                }
                small = small.wrapping_add(LANES);
                large = large.map(|large| large.wrapping_add(step));
            }
        }
        for (c, sums) in sums.into_iter().enumerate() {
            for (t, sum) in sums.into_iter().enumerate() {
                sum.store(out.add(c * out_line + t * LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|k| ((k * 7919 + 13) % 101) as f32 - 50.0).collect()
    }

    /// Small whole numbers, whose sums are exact in any order.
    #[test]
    fn every_instruction_set_gives_the_definition() {
        let (channels, plane, line) = (3, 40 * LANES, 8 * LANES);
        let input = numbers(channels * plane);
        for (out_channels, pixels) in (1..=CHANNELS).flat_map(|c| (1..=6).map(move |pixels| (c, pixels))) {
            let taps = [2, 3];
            let weights = numbers(channels * 6 * out_channels);
            let start = numbers(out_channels * pixels * LANES);
            let mut expected = start.clone();
            for (at, sum) in expected.iter_mut().enumerate() {
                let (c, pixel, lane) = (at / LANES / pixels, at / LANES % pixels, at % LANES);
                for (channel, tap) in (0..channels).flat_map(|channel| (0..6).map(move |tap| (channel, tap))) {
                    let from = channel * plane + tap / 3 * line + (tap % 3 + pixel) * LANES + lane;
                    *sum += input[from] * weights[(channel * 6 + tap) * out_channels + c];
                }
            }
            let out_plane = pixels * LANES;
            let job = Row {
                input: &input,
                plane,
                line,
                step: LANES,
                channels,
                taps,
                weights: &weights,
                out_channels,
                pixels,
                out_plane,
                out_step: LANES,
            };
            for instructions in Instructions::available() {
                let mut out = start.clone();
                job.run(instructions, &mut out);
                assert_eq!(out, expected, "{instructions:?}: {out_channels} channels, {pixels} pixels");
            }
        }
    }

    #[test]
    fn every_instruction_set_correlates() {
        let (plane, line) = (12 * LANES, 4 * LANES);
        let small = numbers(2 * CHANNELS * plane);
        let large = numbers(2 * 40 * LANES);
        let offsets = [0, LANES, 8 * LANES, 9 * LANES, 2 * LANES];
        for (channels, taps) in (1..=CHANNELS).flat_map(|c| (1..=5).map(move |taps| (c, taps))) {
            let taps = &offsets[..taps];
            let mut expected = vec![1.0; channels * taps.len() * LANES];
            for (at, sum) in expected.iter_mut().enumerate() {
                let (c, tap, lane) = (at / LANES / taps.len(), at / LANES % taps.len(), at % LANES);
                for (block, y, x) in (0..2).flat_map(|b| (0..2).flat_map(move |y| (0..3).map(move |x| (b, y, x)))) {
                    let a = small[block * CHANNELS * plane + c * plane + y * line + x * LANES + lane];
                    *sum += a * large[block * 40 * LANES + taps[tap] + y * 16 * LANES + 2 * x * LANES + lane];
                }
            }
            let job = Correlation {
                small: &small,
                small_plane: plane,
                small_line: line,
                large: &large,
                large_steps: [16 * LANES, 2 * LANES],
                taps,
                channels,
                pixels: [2, 3],
                blocks: 2,
                block_steps: [CHANNELS * plane, 40 * LANES],
            };
            for instructions in Instructions::available() {
                let mut out = vec![1.0; expected.len()];
                job.run(instructions, &mut out);
                assert_eq!(out, expected, "{instructions:?}: {channels} channels, {} taps", taps.len());
            }
        }
    }
}
