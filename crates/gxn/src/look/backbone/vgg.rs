//! VGG-19 without batch normalisation (Simonyan & Zisserman 2015), with torchvision's names.

use burn::tensor::Device;

use super::block::{Block, MaxPool};
use super::layer::{ConvPlan, Norm, Padding, Rectifier, Source};
use gxn_base::Result;

/// Channels of the last map.
pub(super) const GRID: usize = 512;
/// Width of the penultimate fully connected layer.
pub(super) const FEATURES: usize = 4096;
/// Side of the map that the fully connected layers read.
pub(super) const HEAD_SIDE: usize = 7;

fn plan(name: String, channels: [usize; 2], kernel: usize, edge: usize, matrix: bool) -> ConvPlan {
    ConvPlan {
        name,
        norm_name: String::new(),
        norm: Norm::Bias,
        channels,
        kernel,
        stride: 1,
        groups: 1,
        padding: Padding::Symmetric(edge),
        activation: Rectifier::Relu,
        matrix,
    }
}

/// The sixteen convolutions and five poolings, and the first block of each of the five groups.
///
/// # Errors
/// Those of `source`.
pub(super) fn blocks(source: &mut Source<'_>, device: &Device) -> Result<(Vec<Block>, Vec<usize>)> {
    let (mut blocks, mut groups) = (Vec::new(), Vec::new());
    let (mut inputs, mut position) = (3, 0);
    for (channels, repeats) in [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)] {
        groups.push(blocks.len());
        for _ in 0..repeats {
            // In the file a convolution and its ReLU take one number each.
            let layer = plan(format!("features.{position}"), [inputs, channels], 3, 1, false);
            blocks.push(Block::Conv(layer.build(source, device)?));
            inputs = channels;
            position += 2;
        }
        blocks.push(Block::MaxPool(MaxPool { kernel: 2, stride: 2, edge: 0 }));
        position += 1;
    }
    Ok((blocks, groups))
}

/// The first two fully connected layers, written as convolutions over the 7 × 7 map and over its single output.
///
/// # Errors
/// Those of `source`.
pub(super) fn head(source: &mut Source<'_>, device: &Device) -> Result<Vec<Block>> {
    let first = plan("classifier.0".into(), [GRID, FEATURES], HEAD_SIDE, 0, true).build(source, device)?;
    let second = plan("classifier.3".into(), [FEATURES, FEATURES], 1, 0, true).build(source, device)?;
    Ok(vec![Block::Conv(first), Block::Conv(second)])
}
