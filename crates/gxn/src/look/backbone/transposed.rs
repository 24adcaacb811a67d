//! [`Transposed`]: a convolution turned around, from the gradient of its output to that of its input.

use std::ops::Range;

use super::kernel::{Dense, Depthwise, Mask, PANEL};
use super::layer::Padding;
use super::map::{frame, step_of};
use super::packed::Kernels;
use super::step::Folded;
use gxn_ops::pool::Buffer;

/// A convolution turned around.
///
/// An input pixel is seen by the kernel elements of its residue modulo the stride, so that a convolution of stride `s` becomes
/// `s²` convolutions of stride 1 over the gradient, each with its share of the kernel and its share of the input.
#[derive(Debug)]
pub(super) struct Transposed {
    parts: Vec<Part>,
    /// Zeros, as many as input channels with their padding.
    bias: Buffer,
    /// Channels of the gradient.
    outputs: usize,
    is_depthwise: bool,
    kernel: usize,
    stride: usize,
    padding: Padding,
}

/// The kernel elements of one residue, turned around.
#[derive(Debug)]
struct Part {
    /// First row and column in the kernel.
    residue: [usize; 2],
    /// Rows and columns.
    taps: [usize; 2],
    /// As the kernel functions want them.
    weights: Buffer,
}

/// A gradient with zeros around it.
#[derive(Clone, Copy)]
pub(super) struct Framed<'a> {
    /// From the first zero on.
    pub values: &'a [f32],
    /// Floats from one row to the next.
    pub pitch: usize,
    /// Rows of the frame above `values`.
    pub skipped: usize,
}

/// Where an input's gradient goes.
pub(super) struct Target<'a> {
    /// From the first pixel of `rows` on, as are `residual` and `mask`.
    pub values: &'a mut [f32],
    /// Height and width.
    pub sides: [usize; 2],
    /// The rows that are wanted.
    pub rows: Range<usize>,
    /// Added, with the steps of a map without gaps.
    pub residual: Option<&'a [f32]>,
    /// The activation that made the input.
    pub mask: Option<Mask<'a>>,
    /// Floats from one row, and one pixel, to the next.
    pub step: [usize; 2],
}

/// The input pixels of one residue along one side.
struct Pixels {
    /// The first pixel, and how many there are, a stride apart.
    first: usize,
    count: usize,
    /// Where the first tap of the first pixel lies in the framed gradient.
    start: usize,
}

impl Transposed {
    /// The transposed form of a layer.
    pub(super) fn new((plan, weight, _): Folded<'_>) -> Self {
        let [inputs, outputs] = plan.channels;
        let (kernel, stride) = (plan.kernel, plan.stride);
        let is_depthwise = plan.groups > 1;
        let residues = (0..stride).flat_map(|y| (0..stride).map(move |x| [y, x]));
        let parts = residues
            .filter(|residue| residue.iter().all(|&residue| residue < kernel))
            .map(|residue| {
                let taps = residue.map(|residue| (kernel - residue).div_ceil(stride));
                // The last tap comes first.
                let place = |y: usize, x: usize| {
                    (residue[0] + stride * (taps[0] - 1 - y)) * kernel + residue[1] + stride * (taps[1] - 1 - x)
                };
                let weights = match is_depthwise {
                    true => turn_depthwise(weight, outputs, kernel * kernel, taps, &place),
                    false => turn_dense(weight, [inputs, outputs], kernel, taps, &place),
                };
                Part { residue, taps, weights }
            })
            .collect();
        let bias = Buffer::zeros(inputs.next_multiple_of(PANEL));
        Self { parts, bias, outputs, is_depthwise, kernel, stride, padding: plan.padding }
    }

    /// Zeros that the gradient needs around it: rows before and after, columns before and after.
    pub(super) fn edges(&self, sides: [usize; 2], outputs: [usize; 2]) -> [(usize, usize); 2] {
        [0, 1].map(|axis| {
            let (before, _) = self.padding.edges(sides[axis], self.kernel, self.stride);
            let last = (sides[axis] - 1 + before) / self.stride;
            (self.kernel.div_ceil(self.stride) - 1, (last + 1).saturating_sub(outputs[axis]))
        })
    }

