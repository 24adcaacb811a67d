//! A small network that is trained from scratch with the rest: for the demo, for tests, and where there are no weights.

use burn::tensor::Device;

use super::block::Block;
use super::layer::{ConvPlan, Norm, Padding, Rectifier, Source};
use gxn_base::Result;

/// Channels after each of the five convolutions, each of stride 2.
const CHANNELS: [usize; 5] = [24, 48, 96, 160, 256];
/// Channels of the last map.
pub(super) const FEATURES: usize = CHANNELS[CHANNELS.len() - 1];

/// Five 3×3 convolutions of stride 2 with standardised weights, each a group of its own.
///
/// # Errors
/// Those of `source`.
pub(super) fn blocks(source: &mut Source<'_>, device: &Device) -> Result<(Vec<Block>, Vec<usize>)> {
    let mut inputs = 3;
    let mut blocks = Vec::new();
    for (number, channels) in CHANNELS.into_iter().enumerate() {
        let plan = ConvPlan {
            name: format!("blocks.{number}"),
            norm_name: String::new(),
            norm: Norm::Standardised,
            channels: [inputs, channels],
            kernel: 3,
            stride: 2,
            groups: 1,
            padding: Padding::Symmetric(1),
            activation: Rectifier::Relu,
            matrix: false,
        };
        blocks.push(Block::Conv(plan.build(source, device)?));
        inputs = channels;
    }
    let groups = (0..blocks.len()).collect();
    Ok((blocks, groups))
}
