//! [`Depthwise`]: depthwise convolution, and [`DepthwiseOuter`]: the gradient of its weights.

use gxn_ops::simd16::{Instructions, Lanes, pieces};

use super::{Mask, PANEL, by_size, for_each_instruction_set};

/// One depthwise convolution.
pub(in crate::look::backbone) struct Depthwise<'a> {
    /// First element: the first kernel element of the first output pixel.
    pub input: &'a [f32],
    /// Output rows, and output pixels in each.
    pub extent: [usize; 2],
    /// Floats from one output row's input, and one output pixel's input, to the next one's.
    pub step: [usize; 2],
    /// Kernel rows and columns.
    pub taps: [usize; 2],
    /// Floats from one kernel row, and one kernel column, to the next.
    pub kernel_step: [usize; 2],
    /// Channels, a multiple of sixteen.
    pub channels: usize,
    /// `[rows · columns of the kernel, channels]`.
    pub weights: &'a [f32],
    /// `[channels]`.
    pub bias: &'a [f32],
    /// Smallest and largest output.
    pub clamp: [f32; 2],
    /// Applied last.
    pub mask: Option<Mask<'a>>,
    /// Floats from one output row, and one output pixel, to the next.
    pub out_step: [usize; 2],
}

impl Depthwise<'_> {
    /// Computes the convolution into `out`, whose first element is the first output pixel.
    ///
    /// # Panics
    /// When a slice is too short for the extents and steps.
    pub(in crate::look::backbone) fn run(&self, instructions: Instructions, out: &mut [f32]) {
        let [rows, columns] = self.extent;
        if rows == 0 || columns == 0 {
            return;
        }
        let reach = (rows - 1) * self.step[0]
            + (columns - 1) * self.step[1]
            + (self.taps[0] - 1) * self.kernel_step[0]
            + (self.taps[1] - 1) * self.kernel_step[1];
        assert!(self.input.len() >= reach + self.channels, "depthwise input too short");
        let out_reach = (rows - 1) * self.out_step[0] + (columns - 1) * self.out_step[1] + self.channels;
        assert!(out.len() >= out_reach, "depthwise output too short");
        assert!(self.channels.is_multiple_of(PANEL) && self.bias.len() == self.channels, "depthwise channels");
        assert_eq!(self.weights.len(), self.taps[0] * self.taps[1] * self.channels, "depthwise weights");
        self.mask.iter().for_each(|mask| mask.assert_covers(self.extent, self.channels));
        // SAFETY: the assertions above bound every access.
        unsafe { run(self, instructions, out.as_mut_ptr()) }
    }
}

for_each_instruction_set!(run, Depthwise, depthwise, [8], [6], [4]);

#[inline(always)]
unsafe fn depthwise<V: Lanes, const MOST: usize>(job: &Depthwise<'_>, out: *mut f32) {
    let [rows, columns] = job.extent;
    for row in 0..rows {
        for (column, size) in pieces(columns, MOST) {
            let from = row * job.step[0] + column * job.step[1];
            let to = row * job.out_step[0] + column * job.out_step[1];
            let place = job.mask.map_or(0, |mask| row * mask.step[0] + column * mask.step[1]);
            // SAFETY: bounds were checked by `Depthwise::run`.
            unsafe {
                by_size!(size, 1 2 3 4 5 6 7 8, depthwise_tile, V, [], (job, from, to, place, out));
            }
        }
    }
}

#[inline(always)]
unsafe fn depthwise_tile<V: Lanes, const PIXELS: usize>(
    job: &Depthwise<'_>,
    from: usize,
    to: usize,
    place: usize,
    out: *mut f32,
) {
    // SAFETY: bounds were checked by `Depthwise::run`.
    unsafe {
        let (low, high) = (V::splat(job.clamp[0]), V::splat(job.clamp[1]));
        for channel in (0..job.channels).step_by(PANEL) {
            let mut sums = [V::load(job.bias.as_ptr().add(channel)); PIXELS];
            let mut weights = job.weights.as_ptr().add(channel);
            for y in 0..job.taps[0] {
                let mut input = job.input.as_ptr().add(from + y * job.kernel_step[0] + channel);
                for _ in 0..job.taps[1] {
                    let weight = V::load(weights);
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = V::load(input.add(pixel * job.step[1])).mul_add(weight, *sum);
                    }
                    weights = weights.add(job.channels);
                    input = input.add(job.kernel_step[1]);
                }
            }
            for (pixel, sum) in sums.iter().enumerate() {
                let value = sum.max(low).min(high);
                let value = match &job.mask {
                    Some(mask) => {
                        let outputs = V::load(mask.values.as_ptr().add(place + pixel * mask.step[1] + channel));
                        let [low, high] = mask.bounds.map(|bound| V::splat(bound));
                        value.only_inside(outputs, low, high)
                    }
                    None => value,
                };
                value.store(out.add(to + pixel * job.out_step[1] + channel));
            }
        }
    }
}