    /// The gradient `[rows, columns, step]` with its zeros, in `buffer` where it needs any.
    pub(super) fn framed<'a>(
        &self,
        gradient: &'a [f32],
        sides: [usize; 2],
        [rows, columns]: [usize; 2],
        buffer: &'a mut Buffer,
    ) -> Framed<'a> {
        let step = step_of(self.outputs);
        let edges = self.edges(sides, [rows, columns]);
        if edges == [(0, 0); 2] {
            return Framed { values: gradient, pitch: columns * step, skipped: 0 };
        }
        let (pitch, first) = frame(buffer, [rows, columns], edges, step);
        for (row, from) in gradient[..rows * columns * step].chunks_exact(columns * step).enumerate() {
            buffer[first + row * pitch..][..from.len()].copy_from_slice(from);
        }
        Framed { values: buffer, pitch, skipped: 0 }
    }

    /// Writes the gradient of the input.
    pub(super) fn run(&self, kernels: Kernels, gradient: Framed<'_>, target: Target<'_>) {
        let Target { values, sides, rows: wanted, residual, mask, step } = target;
        let gradient_step = step_of(self.outputs);
        if self.kernel < self.stride {
            // Pixels that no output has seen.
            values.fill(0.0);
            assert!(residual.is_none(), "a residual past a stride that skips pixels");
        }
        for part in &self.parts {
            let rows = self.pixels(part, 0, sides[0], &wanted);
            let columns = self.pixels(part, 1, sides[1], &(0..sides[1]));
            if rows.count == 0 || columns.count == 0 {
                continue;
            }
            let above = rows.start - gradient.skipped;
            let from = &gradient.values[above * gradient.pitch + columns.start * gradient_step..];
            let down = rows.first - wanted.start;
            let to = down * step[0] + columns.first * step[1];
            let strided = |step: [usize; 2]| step.map(|step| step * self.stride);
            let mask = mask.map(|mask| Mask {
                values: &mask.values[down * mask.step[0] + columns.first * mask.step[1]..],
                step: strided(mask.step),
                ..mask
            });
            let extent = [rows.count, columns.count];
            let clamp = [f32::NEG_INFINITY, f32::INFINITY];
            if self.is_depthwise {
                assert!(residual.is_none(), "a residual past a depthwise convolution");
                Depthwise {
                    input: from,
                    extent,
                    step: [gradient.pitch, gradient_step],
                    taps: part.taps,
                    kernel_step: [gradient.pitch, gradient_step],
                    channels: self.bias.len(),
                    weights: &part.weights,
                    bias: &self.bias,
                    clamp,
                    mask,
                    out_step: strided(step),
                }
                .run(kernels.0, &mut values[to..]);
            } else {
                Dense {
                    input: from,
                    extent,
                    step: [gradient.pitch, gradient_step],
                    taps: [part.taps[0], gradient.pitch],
                    depth: if self.kernel == 1 { self.outputs } else { part.taps[1] * gradient_step },
                    weights: &part.weights,
                    bias: &self.bias,
                    residual: residual.map(|residual| &residual[to..]),
                    clamp,
                    mask,
                    out_step: strided(step),
                }
                .run(kernels.0, &mut values[to..]);
            }
        }
    }

    /// The pixels in `range` of a side of `side` pixels that `part` is for.
    fn pixels(&self, part: &Part, axis: usize, side: usize, range: &Range<usize>) -> Pixels {
        let (residue, taps, stride) = (part.residue[axis], part.taps[axis], self.stride);
        let (before, _) = self.padding.edges(side, self.kernel, stride);
        let first = range.start + (residue + stride - (range.start + before) % stride) % stride;
        let frame = self.kernel.div_ceil(stride) - 1;
        let start = (first + before - residue) / stride + frame + 1 - taps;
        Pixels { first, count: range.end.saturating_sub(first).div_ceil(stride), start }
    }
}

/// `[out, in, k, k]` → `[panels of inputs, taps, taps · outputs (padded), 16]`.
fn turn_dense(
    weight: &[f32],
    [inputs, outputs]: [usize; 2],
    kernel: usize,
    taps: [usize; 2],
    place: &dyn Fn(usize, usize) -> usize,
) -> Buffer {
    let step = if kernel == 1 { outputs } else { step_of(outputs) };
    let length = taps[0] * taps[1] * step;
    let mut turned = Buffer::zeros(inputs.div_ceil(PANEL) * length * PANEL);
    for (y, x) in (0..taps[0]).flat_map(|y| (0..taps[1]).map(move |x| (y, x))) {
        let place = place(y, x);
        for input in 0..inputs {
            let panel = &mut turned[input / PANEL * length * PANEL + input % PANEL..];
            for output in 0..outputs {
                panel[((y * taps[1] + x) * step + output) * PANEL] =
                    weight[(output * inputs + input) * kernel * kernel + place];
            }
        }
    }
    turned
}

/// `[channels, 1, k, k]` → `[taps · taps, channels (padded)]`.
fn turn_depthwise(
    weight: &[f32],
    channels: usize,
    places: usize,
    taps: [usize; 2],
    place: &dyn Fn(usize, usize) -> usize,
) -> Buffer {
    let padded = channels.next_multiple_of(PANEL);
    let mut turned = Buffer::zeros(taps[0] * taps[1] * padded);
    for (tap, to) in turned.chunks_exact_mut(padded).enumerate().take(taps[0] * taps[1]) {
        let place = place(tap / taps[1], tap % taps[1]);
        for (channel, to) in to[..channels].iter_mut().enumerate() {
            *to = weight[channel * places + place];
        }
    }
    turned
}
