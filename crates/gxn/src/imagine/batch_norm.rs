//! Batch normalisation with the running statistics of PyTorch.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::look::{Init, Phase};
use gxn_ops::batch_norm::{Activation, BatchMoments, batch_norm, batch_norm_inference, update_running};

/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Share of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;
/// Standard deviation of the first scales (spec §8.4).
const SCALE_DEVIATION: f32 = 0.02;

/// Scale, shift and running statistics of the channels.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[C]`, N(1, 0.02) at first.
    scale: Param<Tensor<1>>,
    /// `[C]`, 0 at first.
    shift: Param<Tensor<1>>,
    /// `[C]`, not trained.
    running_mean: Param<Tensor<1>>,
    /// `[C]`, not trained.
    running_variance: Param<Tensor<1>>,
}

/// Mean and variance of a batch in one layer: part of the running statistics when the step is done.
pub type BatchStats = BatchMoments;

impl BatchNorm {
    /// A new layer over `channels`.
    pub fn new(init: &Init, name: &str, channels: usize) -> Self {
        Self {
            scale: init.normal(&format!("{name}.scale"), [channels], 1.0, SCALE_DEVIATION),
            shift: init.constant(0.0, [channels]),
            running_mean: init.fixed(vec![0.0; channels], [channels]),
            running_variance: init.fixed(vec![1.0; channels], [channels]),
        }
    }

    /// Normalises by the batch in training, and adds its statistics to `stats`; by the running statistics otherwise.
    ///
    /// # Shapes
    /// `[B, C, …]` → the same
    pub fn forward<const D: usize>(
        &self,
        x: Tensor<D>,
        activation: Activation,
        phase: Phase,
        stats: &mut Vec<BatchStats>,
    ) -> Tensor<D> {
        let (scale, shift) = (self.scale.val(), self.shift.val());
        match phase {
            Phase::Train { .. } => {
                let (out, moments) = batch_norm(x, scale, shift, activation, EPSILON);
                stats.push(moments);
                out
            }
            Phase::Evaluate => {
                let (mean, variance) = (self.running_mean.val(), self.running_variance.val());
                batch_norm_inference(x, scale, shift, mean, variance, activation, EPSILON)
            }
        }
    }

    /// Moves the running statistics towards those of a batch.
    pub fn update_running_stats(&mut self, stats: &BatchStats) {
        let running = [&self.running_mean, &self.running_variance].map(|param| param.val().inner());
        let [mean, variance] = running;
        let (mean, variance) = update_running(mean, variance, stats, MOMENTUM);
        let replace = |param: &Param<Tensor<1>>, value: Tensor<1>| {
            param.clone().map(|_| Tensor::from_inner(value).set_require_grad(false))
        };
        self.running_mean = replace(&self.running_mean, mean);
        self.running_variance = replace(&self.running_variance, variance);
    }
}
