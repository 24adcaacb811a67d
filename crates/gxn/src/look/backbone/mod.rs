//! Image backbones: convolutional networks from images to feature vectors.
//!
//! A [`Backbone`] is a sequence of blocks, differentiable, with frozen batch statistics. [`Inference`] is the same
//! network without gradients, several times as fast on CPUs where its blocks have kernels of their own. Both give the same
//! numbers.

mod block;
mod efficientnet_lite;
mod extension;
mod frozen;
mod inference;
mod inverted;
mod inverted_backward;
mod kernel;
mod layer;
mod map;
mod packed;
mod resnet;
mod small;
mod step;
mod sums;
mod trained;
mod transposed;
mod vgg;
mod weights;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use block::{Block, MaxPool};
pub use efficientnet_lite::InvertedResidual;
pub use inference::Inference;
pub use layer::{ConvLayer, ConvPlan, Norm, Padding, Rectifier};
pub use map::Map;
pub use resnet::Bottleneck;
pub use weights::WeightFile;

use extension::host;
use frozen::FrozenSteps;
use gxn_base::Result;
use gxn_data::{Preprocess, ResizeFilter, ResizeRule};
use layer::Source;
use trained::TrainedNetwork;

/// The networks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackboneKind {
    /// EfficientNet-Lite0, 224 px, 1280 features.
    #[serde(rename = "efficientnet_lite0")]
    EfficientNetLite0,
    /// EfficientNet-Lite2, 260 px, 1280 features.
    #[serde(rename = "efficientnet_lite2")]
    EfficientNetLite2,
    /// ResNet-50, 224 px, 2048 features.
    #[serde(rename = "resnet50")]
    ResNet50,
    /// ResNet-152, 224 px, 2048 features: the paper's "R".
    #[serde(rename = "resnet152")]
    ResNet152,
    /// VGG-19, 224 px, 4096 features: the paper's "V".
    #[serde(rename = "vgg19")]
    Vgg19,
    /// Five convolutions trained with the rest, 96 px, 256 features; no weights needed.
    Small,
}

impl BackboneKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::EfficientNetLite0, Self::EfficientNetLite2, Self::ResNet50, Self::ResNet152, Self::Vgg19, Self::Small];

    /// Width `F` of [`Backbone::forward`].
    pub fn feature_dim(self) -> usize {
        match self {
            Self::EfficientNetLite0 | Self::EfficientNetLite2 => efficientnet_lite::FEATURES,
            Self::ResNet50 | Self::ResNet152 => resnet::FEATURES,
            Self::Vgg19 => vgg::FEATURES,
            Self::Small => small::FEATURES,
        }
    }

    /// What the published weights were trained with, except that the EfficientNets stretch the image: captions
    /// speak of all of it, and their own rule would cut the edges off.
    pub fn preprocess(self) -> Preprocess {
        let lite = |side_px| Preprocess::efficientnet_lite(side_px).with_resize(ResizeRule::Stretch);
        match self {
            Self::EfficientNetLite0 => lite(224),
            Self::EfficientNetLite2 => lite(260),
            Self::ResNet50 | Self::ResNet152 | Self::Vgg19 => Preprocess::imagenet_224(),
            Self::Small => Preprocess {
                side_px: 96,
                resize: ResizeRule::Stretch,
                filter: ResizeFilter::Bilinear,
                mean: [127.5; 3],
                std: [64.0; 3],
            },
        }
    }

    /// Known files of weights, the most usual first; none for [`Self::Small`].
    pub fn weight_files(self) -> &'static [WeightFile] {
        weights::known(self)
    }

    /// Whether `name` belongs to the classifier that a published file holds and that no feature needs.
    fn is_classifier(self, name: &str) -> bool {
        match self {
            Self::EfficientNetLite0 | Self::EfficientNetLite2 => matches!(name, "_fc.weight" | "_fc.bias"),
            Self::ResNet50 | Self::ResNet152 => matches!(name, "fc.weight" | "fc.bias"),
            Self::Vgg19 => matches!(name, "classifier.6.weight" | "classifier.6.bias"),
            Self::Small => false,
        }
    }
}

