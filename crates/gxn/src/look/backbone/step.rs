//! [`Step`]: a block in the form of its kernels, with packed weights.

use super::block::{Block, MaxPool};
use super::kernel::PANEL;
use super::layer::{ConvLayer, ConvPlan, Padding};
use super::map::step_of;
use gxn_ops::pool::Buffer;

/// A layer's description, its weights `[out, in / groups, kernel, kernel]` and its bias `[out]`, with the normalisation
/// multiplied in.
pub(super) type Folded<'a> = (&'a ConvPlan, &'a [f32], &'a [f32]);

/// Gives the folded weights of one layer after the other; see [`Block::layers`].
pub(super) struct FoldedLayers<'a>(pub &'a [f32]);

impl<'a> FoldedLayers<'a> {
    /// The weights of the next layer.
    pub(super) fn next(&mut self, layer: &'a ConvLayer) -> Folded<'a> {
        let plan = layer.plan();
        let (weight, rest) = self.0.split_at(plan.weight_count());
        let (bias, rest) = rest.split_at(plan.channels[1]);
        self.0 = rest;
        (plan, weight, bias)
    }
}

/// A dense convolution with packed weights.
#[derive(Debug)]
pub(super) struct Packed {
    pub weights: Buffer,
    pub bias: Buffer,
    pub channels: [usize; 2],
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
    pub clamp: [f32; 2],
}

/// A depthwise convolution with packed weights.
#[derive(Debug)]
pub(super) struct PackedDepthwise {
    pub weights: Buffer,
    pub bias: Buffer,
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
    pub clamp: [f32; 2],
}

/// EfficientNet's block.
#[derive(Debug)]
pub(super) struct PackedInverted {
    pub expand: Option<Packed>,
    pub depthwise: PackedDepthwise,
    pub project: Packed,
    pub residual: bool,
}

/// ResNet's block. The sum with the shortcut comes before the activation, here inside the last convolution.
#[derive(Debug)]
pub(super) struct PackedBottleneck {
    pub reduce: Packed,
    pub spatial: Packed,
    pub expand: Packed,
    pub downsample: Option<Packed>,
}

/// One step of a network.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a backbone has dozens of steps, not thousands
pub(super) enum Step {
    Conv(Packed),
    Inverted(PackedInverted),
    Bottleneck(PackedBottleneck),
    MaxPool(MaxPool),
}

impl Step {
    /// The blocks with their own weights.
    pub(super) fn pack_all(blocks: &[Block]) -> Vec<Self> {
        blocks.iter().map(|block| Self::pack(block, &mut FoldedLayers(&block.folded()))).collect()
    }

    /// The block with the weights that `folded` gives.
    pub(super) fn pack<'a>(block: &'a Block, folded: &mut FoldedLayers<'a>) -> Self {
        match block {
            Block::Conv(layer) => Self::Conv(Packed::new(folded.next(layer))),
            Block::Inverted(block) => Self::Inverted(PackedInverted {
                expand: block.expand.as_ref().map(|layer| Packed::new(folded.next(layer))),
                depthwise: PackedDepthwise::new(folded.next(&block.depthwise)),
                project: Packed::new(folded.next(&block.project)),
                residual: block.is_residual(),
            }),
            Block::Bottleneck(block) => Self::Bottleneck(PackedBottleneck {
                reduce: Packed::new(folded.next(&block.reduce)),
                spatial: Packed::new(folded.next(&block.spatial)),
                expand: Packed::new(folded.next(&block.expand)),
                downsample: block.downsample.as_ref().map(|layer| Packed::new(folded.next(layer))),
            }),
            Block::MaxPool(pool) => Self::MaxPool(pool.clone()),
        }
    }
}

impl Packed {
    /// `[out, in, k, k]` → `[panels, k · k · in (padded), 16]`.
    pub(super) fn new((plan, weight, bias): Folded<'_>) -> Self {
        let [inputs, outputs] = plan.channels;
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
        let bias = padded_bias(bias);
        let clamp = plan.activation.bounds();
        Self { weights, bias, channels: plan.channels, kernel, stride: plan.stride, padding: plan.padding, clamp }
    }

    /// Consecutive floats under one row of the kernel.
    pub(super) fn depth(&self) -> usize {
        match self.kernel {
            1 => self.channels[0],
            kernel => kernel * step_of(self.channels[0]),
        }
    }
}

impl PackedDepthwise {
    /// `[channels, 1, k, k]` → `[k · k, channels (padded)]`.
    pub(super) fn new((plan, weight, bias): Folded<'_>) -> Self {
        let channels = plan.channels[1];
        let padded = channels.next_multiple_of(PANEL);
        let places = plan.kernel * plan.kernel;
        let mut weights = Buffer::zeros(places * padded);
        for channel in 0..channels {
            for place in 0..places {
                weights[place * padded + channel] = weight[channel * places + place];
            }
        }
        let bias = padded_bias(bias);
        let clamp = plan.activation.bounds();
        Self { weights, bias, kernel: plan.kernel, stride: plan.stride, padding: plan.padding, clamp }
    }
}

/// Zeros up to the next panel.
fn padded_bias(bias: &[f32]) -> Buffer {
    let mut padded = Buffer::zeros(bias.len().next_multiple_of(PANEL));
    padded[..bias.len()].copy_from_slice(bias);
    padded
}
