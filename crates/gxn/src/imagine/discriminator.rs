//! D_i: is this a real image, and does it belong to this sentence? (paper Eq. 11, spec §8.4; StackGAN's first stage).

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::leaky_relu;

use super::batch_norm::{BatchNorm, BatchStats};
use super::image_generator::DEVIATION;
use crate::config::ImageConfig;
use crate::look::linear::LinearMap;
use crate::look::{Init, Phase};
use gxn_ops::batch_norm::Activation;
use gxn_ops::conv::conv2d;

/// Slope of the rectifiers below 0.
const SLOPE: f64 = 0.2;
const LEAKY: Activation = Activation::LeakyRelu(SLOPE as f32);
/// Side of the last map.
const LAST_SIDE: usize = 4;

/// A convolution and its normalisation.
#[derive(Module, Debug)]
struct Block {
    weight: Param<Tensor<4>>,
    norm: BatchNorm,
}

/// Batch statistics of a discriminator, pass by pass.
#[derive(Debug, Default)]
pub struct DiscriminatorStats {
    /// Of each batch of images, layer by layer.
    pub maps: Vec<Vec<BatchStats>>,
    /// Of each batch of pairs.
    pub joints: Vec<BatchStats>,
}

/// D_i, with its own view of t_l.
#[derive(Module, Debug)]
pub struct Discriminator {
    /// `[W, 3, 4, 4]`
    first: Param<Tensor<4>>,
    /// To 2W, 4W and 8W channels.
    down: Vec<Block>,
    /// t_l → what is read of it, `[D, C]`; begins as φ's map does.
    condition_map: LinearMap,
    /// `[8W, 8W + C, 3, 3]`
    joint: Block,
    /// `[1, 8W, 4, 4]`
    last: Param<Tensor<4>>,
    /// `[1]`
    bias: Param<Tensor<1>>,
    #[module(skip)]
    scale: f64,
}

impl Discriminator {
    /// A new discriminator that reads t_l of width `embed_dim`.
    pub fn new(init: &Init, config: &ImageConfig, embed_dim: usize) -> Self {
        let width = config.discriminator_width;
        let weight =
            |name: &str, shape: [usize; 4]| init.normal(&format!("discriminator.{name}"), shape, 0.0, DEVIATION);
        let down = |at: usize| Block {
            weight: weight(&format!("down.{at}"), [width << (at + 1), width << at, 4, 4]),
            norm: BatchNorm::new(init, &format!("discriminator.down.{at}.norm"), width << (at + 1)),
        };
        let top = 8 * width;
        Self {
            first: weight("first", [width, 3, 4, 4]),
            down: (0..3).map(down).collect(),
            condition_map: LinearMap::new(init, "discriminator.condition_map", embed_dim, config.condition_dim),
            joint: Block {
                weight: weight("joint", [top, top + config.condition_dim, 3, 3]),
                norm: BatchNorm::new(init, "discriminator.joint.norm", top),
            },
            last: weight("last", [1, top, 4, 4]),
            bias: init.constant(0.0, [1]),
            scale: config.scale(embed_dim),
        }
    }

    /// The logit of "a real image of this sentence", and the batch statistics of the pass.
    ///
    /// # Shapes
    /// `[B, 3, 64, 64]` in [−1, 1], `t_l` `[B, D]` → `[B]`
    pub fn forward(&self, pixels: Tensor<4>, t_l: Tensor<2>, phase: Phase) -> (Tensor<1>, DiscriminatorStats) {
        let mut stats = DiscriminatorStats::default();
        let map = self.map(pixels, phase, &mut stats);
        (self.logits(map, t_l, phase, &mut stats), stats)
    }

    /// The map of images before they meet a sentence; one map serves all sentences.
    ///
    /// # Shapes
    /// `[B, 3, 64, 64]` → `[B, 8W, 4, 4]`
    pub fn map(&self, pixels: Tensor<4>, phase: Phase, stats: &mut DiscriminatorStats) -> Tensor<4> {
        let mut layers = Vec::new();
        let mut map = leaky_relu(conv2d(pixels, self.first.val(), None, 2, 1), SLOPE);
        for block in &self.down {
            map = block.norm.forward(conv2d(map, block.weight.val(), None, 2, 1), LEAKY, phase, &mut layers);
        }
        stats.maps.push(layers);
        map
    }

    /// The logits of maps with sentences.
    ///
    /// # Shapes
    /// `[B, 8W, 4, 4]`, `t_l` `[B, D]` → `[B]`
    pub fn logits(&self, map: Tensor<4>, t_l: Tensor<2>, phase: Phase, stats: &mut DiscriminatorStats) -> Tensor<1> {
        let condition = leaky_relu(self.condition_map.forward(t_l * self.scale), SLOPE);
        let [batch, width] = condition.dims();
        let tiled = condition.reshape([batch, width, 1, 1]).expand([batch, width, LAST_SIDE, LAST_SIDE]);
        let joint = conv2d(Tensor::cat(vec![map, tiled], 1), self.joint.weight.val(), None, 1, 1);
        let joint = self.joint.norm.forward(joint, LEAKY, phase, &mut stats.joints);
        conv2d(joint, self.last.val(), Some(self.bias.val()), LAST_SIDE, 0).reshape([batch])
    }

    /// Moves the running statistics towards those of the passes of a step.
    pub fn update_running_stats(&mut self, stats: &DiscriminatorStats) {
        for layers in &stats.maps {
            self.down.iter_mut().zip(layers).for_each(|(block, layer)| block.norm.update_running_stats(layer));
        }
        stats.joints.iter().for_each(|joint| self.joint.norm.update_running_stats(joint));
    }
}