impl fmt::Display for BackboneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EfficientNetLite0 => "EfficientNet-Lite0",
            Self::EfficientNetLite2 => "EfficientNet-Lite2",
            Self::ResNet50 => "ResNet-50",
            Self::ResNet152 => "ResNet-152",
            Self::Vgg19 => "VGG-19",
            Self::Small => "Small",
        })
    }
}

/// A convolutional network with its weights.
#[derive(Module, Debug)]
pub struct Backbone {
    blocks: Vec<Block>,
    /// Blocks between the grid and the feature; empty where the feature is the grid's mean.
    head: Vec<Block>,
    #[module(skip)]
    kind: BackboneKind,
    /// First block of each group.
    #[module(skip)]
    groups: Vec<usize>,
    #[module(skip)]
    frozen: FrozenSteps,
}

impl Backbone {
    /// A network with random weights: He's normal for convolutions, identity normalisation. Equal seeds give equal
    /// weights.
    pub fn random(kind: BackboneKind, device: &Device, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut source = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            let count = shape.iter().product();
            Ok(if shape.len() > 1 {
                let spread = (2.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
                (0..count).map(|_| spread * normal(&mut rng)).collect()
            } else if name.ends_with("gain") {
                vec![std::f32::consts::SQRT_2; count] // keeps the variance through a ReLU
            } else if name.ends_with("weight") || name.ends_with("running_var") {
                vec![1.0; count]
            } else {
                vec![0.0; count]
            })
        };
        Self::build(kind, &mut source, device).expect("random weights have every name and shape")
    }

    /// A network of zeros, whose stored weights are about to take their place.
    pub(crate) fn zeros(kind: BackboneKind, device: &Device) -> Self {
        let mut source = |_: &str, shape: &[usize]| Ok(vec![0.0; shape.iter().product()]);
        Self::build(kind, &mut source, device).expect("zeros have every name and shape")
    }

    /// The network with the weights at `path`: a safetensors or PyTorch file with the publisher's names, or a folder
    /// that holds one of [`BackboneKind::weight_files`] under its usual name.
    ///
    /// # Errors
    /// When there is no file (with its name, publisher and checksum), it cannot be read, it lacks a tensor or has one
    /// of another shape or one too many, or a weight is not finite.
    pub fn load(kind: BackboneKind, path: &Path, device: &Device) -> Result<Self> {
        let mut weights = weights::Weights::open(&weights::locate(kind, path)?)?;
        let backbone = Self::build(kind, &mut |name, shape| weights.take(name, shape), device)?;
        weights.finish(|name| kind.is_classifier(name))?;
        Ok(backbone)
    }

    fn build(kind: BackboneKind, source: &mut Source<'_>, device: &Device) -> Result<Self> {
        let (blocks, groups) = match kind {
            BackboneKind::EfficientNetLite0 => efficientnet_lite::blocks(1.0, 1.0, source, device)?,
            BackboneKind::EfficientNetLite2 => efficientnet_lite::blocks(1.1, 1.2, source, device)?,
            BackboneKind::ResNet50 => resnet::blocks([3, 4, 6, 3], source, device)?,
            BackboneKind::ResNet152 => resnet::blocks([3, 8, 36, 3], source, device)?,
            BackboneKind::Vgg19 => vgg::blocks(source, device)?,
            BackboneKind::Small => small::blocks(source, device)?,
        };
        let head = match kind {
            BackboneKind::Vgg19 => vgg::head(source, device)?,
            _ => Vec::new(),
        };
        Ok(Self { blocks, head, kind, groups, frozen: FrozenSteps::default() })
    }

    /// Which network it is.
    pub fn kind(&self) -> BackboneKind {
        self.kind
    }

