//! Two convolution kernels over channels-last maps: dense (any kernel side, 1×1 included) and depthwise.
//!
//! Channels are padded to sixteen, so that no kernel has a masked edge. Both run on one thread: images, not pixels,
//! are spread over the cores. NaN in the input is not preserved by the clamp.

#[cfg(target_arch = "x86_64")]
use gxn_ops::simd16::{Avx2, Avx512};
use gxn_ops::simd16::{Instructions, Lanes, Portable, pieces};

/// Channels in one panel of weights; maps are padded to a multiple of it.
pub(super) const PANEL: usize = 16;

/// Floats of input that are worth keeping near while all panels pass over them (192 KiB).
const BLOCK: usize = 48 * 1024;

/// One dense convolution: `out = clamp(bias + Σ_taps Σ_depth input · weights + residual)`.
pub(super) struct Dense<'a> {
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
    /// Floats from one output row, and one output pixel, to the next.
    pub out_step: [usize; 2],
}

/// One depthwise convolution with a square kernel.
pub(super) struct Depthwise<'a> {
    /// First element: the first kernel element of the first output pixel.
    pub input: &'a [f32],
    /// Output rows, and output pixels in each.
    pub extent: [usize; 2],
    /// Floats from one output row's input, and one output pixel's input, to the next one's.
    pub step: [usize; 2],
    /// Side of the kernel.
    pub side: usize,
    /// Floats from one kernel row, and one kernel column, to the next.
    pub kernel_step: [usize; 2],
    /// Channels, a multiple of sixteen.
    pub channels: usize,
    /// `[side · side, channels]`.
    pub weights: &'a [f32],
    /// `[channels]`.
    pub bias: &'a [f32],
    /// Smallest and largest output.
    pub clamp: [f32; 2],
}

impl Dense<'_> {
    /// Computes the convolution into `out`, whose first element is the first output pixel.
    ///
    /// # Panics
    /// When a slice is too short for the extents and steps.
    pub(super) fn run(&self, instructions: Instructions, out: &mut [f32]) {
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
        match instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx512 => unsafe { dense_avx512(self, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx2 => unsafe { dense_avx2(self, out) },
            // SAFETY: the assertions above bound every access.
            Instructions::Portable => unsafe { dense::<Portable, 1>(self, 4, out) },
        }
    }
}

impl Depthwise<'_> {
    /// Computes the convolution into `out`, `[rows · columns, channels]` without gaps.
    ///
    /// # Panics
    /// When a slice is too short for the extents and steps.
    pub(super) fn run(&self, instructions: Instructions, out: &mut [f32]) {
        let [rows, columns] = self.extent;
        if rows == 0 || columns == 0 {
            return;
        }
        let reach = (rows - 1) * self.step[0]
            + (columns - 1) * self.step[1]
            + (self.side - 1) * (self.kernel_step[0] + self.kernel_step[1]);
        assert!(self.input.len() >= reach + self.channels, "depthwise input too short");
        assert!(out.len() >= rows * columns * self.channels, "depthwise output too short");
        assert!(self.channels.is_multiple_of(PANEL) && self.bias.len() == self.channels, "depthwise channels");
        assert_eq!(self.weights.len(), self.side * self.side * self.channels, "depthwise weights");
        match instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx512 => unsafe { depthwise_avx512(self, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertions above bound every access; the instructions were detected.
            Instructions::Avx2 => unsafe { depthwise_avx2(self, out) },
            // SAFETY: the assertions above bound every access.
            Instructions::Portable => unsafe { depthwise::<Portable>(self, 4, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn dense_avx512(job: &Dense<'_>, out: &mut [f32]) {
    // Nine pixels of two panels are 18 sums; from eleven on the compiler spills them, at half the speed.
    // SAFETY: the caller's.
    unsafe { dense::<Avx512, 2>(job, 9, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn dense_avx2(job: &Dense<'_>, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { dense::<Avx2, 1>(job, 6, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn depthwise_avx512(job: &Depthwise<'_>, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { depthwise::<Avx512>(job, 8, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn depthwise_avx2(job: &Depthwise<'_>, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { depthwise::<Avx2>(job, 6, out) }
}

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

#[inline(always)]
unsafe fn dense<V: Lanes, const PANELS: usize>(job: &Dense<'_>, most: usize, out: &mut [f32]) {
    let [rows, columns] = job.extent;
    // Blocks of input that stay in the second-level cache while every panel of weights passes over them.
    let row_block = (BLOCK / (columns * job.step[1]).max(1)).clamp(1, rows);
    let column_block = if rows == 1 { (BLOCK / job.step[1].max(1)).max(most) } else { columns };
    let panels = job.bias.len() / PANEL;
    let out = out.as_mut_ptr();
    for row_start in (0..rows).step_by(row_block) {
        for column_start in (0..columns).step_by(column_block) {
            let column_count = column_block.min(columns - column_start);
            let mut panel = 0;
            while panel < panels {
                let wide = panel + PANELS <= panels;
                for row in row_start..(row_start + row_block).min(rows) {
                    for (start, size) in pieces(column_count, most) {
                        let column = column_start + start;
                        let from = row * job.step[0] + column * job.step[1];
                        let to = row * job.out_step[0] + column * job.out_step[1] + panel * PANEL;
                        // SAFETY: bounds were checked by `Dense::run`.
                        unsafe {
                            if wide {
                                by_size!(size, 1 2 3 4 5 6 7 8 9, dense_tile, V, [, PANELS], (job, panel, from, to, out));
                            } else {
                                by_size!(size, 1 2 3 4 5 6 7 8 9, dense_tile, V, [, 1], (job, panel, from, to, out));
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
    }
}

#[inline(always)]
unsafe fn depthwise<V: Lanes>(job: &Depthwise<'_>, most: usize, out: &mut [f32]) {
    let [rows, columns] = job.extent;
    let out = out.as_mut_ptr();
    for row in 0..rows {
        for (column, size) in pieces(columns, most) {
            let from = row * job.step[0] + column * job.step[1];
            let to = (row * columns + column) * job.channels;
            // SAFETY: bounds were checked by `Depthwise::run`.
            unsafe {
                by_size!(size, 1 2 3 4 5 6 7 8, depthwise_tile, V, [], (job, from, to, out));
            }
        }
    }
}

#[inline(always)]
unsafe fn depthwise_tile<V: Lanes, const PIXELS: usize>(job: &Depthwise<'_>, from: usize, to: usize, out: *mut f32) {
    // SAFETY: bounds were checked by `Depthwise::run`.
    unsafe {
        let (low, high) = (V::splat(job.clamp[0]), V::splat(job.clamp[1]));
        for channel in (0..job.channels).step_by(PANEL) {
            let mut sums = [V::load(job.bias.as_ptr().add(channel)); PIXELS];
            let mut weights = job.weights.as_ptr().add(channel);
            for y in 0..job.side {
                let mut input = job.input.as_ptr().add(from + y * job.kernel_step[0] + channel);
                for _ in 0..job.side {
                    let weight = V::load(weights);
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = V::load(input.add(pixel * job.step[1])).mul_add(weight, *sum);
                    }
                    weights = weights.add(job.channels);
                    input = input.add(job.kernel_step[1]);
                }
            }
            for (pixel, sum) in sums.iter().enumerate() {
                sum.max(low).min(high).store(out.add(to + pixel * job.channels + channel));
            }
        }
    }
}
