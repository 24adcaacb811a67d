//! [`PackedNetwork`]: a frozen backbone in SIMD kernels over plain slices, one image per thread.
//!
//! Maps are channels-last; batch normalisation, activation and the residual sum are part of the convolution that
//! they follow. EfficientNet's blocks run strip by strip, so that the sixfold wider middle of a block never leaves
//! the second-level cache.

use super::inverted::Strips;
use super::kernel::{Dense, PANEL};
use super::map::{Map, max_pool};
use super::step::{Packed, PackedBottleneck, Step};
use super::{Backbone, vgg};
use gxn_ops::pool::Buffer;
use gxn_ops::simd16::Instructions;

/// Maps and strips that are reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub maps: [Map; 4],
    pub padded: Buffer,
    pub strips: Strips,
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
}

#[cfg(test)]
impl PackedNetwork {
    /// The same network with other kernels.
    pub(super) fn with_instructions(mut self, instructions: Instructions) -> Self {
        self.kernels = Kernels(instructions);
        self
    }
}