    /// The number of the first block of the `unlocked` topmost groups: 0 groups freeze everything, more than there are
    /// free everything. EfficientNet-Lite has nine groups (stem, seven stages, head), ResNet five (stem, four
    /// layers), VGG-19 five (between poolings; the fully connected layers belong to the last), Small five.
    pub fn cut_below(&self, unlocked: usize) -> usize {
        match unlocked {
            0 => self.blocks.len(),
            _ => self.groups[self.groups.len().saturating_sub(unlocked)],
        }
    }

    /// Of each block the number of groups above its own.
    pub fn groups_above(&self) -> Vec<usize> {
        let above = |block| self.groups.iter().filter(|&&first| first > block).count();
        (0..self.blocks.len()).map(above).collect()
    }

    /// The feature that the paper takes: the mean over the last map, or for VGG-19 the penultimate fully connected
    /// layer after its ReLU.
    ///
    /// # Shapes
    /// `[B, 3, S, S]` → `[B, F]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match images.device() == Device::flex() {
            true => self.pool(self.forward_blocks(images)),
            false => self.forward_plain(images),
        }
    }

    /// The same by tensor operations, on whatever device holds the tensors.
    ///
    /// # Shapes
    /// As [`Self::forward`].
    fn forward_plain(&self, images: Tensor<4>) -> Tensor<2> {
        self.pool(run(&self.blocks, images))
    }

    /// The blocks by kernels of our own, with their own backward pass.
    fn forward_blocks(&self, images: Tensor<4>) -> Tensor<4> {
        let wants_images = images.is_require_grad();
        let trained = |block: &Block| wants_images || block.layers().iter().any(|layer| layer.is_trained());
        let cut = self.blocks.iter().position(trained).unwrap_or(self.blocks.len());
        let (frozen, trained) = self.blocks.split_at(cut);
        let folded = trained.iter().flat_map(Block::layers).flat_map(|layer| {
            let (weight, bias) = layer.folded();
            [weight.flatten::<1>(0, 3), bias]
        });
        let parameters = Tensor::cat(folded.chain([Tensor::zeros([0], &images.device())]).collect(), 0); // [P]
        let values = host(parameters.clone()).to_contiguous();
        let network = TrainedNetwork::new(self.frozen.of(frozen), trained, values.storage());
        extension::run(images, parameters, Arc::new(network))
    }

    /// The feature from the last map.
    ///
    /// # Shapes
    /// `[B, C, h, w]` → `[B, F]`.
    fn pool(&self, grid: Tensor<4>) -> Tensor<2> {
        let [batch, channels, height, width] = grid.dims();
        if self.head.is_empty() {
            return grid.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        }
        let side = vgg::HEAD_SIDE;
        let grid = if [height, width] == [side; 2] { grid } else { adaptive_avg_pool2d(grid, [side; 2]) };
        run(&self.head, grid).reshape([batch as i32, -1])
    }

    /// The network with the blocks before `cut` held fixed. Running statistics are never trained.
    pub fn freeze_below(self, cut: usize) -> Self {
        let blocks = self.blocks.into_iter().enumerate();
        let blocks = blocks.map(|(number, block)| if number < cut { block.no_grad() } else { block }).collect();
        Self { blocks, ..self }
    }

    /// SHA-256 over kind, shapes and values of all weights, in hexadecimal. The same weights give the same
    /// fingerprint from any file and on any device.
    pub fn fingerprint(&self) -> String {
        struct Hash(Sha256);
        impl ModuleVisitor for Hash {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let data = param.val().into_data();
                self.0.update(format!("{:?}", param.val().dims()));
                let values: Vec<f32> = data.iter::<f32>().collect();
                for chunk in values.chunks(4096) {
                    let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
                    self.0.update(&bytes);
                }
            }
        }
        let mut hash = Hash(Sha256::new());
        hash.0.update(self.kind.to_string());
        self.visit(&mut hash);
        gxn_base::words::hex(hash.0.finalize())
    }
}

fn run(blocks: &[Block], x: Tensor<4>) -> Tensor<4> {
    blocks.iter().fold(x, |x, block| block.forward(x))
}

/// Standard normal by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests;
