//! CNN_Dec: a 64×64 image from noise and the condition (paper §3.4, spec §8.3; StackGAN's first stage).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::batch_norm::{BatchNorm, BatchStats};
use super::conditioning::{ConditionDistribution, Conditioning};
use crate::config::ImageConfig;
use crate::look::{Init, Phase};
use crate::seed::mix;
use gxn_ops::batch_norm::Activation;
use gxn_ops::conv::{conv2d, upsampled_conv3x3};

/// Side of the generator's first map.
const FIRST_SIDE: usize = 4;
/// Upsamplings between them.
const BLOCKS: usize = 4;
/// Standard deviation of the first weights (spec §8.4).
pub(super) const DEVIATION: f32 = 0.02;

/// Nearest upsampling by two, 3×3 convolution, batch normalisation, rectifier.
#[derive(Module, Debug)]
struct Block {
    /// `[C/2, C, 3, 3]`
    weight: Param<Tensor<4>>,
    norm: BatchNorm,
}

/// CNN_Dec with its conditioning augmentation φ.
#[derive(Module, Debug)]
pub struct ImageGenerator {
    conditioning: Conditioning,
    /// `[Z + C, G0 · 16]`
    project: Param<Tensor<2>>,
    project_norm: BatchNorm,
    blocks: Vec<Block>,
    /// `[3, G0 / 16, 3, 3]`
    to_pixels: Param<Tensor<4>>,
    #[module(skip)]
    first_channels: usize,
}

/// The random part of a batch of images.
#[derive(Debug, Clone)]
pub struct Noise {
    /// z, `[B, Z]`, standard normal.
    pub z: Tensor<2>,
    /// ε of the conditioning augmentation, `[B, C]`, standard normal.
    pub condition: Tensor<2>,
}

impl Noise {
    /// Standard normal noise; each image's is a pure function of its own seed.
    pub fn seeded(config: &ImageConfig, seeds: &[u64], device: &Device) -> Self {
        let (mut z, mut condition) = (Vec::new(), Vec::new());
        for &seed in seeds {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            z.extend(normal(&mut random, config.noise_dim));
            condition.extend(normal(&mut random, config.condition_dim));
        }
        Self::of([z, condition], seeds.len(), device)
    }

    /// Standard normal noise for a batch of training: a pure function of one seed.
    pub fn of_batch(config: &ImageConfig, batch: usize, seed: u64, device: &Device) -> Self {
        let draw = |part: u64, width: usize| {
            normal(&mut ChaCha8Rng::seed_from_u64(mix(seed, part)), batch * width).collect::<Vec<f32>>()
        };
        Self::of([draw(1, config.noise_dim), draw(2, config.condition_dim)], batch, device)
    }

    fn of(values: [Vec<f32>; 2], batch: usize, device: &Device) -> Self {
        let [z, condition] = values.map(|values| {
            let shape = [batch, values.len() / batch.max(1)];
            Tensor::from_data(TensorData::new(values, shape), device)
        });
        Self { z, condition }
    }
}

fn normal(random: &mut ChaCha8Rng, count: usize) -> impl Iterator<Item = f32> + '_ {
    (0..count).map(move |_| StandardNormal.sample(random))
}

/// A batch of generated images.
#[derive(Debug)]
pub struct GeneratedImages {
    /// Images in [−1, 1], `[B, 3, 64, 64]`.
    pub pixels: Tensor<4>,
    /// The distribution that the condition was drawn from.
    pub condition: ConditionDistribution,
    /// Batch statistics, layer by layer; empty outside training.
    pub stats: Vec<BatchStats>,
}

impl ImageGenerator {
    /// A new generator that reads t_l of width `embed_dim`.
    pub fn new(init: &Init, config: &ImageConfig, embed_dim: usize) -> Self {
        let first = 8 * config.generator_width;
        let block = |at: usize| {
            let (from, to) = (first >> at, first >> (at + 1));
            Block {
                weight: init.normal(&format!("generator.{at}.weight"), [to, from, 3, 3], 0.0, DEVIATION),
                norm: BatchNorm::new(init, &format!("generator.{at}.norm"), to),
            }
        };
        let width = config.noise_dim + config.condition_dim;
        let area = FIRST_SIDE * FIRST_SIDE;
        Self {
            conditioning: Conditioning::new(init, config, embed_dim),
            project: init.normal("generator.project", [width, first * area], 0.0, DEVIATION),
            project_norm: BatchNorm::new(init, "generator.project_norm", first * area),
            blocks: (0..BLOCKS).map(block).collect(),
            to_pixels: init.normal("generator.to_pixels", [3, first >> BLOCKS, 3, 3], 0.0, DEVIATION),
            first_channels: first,
        }
    }

    /// Images for sentences.
    ///
    /// # Shapes
    /// `t_l` `[B, D]` → `[B, 3, 64, 64]`
    pub fn forward(&self, t_l: Tensor<2>, noise: Noise, phase: Phase) -> GeneratedImages {
        let condition = self.conditioning.forward(t_l);
        let entry = Tensor::cat(vec![noise.z, condition.draw(noise.condition)], 1);
        let batch = entry.dims()[0];
        let mut stats = Vec::new();
        let first = self.project_norm.forward(entry.matmul(self.project.val()), Activation::Relu, phase, &mut stats);
        let mut map = first.reshape([batch, self.first_channels, FIRST_SIDE, FIRST_SIDE]);
        for block in &self.blocks {
            map = block.norm.forward(upsampled_conv3x3(map, block.weight.val()), Activation::Relu, phase, &mut stats);
        }
        let pixels = conv2d(map, self.to_pixels.val(), None, 1, 1).tanh();
        GeneratedImages { pixels, condition, stats }
    }

    /// Moves the running statistics towards those of a pass.
    pub fn update_running_stats(&mut self, stats: &[BatchStats]) {
        let norms = std::iter::once(&mut self.project_norm).chain(self.blocks.iter_mut().map(|block| &mut block.norm));
        norms.zip(stats).for_each(|(norm, stats)| norm.update_running_stats(stats));
    }
}