/// The gradient of a depthwise convolution's weights: `out[tap, c] += Σ_pixels input[tap, c] · gradient[c]`.
pub(in crate::look::backbone) struct DepthwiseOuter<'a> {
    /// First element: the first kernel element of the first output pixel.
    pub input: &'a [f32],
    /// The gradient of the output; the first pixel's first channel comes first.
    pub gradient: &'a [f32],
    /// Output rows, and output pixels in each.
    pub extent: [usize; 2],
    /// Floats from one output row's input, and one output pixel's input, to the next one's.
    pub step: [usize; 2],
    /// The same for the gradient.
    pub gradient_step: [usize; 2],
    /// Kernel rows and columns.
    pub taps: [usize; 2],
    /// Floats from one kernel row, and one kernel column, to the next.
    pub kernel_step: [usize; 2],
    /// Channels, a multiple of sixteen.
    pub channels: usize,
}

impl DepthwiseOuter<'_> {
    /// Adds the sums to `out` `[rows · columns of the kernel, channels]`.
    ///
    /// # Panics
    /// When a slice is too short for the extents and steps.
    pub(in crate::look::backbone) fn run(&self, instructions: Instructions, out: &mut [f32]) {
        let [rows, columns] = self.extent;
        if rows == 0 || columns == 0 {
            return;
        }
        let reach = |step: [usize; 2]| (rows - 1) * step[0] + (columns - 1) * step[1] + self.channels;
        let taps = (self.taps[0] - 1) * self.kernel_step[0] + (self.taps[1] - 1) * self.kernel_step[1];
        assert!(self.input.len() >= reach(self.step) + taps, "depthwise input too short");
        assert!(self.gradient.len() >= reach(self.gradient_step), "depthwise gradient too short");
        assert!(out.len() >= self.taps[0] * self.taps[1] * self.channels, "depthwise sums too short");
        assert!(self.channels.is_multiple_of(PANEL), "depthwise channels");
        // SAFETY: the assertions above bound every access.
        unsafe { run_outer(self, instructions, out.as_mut_ptr()) }
    }
}

// 25 sums fit into the 32 registers of AVX-512; elsewhere one kernel row at a time.
for_each_instruction_set!(run_outer, DepthwiseOuter, outer, [true], [false], [false]);

#[inline(always)]
unsafe fn outer<V: Lanes, const WHOLE: bool>(job: &DepthwiseOuter<'_>, out: *mut f32) {
    for row in 0..job.extent[0] {
        for channel in (0..job.channels).step_by(PANEL) {
            // SAFETY: bounds were checked by `DepthwiseOuter::run`.
            unsafe {
                match job.taps {
                    [3, 3] if WHOLE => outer_tile::<V, 3, 3>(job, row, 0, channel, out),
                    [5, 5] if WHOLE => outer_tile::<V, 5, 5>(job, row, 0, channel, out),
                    [rows, 3] => (0..rows).for_each(|y| outer_tile::<V, 1, 3>(job, row, y * 3, channel, out)),
                    [rows, 5] => (0..rows).for_each(|y| outer_tile::<V, 1, 5>(job, row, y * 5, channel, out)),
                    [rows, columns] => {
                        (0..rows * columns).for_each(|tap| outer_tile::<V, 1, 1>(job, row, tap, channel, out))
                    }
                }
            }
        }
    }
}

/// One output row and panel under `ROWS` × `COLUMNS` taps, from tap number `first` on.
#[inline(always)]
unsafe fn outer_tile<V: Lanes, const ROWS: usize, const COLUMNS: usize>(
    job: &DepthwiseOuter<'_>,
    row: usize,
    first: usize,
    channel: usize,
    out: *mut f32,
) {
    let [down, across] = job.kernel_step;
    // SAFETY: bounds were checked by `DepthwiseOuter::run`.
    unsafe {
        let out = out.add(first * job.channels + channel);
        let at = |y: usize, x: usize| out.add((y * COLUMNS + x) * job.channels);
        let mut sums: [[V; COLUMNS]; ROWS] = std::array::from_fn(|y| std::array::from_fn(|x| V::load(at(y, x))));
        let tap = first / job.taps[1] * down + first % job.taps[1] * across;
        let input = job.input.as_ptr().add(row * job.step[0] + tap + channel);
        let gradient = job.gradient.as_ptr().add(row * job.gradient_step[0] + channel);
        for column in 0..job.extent[1] {
            let factor = V::load(gradient.add(column * job.gradient_step[1]));
            let input = input.add(column * job.step[1]);
            for (y, sums) in sums.iter_mut().enumerate() {
                for (x, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(input.add(y * down + x * across)).mul_add(factor, *sum);
                }
            }
        }
        for (y, sums) in sums.iter().enumerate() {
            for (x, sum) in sums.iter().enumerate() {
                sum.store(at(y, x));
            }
        }
    }
}
