//! [`Dense`]: dense convolution.

use gxn_ops::simd16::{Instructions, Lanes, pieces};

use super::{Mask, PANEL, by_size, for_each_instruction_set};

/// Floats of input that are worth keeping near while all panels pass over them (192 KiB).
const BLOCK: usize = 48 * 1024;

/// One dense convolution: `out = clamp(bias + Σ_taps Σ_depth input · weights + residual)`.
pub(in crate::look::backbone) struct Dense<'a> {
    /// First element: the first kernel row of the first output pixel.
    pub input: &'a [f32],
    /// Output rows, and output pixels in each.
    pub extent: [usize; 2],
    /// Floats from one output row's input, and one output pixel's input, to the next one's.
    pub step: [usize; 2],
    /// Kernel rows, and floats between them.
    pub taps: [usize; 2],
    /// Consecutive floats under one kernel row.
    pub depth: usize,
    /// `[panels, taps · depth, 16]`.
    pub weights: &'a [f32],
    /// `[panels · 16]`.
    pub bias: &'a [f32],
    /// Added before the clamp; same steps as the output.
    pub residual: Option<&'a [f32]>,
    /// Smallest and largest output.
    pub clamp: [f32; 2],
    /// Applied last.
    pub mask: Option<Mask<'a>>,
    /// Floats from one output row, and one output pixel, to the next.
    pub out_step: [usize; 2],
}

impl Dense<'_> {
    /// Computes the convolution into `out`, whose first element is the first output pixel.
    ///
    /// # Panics
    /// When a slice is too short for the extents and steps.
    pub(in crate::look::backbone) fn run(&self, instructions: Instructions, out: &mut [f32]) {
        let [rows, columns] = self.extent;
        if rows == 0 || columns == 0 {
            return;
        }
        let reach = (rows - 1) * self.step[0] + (columns - 1) * self.step[1];
        assert!(self.input.len() >= reach + (self.taps[0] - 1) * self.taps[1] + self.depth, "dense input too short");
        let out_reach = (rows - 1) * self.out_step[0] + (columns - 1) * self.out_step[1] + self.bias.len();
        assert!(out.len() >= out_reach, "dense output too short");
        assert!(self.residual.is_none_or(|residual| residual.len() >= out_reach), "dense residual too short");
        assert!(self.bias.len().is_multiple_of(PANEL), "bias not padded");
        assert_eq!(self.weights.len(), self.bias.len() * self.taps[0] * self.depth, "dense weights");
        self.mask.iter().for_each(|mask| mask.assert_covers(self.extent, self.bias.len()));
        // SAFETY: the assertions above bound every access.
        unsafe { run(self, instructions, out.as_mut_ptr()) }
    }
}

// Nine pixels of two panels are 18 sums; from eleven on the compiler spills them, at half the speed.
for_each_instruction_set!(run, Dense, dense, [2, 9], [1, 6], [1, 4]);

#[inline(always)]
unsafe fn dense<V: Lanes, const PANELS: usize, const MOST: usize>(job: &Dense<'_>, out: *mut f32) {
    let [rows, columns] = job.extent;
    // Blocks of input that stay in the second-level cache while every panel of weights passes over them.
    let row_block = (BLOCK / (columns * job.step[1]).max(1)).clamp(1, rows);
    let column_block = if rows == 1 { (BLOCK / job.step[1].max(1)).max(MOST) } else { columns };
    let panels = job.bias.len() / PANEL;
    for row_start in (0..rows).step_by(row_block) {
        for column_start in (0..columns).step_by(column_block) {
            let column_count = column_block.min(columns - column_start);
            let mut panel = 0;
            while panel < panels {
                let wide = panel + PANELS <= panels;
                for row in row_start..(row_start + row_block).min(rows) {
                    for (start, size) in pieces(column_count, MOST) {
                        let column = column_start + start;
                        let from = row * job.step[0] + column * job.step[1];
                        let to = row * job.out_step[0] + column * job.out_step[1] + panel * PANEL;
                        let place =
                            job.mask.map_or(0, |mask| row * mask.step[0] + column * mask.step[1] + panel * PANEL);
                        // SAFETY: bounds were checked by `Dense::run`.
                        unsafe {
                            if wide {
                                by_size!(size, 1 2 3 4 5 6 7 8 9, dense_tile, V, [, PANELS], (job, panel, from, to, place, out));
                            } else {
                                by_size!(size, 1 2 3 4 5 6 7 8 9, dense_tile, V, [, 1], (job, panel, from, to, place, out));
                            }
                        }
                    }
                }
                panel += if wide { PANELS } else { 1 };
            }
        }
    }
}

#[inline(always)]
unsafe fn dense_tile<V: Lanes, const PIXELS: usize, const PANELS: usize>(
    job: &Dense<'_>,
    panel: usize,
    from: usize,
    to: usize,
    place: usize,
    out: *mut f32,
) {
    let length = job.taps[0] * job.depth;
    // SAFETY: bounds were checked by `Dense::run`.
    unsafe {
        let bias = job.bias.as_ptr().add(panel * PANEL);
        let mut weights: [*const f32; PANELS] =
            std::array::from_fn(|p| job.weights.as_ptr().add((panel + p) * length * PANEL));
        let mut sums: [[V; PANELS]; PIXELS] = [std::array::from_fn(|p| V::load(bias.add(p * PANEL))); PIXELS];
        for tap in 0..job.taps[0] {
            let input = job.input.as_ptr().add(from + tap * job.taps[1]);
            for k in 0..job.depth {
                let column: [V; PANELS] = std::array::from_fn(|p| V::load(weights[p]));
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    let value = V::splat(*input.add(pixel * job.step[1] + k));
                    for (sum, &weight) in sum.iter_mut().zip(&column) {
                        *sum = value.mul_add(weight, *sum);
                    }
                }
                for pointer in &mut weights {
                    *pointer = pointer.add(PANEL);
                }
            }
        }
        let (low, high) = (V::splat(job.clamp[0]), V::splat(job.clamp[1]));
        for (pixel, sum) in sums.iter().enumerate() {
            for (p, &value) in sum.iter().enumerate() {
                let at = to + pixel * job.out_step[1] + p * PANEL;
                let value = match job.residual {
                    Some(residual) => value.add(V::load(residual.as_ptr().add(at))),
                    None => value,
                };
                value.max(low).min(high).store(out.add(at));
            }
        }
        if let Some(mask) = &job.mask {
            mask_tile::<V, PIXELS, PANELS>(job, mask, place, out.add(to));
        }
    }
}

/// Masks a tile that was just written. Inside the loop above the compiler would keep all sums in memory.
#[inline(always)]
unsafe fn mask_tile<V: Lanes, const PIXELS: usize, const PANELS: usize>(
    job: &Dense<'_>,
    mask: &Mask<'_>,
    place: usize,
    out: *mut f32,
) {
    // SAFETY: bounds were checked by `Dense::run`.
    unsafe {
        let [low, high] = [V::splat(mask.bounds[0]), V::splat(mask.bounds[1])];
        let outputs = mask.values.as_ptr().add(place);
        for (pixel, panel) in (0..PIXELS).flat_map(|pixel| (0..PANELS).map(move |panel| (pixel, panel * PANEL))) {
            let out = out.add(pixel * job.out_step[1] + panel);
            let output = V::load(outputs.add(pixel * mask.step[1] + panel));
            V::load(out).only_inside(output, low, high).store(out);
        }
    }
}
