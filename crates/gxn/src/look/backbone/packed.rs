//! [`PackedNetwork`]: a frozen backbone in SIMD kernels over plain slices, one image per thread.
//!
//! Maps are channels-last; batch normalisation, activation and the residual sum are part of the convolution that
//! they follow. EfficientNet's blocks run strip by strip, so that the sixfold wider middle of a block never leaves
//! the second-level cache.

use std::ops::Range;

use super::kernel::{Dense, Depthwise, PANEL};
use super::map::{Map, max_pool};
use super::step::{Packed, PackedBottleneck, PackedDepthwise, PackedInverted, Step};
use super::{Backbone, vgg};
use gxn_ops::pool::Buffer;
use gxn_ops::simd16::Instructions;

/// Floats in the widened strip of an inverted residual block (512 KiB).
const STRIP: usize = 128 * 1024;

/// Maps and strips that are reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub maps: [Map; 4],
    pub padded: Buffer,
    pub widened: Buffer,
    pub filtered: Buffer,
    /// The gradient of a step's input.
    pub gradient: Map,
}

/// A frozen backbone in the form of its kernels.
#[derive(Debug)]
pub(super) struct PackedNetwork {
    steps: Vec<Step>,
    head: Vec<Step>,
    kernels: Kernels,
}

impl PackedNetwork {
    /// The network in the form of its kernels.
    pub(super) fn new(backbone: &Backbone) -> Self {
        let [steps, head] = [&backbone.blocks, &backbone.head].map(|blocks| Step::pack_all(blocks));
        Self { steps, head, kernels: Kernels::default() }
    }

    /// The feature of an image `[3, side, side]`, on the calling thread; see [`Backbone::forward`].
    pub(super) fn feature(&self, image: &[f32], side: usize) -> Vec<f32> {
        self.pool(&self.map(image, side))
    }

    /// The last map.
    fn map(&self, image: &[f32], side: usize) -> Map {
        with_scratch(|scratch| self.kernels.run(&self.steps, Map::from_planes(image, 3, [side, side]), scratch))
    }

    /// The feature from the last map.
    fn pool(&self, map: &Map) -> Vec<f32> {
        if self.head.is_empty() {
            return map.pool([1, 1]);
        }
        let side = vgg::HEAD_SIDE;
        let mut input = Map::default();
        input.reshape([side, side], map.channels, map.channels.next_multiple_of(PANEL));
        input.data.fill(0.0);
        let pooled = map.pool([side, side]);
        for (to, from) in input.data.chunks_exact_mut(input.step).zip(pooled.chunks_exact(map.channels)) {
            to[..map.channels].copy_from_slice(from);
        }
        self.kernels.run(&self.head, input, &mut Scratch::default()).pool([1, 1])
    }
}

/// Calls `f` with the calling thread's scratch.
pub(super) fn with_scratch<T>(f: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
    }
    SCRATCH.with_borrow_mut(f)
}

/// Steps by the kernels of one instruction set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels(pub Instructions);

impl Default for Kernels {
    fn default() -> Self {
        Self(Instructions::best())
    }
}

impl Kernels {
    /// What `steps` make of `map`, in memory that is not larger than it needs to be.
    pub(super) fn run(self, steps: &[Step], map: Map, scratch: &mut Scratch) -> Map {
        let mut input = map;
        for (number, step) in steps.iter().enumerate() {
            let is_last = number + 1 == steps.len();
            let mut out = if is_last { Map::default() } else { std::mem::take(&mut scratch.maps[0]) };
            self.step(step, &input, &mut out, scratch);
            scratch.maps[0] = std::mem::replace(&mut input, out);
        }
        input
    }

    /// `out` becomes what `step` makes of `input`.
    pub(super) fn step(self, step: &Step, input: &Map, out: &mut Map, scratch: &mut Scratch) {
        match step {
            Step::Conv(layer) => self.conv(layer, input, None, out, &mut scratch.padded),
            Step::Inverted(block) => self.inverted(block, input, out, scratch),
            Step::Bottleneck(PackedBottleneck { reduce, spatial, expand, downsample }) => {
                let [_, narrow, filtered, shortcut] = &mut scratch.maps;
                self.conv(reduce, input, None, narrow, &mut scratch.padded);
                self.conv(spatial, narrow, None, filtered, &mut scratch.padded);
                let residual = match downsample {
                    Some(layer) => {
                        self.conv(layer, input, None, shortcut, &mut scratch.padded);
                        &*shortcut
                    }
                    None => input,
                };
                self.conv(expand, filtered, Some(residual), out, &mut scratch.padded);
            }
            Step::MaxPool(pool) => max_pool(pool, input, out),
        }
    }

    pub(super) fn conv(self, layer: &Packed, input: &Map, residual: Option<&Map>, out: &mut Map, padded: &mut Buffer) {
        let (kernel, stride) = (layer.kernel, layer.stride);
        let [rows, columns] = [input.height, input.width].map(|side| layer.padding.output_side(side, kernel, stride));
        out.reshape([rows, columns], layer.channels[1], layer.bias.len());
        let (source, width) = input.padded(layer.padding, kernel, stride, padded);
        // Without a spatial kernel, rows without gaps are one long row.
        let one_row = kernel == 1 && stride == 1;
        let extent = if one_row { [1, rows * columns] } else { [rows, columns] };
        Dense {
            input: source,
            extent,
            step: [stride * width * input.step, stride * input.step],
            taps: [kernel, width * input.step],
            depth: layer.depth(),
            weights: &layer.weights,
            bias: &layer.bias,
            residual: residual.map(|map| &map.data[..]),
            clamp: layer.clamp,
            mask: None,
            out_step: [columns * out.step, out.step],
        }
        .run(self.0, &mut out.data);
    }

