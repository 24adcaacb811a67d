//! [`Block`]: what a backbone is a sequence of.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

use super::efficientnet_lite::InvertedResidual;
use super::layer::{ConvLayer, Padding};
use super::resnet::Bottleneck;

/// One step of a backbone.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a backbone has dozens of blocks, not thousands
pub enum Block {
    /// Convolution, normalisation, activation.
    Conv(ConvLayer),
    /// EfficientNet's block.
    Inverted(InvertedResidual),
    /// ResNet's block.
    Bottleneck(Bottleneck),
    /// Maximum over windows.
    MaxPool(MaxPool),
}

/// Maximum over square windows.
#[derive(Module, Debug)]
pub struct MaxPool {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) edge: usize,
}

impl MaxPool {
    /// Output side for an input of `side` pixels.
    pub(super) fn output_side(&self, side: usize) -> usize {
        Padding::Symmetric(self.edge).output_side(side, self.kernel, self.stride)
    }
}

impl Block {
    /// # Shapes
    /// `[B, in, h, w]` → `[B, out, h', w']`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(layer) => layer.forward(x),
            Self::Inverted(block) => block.forward(x),
            Self::Bottleneck(block) => block.forward(x),
            Self::MaxPool(MaxPool { kernel, stride, edge }) => {
                max_pool2d(x, MaxPoolOptions::new([*kernel; 2]).with_stride([*stride; 2]).with_padding([*edge; 2]))
            }
        }
    }

    /// Its layers, in the order of [`super::step::FoldedLayers`].
    pub(super) fn layers(&self) -> Vec<&ConvLayer> {
        match self {
            Self::Conv(layer) => vec![layer],
            Self::Inverted(block) => block.expand.iter().chain([&block.depthwise, &block.project]).collect(),
            Self::Bottleneck(block) => {
                [&block.reduce, &block.spatial, &block.expand].into_iter().chain(&block.downsample).collect()
            }
            Self::MaxPool(_) => Vec::new(),
        }
    }

    /// The folded weights and biases of its layers, one after the other.
    pub(super) fn folded(&self) -> Vec<f32> {
        let mut values = Vec::new();
        for layer in self.layers() {
            let (weight, bias) = layer.folded();
            values.extend(weight.into_data().iter::<f32>());
            values.extend(bias.into_data().iter::<f32>());
        }
        values
    }
}
