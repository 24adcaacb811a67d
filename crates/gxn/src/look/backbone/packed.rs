//! [`PackedNetwork`]: a frozen backbone in SIMD kernels over plain slices, one image per thread.
//!
//! Maps are channels-last; batch normalisation, activation and the residual sum are part of the convolution that
//! they follow. EfficientNet's blocks run strip by strip, so that the sixfold wider middle of a block never leaves
//! the second-level cache.

use std::ops::Range;

use burn::tensor::Tensor;

use super::block::{Block, MaxPool};
use super::kernel::{Dense, Depthwise, PANEL};
use super::layer::{ConvLayer, Padding};
use super::map::{Map, max_pool, step_of};
use super::{Backbone, vgg};
use gxn_ops::pool::Buffer;
use gxn_ops::simd16::Instructions;

/// Floats in the widened strip of an inverted residual block (512 KiB).
const STRIP: usize = 128 * 1024;

/// Maps and strips that are reused from image to image.
#[derive(Debug, Default)]
struct Scratch {
    maps: [Map; 4],
    padded: Buffer,
    widened: Buffer,
    filtered: Buffer,
}

/// A dense convolution with packed weights.
#[derive(Debug)]
struct Packed {
    weights: Buffer,
    bias: Buffer,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: Padding,
    clamp: [f32; 2],
}

/// A depthwise convolution with packed weights.
#[derive(Debug)]
struct PackedDepthwise {
    weights: Buffer,
    bias: Buffer,
    kernel: usize,
    stride: usize,
    padding: Padding,
    clamp: [f32; 2],
}

/// An inverted residual block.
#[derive(Debug)]
struct PackedInverted {
    expand: Option<Packed>,
    depthwise: PackedDepthwise,
    project: Packed,
    residual: bool,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a backbone has dozens of steps, not thousands
enum Step {
    Conv(Packed),
    Inverted(PackedInverted),
    Bottleneck { reduce: Packed, spatial: Packed, expand: Packed, downsample: Option<Packed> },
    MaxPool(MaxPool),
}

/// A frozen backbone in the form of its kernels.
#[derive(Debug)]
pub(super) struct PackedNetwork {
    steps: Vec<Step>,
    head: Vec<Step>,
    instructions: Instructions,
}

impl PackedNetwork {
    /// None if a block has no kernel.
    pub(super) fn new(backbone: &Backbone) -> Option<Self> {
        let pack = |blocks: &[Block]| blocks.iter().map(Step::pack).collect::<Option<Vec<Step>>>();
        let (steps, head) = (pack(&backbone.blocks)?, pack(&backbone.head)?);
        Some(Self { steps, head, instructions: Instructions::best() })
    }

    /// The feature of an image `[3, side, side]`, on the calling thread; see [`Backbone::forward`].
    pub(super) fn feature(&self, image: &[f32], side: usize) -> Vec<f32> {
        self.pool(&self.map(image, side))
    }

    /// The last map.
    fn map(&self, image: &[f32], side: usize) -> Map {
        thread_local! {
            static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut map = Map::default();
            map.reshape([side, side], 3, 3);
            for (pixel, values) in map.data[..side * side * 3].chunks_exact_mut(3).enumerate() {
                values.copy_from_slice(&[image[pixel], image[side * side + pixel], image[2 * side * side + pixel]]);
            }
            self.run(&self.steps, map, scratch)
        })
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
        self.run(&self.head, input, &mut Scratch::default()).pool([1, 1])
    }

    fn run(&self, steps: &[Step], map: Map, scratch: &mut Scratch) -> Map {
        let mut input = map;
        for step in steps {
            let mut out = std::mem::take(&mut scratch.maps[0]);
            match step {
                Step::Conv(layer) => self.conv(layer, &input, None, &mut out, &mut scratch.padded),
                Step::Inverted(block) => self.inverted(block, &input, &mut out, scratch),
                Step::Bottleneck { reduce, spatial, expand, downsample } => {
                    let [_, narrow, filtered, shortcut] = &mut scratch.maps;
                    self.conv(reduce, &input, None, narrow, &mut scratch.padded);
                    self.conv(spatial, narrow, None, filtered, &mut scratch.padded);
                    let residual = match downsample {
                        Some(layer) => {
                            self.conv(layer, &input, None, shortcut, &mut scratch.padded);
                            &*shortcut
                        }
                        None => &input,
                    };
                    self.conv(expand, filtered, Some(residual), &mut out, &mut scratch.padded);
                }
                Step::MaxPool(pool) => max_pool(pool, &input, &mut out),
            }
            scratch.maps[0] = std::mem::replace(&mut input, out);
        }
        input
    }