    /// Expand, depthwise, project, strip by strip of output rows.
    fn inverted(self, block: &PackedInverted, input: &Map, out: &mut Map, scratch: &mut Scratch) {
        let PackedInverted { expand, depthwise, project, residual } = block;
        let (kernel, stride) = (depthwise.kernel, depthwise.stride);
        let sides = [input.height, input.width];
        let [rows, columns] = sides.map(|side| depthwise.padding.output_side(side, kernel, stride));
        let [(top, _), (left, right)] = sides.map(|side| depthwise.padding.edges(side, kernel, stride));
        let channels = depthwise.bias.len();
        out.reshape([rows, columns], project.channels[1], project.bias.len());
        let width = left + input.width + right;
        let pitch = width * channels;
        let most = (STRIP / (pitch * stride)).clamp(1, rows);
        let strips = rows.div_ceil(most);
        let (widened, filtered) = (&mut scratch.widened, &mut scratch.filtered);
        let high = (rows.div_ceil(strips) - 1) * stride + kernel;
        widened.grow(high * pitch);
        filtered.grow(rows.div_ceil(strips) * columns * channels);
        // Left and right edges stay zero for the whole block.
        for row in widened[..high * pitch].chunks_exact_mut(pitch) {
            row[..left * channels].fill(0.0);
            row[(left + input.width) * channels..].fill(0.0);
        }
        // Input rows `first .. ready` (counted with the top edge) are in `widened`, the first at its start.
        let (mut first, mut ready) = (0, 0);
        for strip in 0..strips {
            let (from, to) = (strip * rows / strips, (strip + 1) * rows / strips);
            let (need, end) = (from * stride, (to - 1) * stride + kernel);
            if ready > need {
                widened.copy_within((need - first) * pitch..(ready - first) * pitch, 0);
            }
            first = need;
            let begin = ready.max(need);
            let inside = begin.clamp(top, top + input.height)..end.clamp(top, top + input.height);
            for row in (begin..inside.start).chain(inside.end.max(begin)..end) {
                widened[(row - first) * pitch + left * channels..][..input.width * channels].fill(0.0);
            }
            if !inside.is_empty() {
                let target = &mut widened[(inside.start - first) * pitch + left * channels..];
                self.widen(expand.as_ref(), input, inside.start - top..inside.end - top, target, [pitch, channels]);
            }
            ready = end;
            self.filter(depthwise, widened, pitch, [to - from, columns], filtered);
            Dense {
                input: filtered,
                extent: [1, (to - from) * columns],
                step: [0, channels],
                taps: [1, 0],
                depth: project.channels[0],
                weights: &project.weights,
                bias: &project.bias,
                residual: residual.then(|| &input.data[from * columns * input.step..]),
                clamp: project.clamp,
                mask: None,
                out_step: [0, out.step],
            }
            .run(self.0, &mut out.data[from * columns * project.bias.len()..]);
        }
    }

    /// The depthwise convolution of a framed map, rows `pitch` floats apart, into `out` without gaps.
    pub(super) fn filter(
        self,
        layer: &PackedDepthwise,
        input: &[f32],
        pitch: usize,
        extent: [usize; 2],
        out: &mut [f32],
    ) {
        let (channels, stride) = (layer.bias.len(), layer.stride);
        Depthwise {
            input,
            extent,
            step: [stride * pitch, stride * channels],
            taps: [layer.kernel; 2],
            kernel_step: [pitch, channels],
            channels,
            weights: &layer.weights,
            bias: &layer.bias,
            clamp: layer.clamp,
            mask: None,
            out_step: [extent[1] * channels, channels],
        }
        .run(self.0, out);
    }

    /// Rows of the input, expanded where the block expands, into `out`, whose rows and pixels lie `out_step` floats apart.
    pub(super) fn widen(
        self,
        expand: Option<&Packed>,
        input: &Map,
        rows: Range<usize>,
        out: &mut [f32],
        out_step: [usize; 2],
    ) {
        let length = input.width * input.step;
        let source = &input.data[rows.start * length..];
        match expand {
            Some(expand) => Dense {
                input: source,
                extent: [rows.len(), input.width],
                step: [length, input.step],
                taps: [1, 0],
                depth: expand.channels[0],
                weights: &expand.weights,
                bias: &expand.bias,
                residual: None,
                clamp: expand.clamp,
                mask: None,
                out_step,
            }
            .run(self.0, out),
            None => {
                for row in 0..rows.len() {
                    out[row * out_step[0]..][..length].copy_from_slice(&source[row * length..][..length]);
                }
            }
        }
    }
}

#[cfg(test)]
impl PackedNetwork {
    /// The same network with other kernels.
    pub(super) fn with_instructions(mut self, instructions: Instructions) -> Self {
        self.kernels = Kernels(instructions);
        self
    }
}
