//! EfficientNet-Lite (Tan & Le 2019; the "lite" variants of 2020): inverted residual blocks without squeeze-excite.
//!
//! Names and arithmetic are those of the PyPI package `efficientnet-lite-pytorch`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::block::Block;
use super::layer::{ConvLayer, ConvPlan, Norm, Padding, Rectifier, Source};
use gxn_base::Result;

/// Expand 1×1, depthwise, project 1×1, and the input added where shapes allow.
#[derive(Module, Debug)]
pub struct InvertedResidual {
    pub(super) expand: Option<ConvLayer>,
    pub(super) depthwise: ConvLayer,
    pub(super) project: ConvLayer,
}

impl InvertedResidual {
    /// Whether the input is added to the output.
    pub(super) fn is_residual(&self) -> bool {
        let inputs = self.expand.as_ref().unwrap_or(&self.depthwise).plan().channels[0];
        self.depthwise.plan().stride == 1 && inputs == self.project.plan().channels[1]
    }

    /// # Shapes
    /// `[B, in, h, w]` → `[B, out, ceil(h / stride), ceil(w / stride)]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let expanded = match &self.expand {
            Some(expand) => expand.forward(x.clone()),
            None => x.clone(),
        };
        let y = self.project.forward(self.depthwise.forward(expanded));
        if self.is_residual() { y + x } else { y }
    }
}

/// One stage: repeats, kernel, stride, expansion, output channels (before scaling).
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];

/// Channels after the head.
pub(super) const FEATURES: usize = 1280;

/// Channels times `width`, rounded to the nearest multiple of eight that is not more than 10 % below.
fn scaled(channels: usize, width: f64) -> usize {
    let wanted = channels as f64 * width;
    let rounded = ((wanted + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
}

/// All blocks, and the first block of every group (stem, seven stages, head).
///
/// # Errors
/// Those of `source`.
pub(super) fn blocks(
    width: f64,
    depth: f64,
    source: &mut Source<'_>,
    device: &Device,
) -> Result<(Vec<Block>, Vec<usize>)> {
    let conv = |name: String, norm_name: String, channels, kernel, stride, activation| ConvPlan {
        name,
        norm_name,
        norm: Norm::Batch(1e-3),
        channels,
        kernel,
        stride,
        groups: 1,
        padding: Padding::Same,
        activation,
        matrix: false,
    };
    let stem = conv("_conv_stem".into(), "_bn0".into(), [3, 32], 3, 2, Rectifier::Relu6);
    let mut blocks = vec![Block::Conv(stem.build(source, device)?)];
    let mut groups = vec![0];
    let mut inputs = 32;
    for (stage, [repeats, kernel, stride, expansion, channels]) in STAGES.into_iter().enumerate() {
        groups.push(blocks.len());
        // The first and the last stage repeat once at every depth; channels are scaled everywhere.
        let fixed = stage == 0 || stage == STAGES.len() - 1;
        let repeats = if fixed { repeats } else { (repeats as f64 * depth).ceil() as usize };
        let outputs = scaled(channels, width);
        for repeat in 0..repeats {
            let prefix = format!("_blocks.{}", blocks.len() - 1);
            let part = |conv: &str, norm: &str| (format!("{prefix}.{conv}"), format!("{prefix}.{norm}"));
            let middle = inputs * expansion;
            let expand = if expansion == 1 {
                None
            } else {
                let (name, norm) = part("_expand_conv", "_bn0");
                Some(conv(name, norm, [inputs, middle], 1, 1, Rectifier::Relu6).build(source, device)?)
            };
            let (name, norm) = part("_depthwise_conv", "_bn1");
            let stride = if repeat == 0 { stride } else { 1 };
            let depthwise = conv(name, norm, [middle, middle], kernel, stride, Rectifier::Relu6);
            let depthwise = ConvPlan { groups: middle, ..depthwise }.build(source, device)?;
            let (name, norm) = part("_project_conv", "_bn2");
            let project = conv(name, norm, [middle, outputs], 1, 1, Rectifier::None).build(source, device)?;
            blocks.push(Block::Inverted(InvertedResidual { expand, depthwise, project }));
            inputs = outputs;
        }
    }
    groups.push(blocks.len());
    let head = conv("_conv_head".into(), "_bn1".into(), [inputs, FEATURES], 1, 1, Rectifier::Relu6);
    blocks.push(Block::Conv(head.build(source, device)?));
    Ok((blocks, groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lite2's widths (× 1.1): 16 → 17.6 → 16; 24 → 26.4 → 24; 40 → 44 → 48; 80 → 88; 112 → 123.2 → 120; 192 → 211.2 → 208; 320 → 352.
    #[test]
    fn widths_round_to_eight() {
        let widths: Vec<usize> = STAGES.iter().map(|stage| scaled(stage[4], 1.1)).collect();
        assert_eq!(widths, [16, 24, 48, 88, 120, 208, 352]);
    }
}