    fn conv(&self, layer: &Packed, input: &Map, residual: Option<&Map>, out: &mut Map, padded: &mut Buffer) {
        let (kernel, stride) = (layer.kernel, layer.stride);
        let [rows, columns] = [input.height, input.width].map(|side| layer.padding.output_side(side, kernel, stride));
        out.reshape([rows, columns], layer.channels[1], layer.bias.len());
        let edges = [input.height, input.width].map(|side| layer.padding.edges(side, kernel, stride));
        let (source, width) = if edges == [(0, 0); 2] {
            (&input.data[..], input.width)
        } else {
            let width = edges[1].0 + input.width + edges[1].1;
            let pitch = width * input.step;
            padded.grow((edges[0].0 + input.height + edges[0].1) * pitch);
            padded[..edges[0].0 * pitch].fill(0.0);
            padded[(edges[0].0 + input.height) * pitch..][..edges[0].1 * pitch].fill(0.0);
            for (row, from) in
                input.data[..input.height * input.width * input.step].chunks_exact(input.width * input.step).enumerate()
            {
                let to = &mut padded[(edges[0].0 + row) * pitch..][..pitch];
                let (left, rest) = to.split_at_mut(edges[1].0 * input.step);
                let (middle, right) = rest.split_at_mut(from.len());
                left.fill(0.0);
                middle.copy_from_slice(from);
                right.fill(0.0);
            }
            (&padded[..], width)
        };
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
            out_step: [columns * out.step, out.step],
        }
        .run(self.instructions, &mut out.data);
    }

    /// Expand, depthwise, project, strip by strip of output rows.
    fn inverted(&self, block: &PackedInverted, input: &Map, out: &mut Map, scratch: &mut Scratch) {
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
            Depthwise {
                input: widened,
                extent: [to - from, columns],
                step: [stride * pitch, stride * channels],
                side: kernel,
                kernel_step: [pitch, channels],
                channels,
                weights: &depthwise.weights,
                bias: &depthwise.bias,
                clamp: depthwise.clamp,
            }
            .run(self.instructions, filtered);
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
                out_step: [0, out.step],
            }
            .run(self.instructions, &mut out.data[from * columns * project.bias.len()..]);
        }
    }

    /// Rows of the input, expanded where the block expands, into `out`, whose rows and pixels lie `out_step` floats apart.
    fn widen(&self, expand: Option<&Packed>, input: &Map, rows: Range<usize>, out: &mut [f32], out_step: [usize; 2]) {
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
                out_step,
            }
            .run(self.instructions, out),
            None => {
                for row in 0..rows.len() {
                    out[row * out_step[0]..][..length].copy_from_slice(&source[row * length..][..length]);
                }
            }
        }
    }
}

impl Step {
    /// The block in the form of its kernels; none where it has none, and the whole network then goes through the tensor
    /// framework.
    fn pack(block: &Block) -> Option<Self> {
        Some(match block {
            Block::Conv(layer) => Self::Conv(Packed::new(layer)),
            Block::Inverted(block) => Self::Inverted(PackedInverted {
                expand: block.expand.as_ref().map(Packed::new),
                depthwise: PackedDepthwise::new(&block.depthwise),
                project: Packed::new(&block.project),
                residual: block.is_residual(),
            }),
            Block::Bottleneck(block) => Self::Bottleneck {
                reduce: Packed::new(&block.reduce),
                spatial: Packed::new(&block.spatial),
                // The sum with the shortcut comes before the activation, here inside the convolution.
                expand: Packed::new(&block.expand),
                downsample: block.downsample.as_ref().map(Packed::new),
            },
            Block::MaxPool(pool) => Self::MaxPool(pool.clone()),
        })
    }
}

impl Packed {
    /// `[out, in, k, k]` → `[panels, k · k · in (padded), 16]`.
    fn new(layer: &ConvLayer) -> Self {
        let plan = layer.plan();
        let [inputs, outputs] = plan.channels;
        let (weight, bias) = layer.folded();
        let weight = values(weight);
        let kernel = plan.kernel;
        // Under a 1×1 kernel the padding of the channels is skipped, under larger ones it is part of the row.
        let step = if kernel == 1 { inputs } else { step_of(inputs) };
        let length = kernel * kernel * step;
        let panels = outputs.div_ceil(PANEL);
        let mut weights = Buffer::zeros(panels * length * PANEL);
        for output in 0..outputs {
            let panel = &mut weights[output / PANEL * length * PANEL..];
            for input in 0..inputs {
                for place in 0..kernel * kernel {
                    panel[(place * step + input) * PANEL + output % PANEL] =
                        weight[(output * inputs + input) * kernel * kernel + place];
                }
            }
        }
        let bias = whole_panels(values(bias));
        let clamp = plan.activation.bounds();
        Self { weights, bias, channels: plan.channels, kernel, stride: plan.stride, padding: plan.padding, clamp }
    }

    /// Consecutive floats under one row of the kernel.
    fn depth(&self) -> usize {
        match self.kernel {
            1 => self.channels[0],
            kernel => kernel * step_of(self.channels[0]),
        }
    }
}

impl PackedDepthwise {
    /// `[channels, 1, k, k]` → `[k · k, channels (padded)]`.
    fn new(layer: &ConvLayer) -> Self {
        let plan = layer.plan();
        let channels = plan.channels[1];
        let padded = channels.next_multiple_of(PANEL);
        let (weight, bias) = layer.folded();
        let weight = values(weight);
        let places = plan.kernel * plan.kernel;
        let mut weights = Buffer::zeros(places * padded);
        for channel in 0..channels {
            for place in 0..places {
                weights[place * padded + channel] = weight[channel * places + place];
            }
        }
        let bias = whole_panels(values(bias));
        let clamp = plan.activation.bounds();
        Self { weights, bias, kernel: plan.kernel, stride: plan.stride, padding: plan.padding, clamp }
    }
}

/// `values`, and zeros up to a whole panel.
fn whole_panels(mut values: Vec<f32>) -> Buffer {
    values.resize(values.len().next_multiple_of(PANEL), 0.0);
    Buffer::from(values.as_slice())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
impl PackedNetwork {
    /// The same network with other kernels.
    pub(super) fn with_instructions(mut self, instructions: Instructions) -> Self {
        self.instructions = instructions;
        self
    }
}
