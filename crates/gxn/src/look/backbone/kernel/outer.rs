//! [`Outer`]: the gradient of a dense convolution's weights.

use gxn_ops::simd16::{Instructions, Lanes, pieces};

use super::{PANEL, by_size, for_each_instruction_set};

/// Floats of input and gradient that are worth keeping near while all tiles pass over them (512 KiB).
const BLOCK: usize = 128 * 1024;

/// Sums of outer products: `out[c, o] += Σ_pixels input[c] · gradient[o]`.
pub(in crate::look::backbone) struct Outer<'a> {
    /// First element: the first channel under the kernel row of the first output pixel.
    pub input: &'a [f32],
    /// The gradient of the output.
    pub gradient: &'a [f32],
    /// Output rows, and output pixels in each.
    pub extent: [usize; 2],
    /// Floats from one output row's input, and one output pixel's input, to the next one's.
    pub step: [usize; 2],
    /// The same for the gradient.
    pub gradient_step: [usize; 2],
    /// Consecutive floats of input, `c`.
    pub channels: usize,
    /// Consecutive floats of gradient, `o`; a multiple of sixteen.
    pub outputs: usize,
}

impl Outer<'_> {
    /// Adds the sums to `out` `[channels, outputs]`.
    ///
    /// # Panics
    /// When a slice is too short for the extents and steps.
    pub(in crate::look::backbone) fn run(&self, instructions: Instructions, out: &mut [f32]) {
        let [rows, columns] = self.extent;
        if rows == 0 || columns == 0 || self.channels == 0 {
            return;
        }
        let reach = |step: [usize; 2]| (rows - 1) * step[0] + (columns - 1) * step[1];
        assert!(self.input.len() >= reach(self.step) + self.channels, "input too short");
        assert!(self.gradient.len() >= reach(self.gradient_step) + self.outputs, "gradient too short");
        assert!(out.len() >= self.channels * self.outputs, "sums too short");
        assert!(self.outputs.is_multiple_of(PANEL), "outputs not padded");
        // SAFETY: the assertions above bound every access.
        unsafe { run(self, instructions, out.as_mut_ptr()) }
    }
}

for_each_instruction_set!(run, Outer, outer, [2, 9], [1, 6], [1, 4]);

#[inline(always)]
unsafe fn outer<V: Lanes, const PANELS: usize, const MOST: usize>(job: &Outer<'_>, out: *mut f32) {
    let [rows, columns] = job.extent;
    let row_block = (BLOCK / (columns * (job.channels + job.outputs))).clamp(1, rows);
    let column_block = if rows == 1 { (BLOCK / (job.channels + job.outputs)).max(1) } else { columns };
    let panels = job.outputs / PANEL;
    for row in (0..rows).step_by(row_block) {
        for column in (0..columns).step_by(column_block) {
            let block = Block {
                input: &job.input[row * job.step[0] + column * job.step[1]..],
                gradient: &job.gradient[row * job.gradient_step[0] + column * job.gradient_step[1]..],
                extent: [row_block.min(rows - row), column_block.min(columns - column)],
                job,
            };
            let mut panel = 0;
            while panel < panels {
                let wide = panel + PANELS <= panels;
                for (channel, size) in pieces(job.channels, MOST) {
                    // SAFETY: bounds were checked by `Outer::run`.
                    unsafe {
                        if wide {
                            by_size!(size, 1 2 3 4 5 6 7 8 9, tile, V, [, PANELS], (&block, channel, panel, out));
                        } else {
                            by_size!(size, 1 2 3 4 5 6 7 8 9, tile, V, [, 1], (&block, channel, panel, out));
                        }
                    }
                }
                panel += if wide { PANELS } else { 1 };
            }
        }
    }
}

/// Pixels that all tiles pass over one after the other.
struct Block<'a> {
    input: &'a [f32],
    gradient: &'a [f32],
    extent: [usize; 2],
    job: &'a Outer<'a>,
}

#[inline(always)]
unsafe fn tile<V: Lanes, const CHANNELS: usize, const PANELS: usize>(
    block: &Block<'_>,
    channel: usize,
    panel: usize,
    out: *mut f32,
) {
    let Outer { step, gradient_step, outputs, .. } = *block.job;
    // SAFETY: bounds were checked by `Outer::run`.
    unsafe {
        let out = out.add(channel * outputs + panel * PANEL);
        let mut sums: [[V; PANELS]; CHANNELS] =
            std::array::from_fn(|c| std::array::from_fn(|p| V::load(out.add(c * outputs + p * PANEL))));
        for row in 0..block.extent[0] {
            let mut input = block.input.as_ptr().add(row * step[0] + channel);
            let mut gradient = block.gradient.as_ptr().add(row * gradient_step[0] + panel * PANEL);
            for _ in 0..block.extent[1] {
                let factors: [V; PANELS] = std::array::from_fn(|p| V::load(gradient.add(p * PANEL)));
                for (c, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*input.add(c));
                    for (sum, factor) in sums.iter_mut().zip(factors) {
                        *sum = value.mul_add(factor, *sum);
                    }
                }
                input = input.wrapping_add(step[1]);
                gradient = gradient.wrapping_add(gradient_step[1]);
            }
        }
        for (c, sums) in sums.iter().enumerate() {
            for (p, sum) in sums.iter().enumerate() {
                sum.store(out.add(c * outputs + p * PANEL));
            }
        }
    }
}
