//! ResNet-50 and ResNet-152 (He et al. 2016), stride in the 3×3 convolution, with torchvision's names.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::block::{Block, MaxPool};
use super::layer::{ConvLayer, ConvPlan, Norm, Padding, Rectifier, Source};
use gxn_base::Result;

/// Channels of the last map.
pub(super) const FEATURES: usize = 2048;

/// 1×1, 3×3, 1×1, plus the input or its 1×1 projection, then ReLU.
#[derive(Module, Debug)]
pub struct Bottleneck {
    pub(super) reduce: ConvLayer,
    pub(super) spatial: ConvLayer,
    pub(super) expand: ConvLayer,
    pub(super) downsample: Option<ConvLayer>,
}

impl Bottleneck {
    /// # Shapes
    /// `[B, in, h, w]` → `[B, out, ceil(h / stride), ceil(w / stride)]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.expand.convolve(self.spatial.forward(self.reduce.forward(x.clone())));
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        };
        relu(y + shortcut)
    }
}

/// All blocks, and the first block of every group (stem, layer1 … layer4).
///
/// # Errors
/// Those of `source`.
pub(super) fn blocks(
    repeats: [usize; 4],
    source: &mut Source<'_>,
    device: &Device,
) -> Result<(Vec<Block>, Vec<usize>)> {
    let mut conv = |name: String, norm_name: String, channels, kernel, stride, activation| {
        ConvPlan {
            name,
            norm_name,
            norm: Norm::Batch(1e-5),
            channels,
            kernel,
            stride,
            groups: 1,
            padding: Padding::Symmetric(kernel / 2),
            activation,
            matrix: false,
        }
        .build(source, device)
    };
    let stem = conv("conv1".into(), "bn1".into(), [3, 64], 7, 2, Rectifier::Relu)?;
    let mut blocks = vec![Block::Conv(stem), Block::MaxPool(MaxPool { kernel: 3, stride: 2, edge: 1 })];
    let mut groups = vec![0];
    let mut inputs = 64;
    for (stage, repeats) in repeats.into_iter().enumerate() {
        groups.push(blocks.len());
        let width = 64 << stage;
        let outputs = 4 * width;
        for repeat in 0..repeats {
            let prefix = format!("layer{}.{repeat}", stage + 1);
            let stride = if repeat == 0 && stage > 0 { 2 } else { 1 };
            let mut part = |number: usize, channels, kernel, stride| {
                let (name, norm) = (format!("{prefix}.conv{number}"), format!("{prefix}.bn{number}"));
                conv(name, norm, channels, kernel, stride, Rectifier::Relu)
            };
            let reduce = part(1, [inputs, width], 1, 1)?;
            let spatial = part(2, [width, width], 3, stride)?;
            let expand = part(3, [width, outputs], 1, 1)?;
            let downsample = if repeat == 0 {
                let (name, norm) = (format!("{prefix}.downsample.0"), format!("{prefix}.downsample.1"));
                Some(conv(name, norm, [inputs, outputs], 1, stride, Rectifier::None)?)
            } else {
                None
            };
            blocks.push(Block::Bottleneck(Bottleneck { reduce, spatial, expand, downsample }));
            inputs = outputs;
        }
    }
    Ok((blocks, groups))
}
