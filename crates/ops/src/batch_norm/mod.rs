//! Batch normalisation (Ioffe & Szegedy 2015) with the activation that follows it, in one pass each way.

mod extension;
mod kernel;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{Tensor, TensorData};
use extension::{NormBackend, Normalisation};
use std::sync::Arc;

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(0, z)`.
    Relu,
    /// `z` above zero, this slope times `z` elsewhere.
    LeakyRelu(f32),
}

impl Activation {
    /// The factor of what is not above zero.
    fn slope(self) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => 0.0,
            Self::LeakyRelu(slope) => slope,
        }
    }

    fn apply<const D: usize>(self, z: Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => z,
            Self::Relu => relu(z),
            Self::LeakyRelu(slope) => leaky_relu(z, f64::from(slope)),
        }
    }
}

/// The statistics of one batch; no gradient goes through them.
#[derive(Clone, Debug)]
pub struct BatchMoments {
    /// Mean of each channel, `[C]`.
    pub mean: Tensor<1>,
    /// Variance of each channel, `[C]`: the mean squared distance from the mean ("biased").
    pub variance: Tensor<1>,
    /// Values per channel that they were taken over.
    pub count: usize,
}

/// `activation((x − mean) / √(variance + epsilon) · scale + shift)` with the mean and variance of each channel over
/// this batch (training mode), and those moments.
///
/// The caller keeps running moments for inference; [`update_running`] moves them as PyTorch does. Gradients reach `x`
/// (through the moments too), `scale` and `shift`, and are computed only for those that ask for one.
///
/// # Shapes
/// `x` `[B, C, H, W]`, or `[B, C]` after a linear map; `scale`, `shift` `[C]` → that of `x`
///
/// # Panics
/// If shapes do not fit together, or a channel has fewer than two values.
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    activation: Activation,
    epsilon: f64,
) -> (Tensor<D>, BatchMoments) {
    let [batch, channels, plane] = check(&x, &[("scale", &scale), ("shift", &shift)]);
    let count = batch * plane;
    assert!(count > 1, "batch_norm: found one value per channel, expected at least two");
    if !super::is_host(&x) {
        return batch_norm_plain(x, scale, shift, activation, epsilon);
    }
    let values = super::into_host(x.clone());
    let (mean, variance) = kernel::moments(values.storage(), [batch, channels, plane]);
    drop(values);
    let device = x.clone().inner().device();
    let [mean_tensor, variance_tensor] =
        [&mean, &variance].map(|values| Tensor::from_data(TensorData::new(values.clone(), [channels]), &device));
    let normalisation = Normalisation {
        shape: [batch, channels, plane],
        inverse: inverse(&variance, epsilon),
        mean,
        slope: activation.slope(),
        of_batch: true,
    };
    (apply(x, scale, shift, normalisation), BatchMoments { mean: mean_tensor, variance: variance_tensor, count })
}

/// The same by tensor operations, on whatever device holds the tensors.
fn batch_norm_plain<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    activation: Activation,
    epsilon: f64,
) -> (Tensor<D>, BatchMoments) {
    let shape = x.dims();
    let [batch, channels, plane] = [shape[0], shape[1], shape[2..].iter().product()];
    let flat = x.clone().reshape([batch, channels, plane]).swap_dims(0, 1).reshape([channels, batch * plane]);
    let mean = flat.clone().mean_dim(1); // [C, 1]
    let variance = (flat - mean.clone()).square().mean_dim(1);
    let [mean, variance] = [mean, variance].map(|moment| moment.reshape([channels]));
    let moments = BatchMoments { mean: mean.clone().inner(), variance: variance.clone().inner(), count: batch * plane };
    (normalised(x, scale, shift, mean, variance, activation, epsilon), moments)
}

/// `activation((x − mean) / √(variance + epsilon) · scale + shift)` with given moments (inference mode).
///
/// Gradients reach `x`, `scale` and `shift`; the moments are constants.
///
/// # Shapes
/// `x` `[B, C, H, W]` or `[B, C]`; `scale`, `shift`, `mean`, `variance` `[C]` → that of `x`
///
/// # Panics
/// If shapes do not fit together.
pub fn batch_norm_inference<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    activation: Activation,
    epsilon: f64,
) -> Tensor<D> {
    let vectors = [("scale", &scale), ("shift", &shift), ("mean", &mean), ("variance", &variance)];
    let shape = check(&x, &vectors);
    if !super::is_host(&x) {
        return batch_norm_inference_plain(x, scale, shift, mean, variance, activation, epsilon);
    }
    let [mean, variance] = [mean, variance].map(|moment| super::into_host(moment).storage::<f32>().to_vec());
    let inverse = inverse(&variance, epsilon);
    apply(x, scale, shift, Normalisation { shape, mean, inverse, slope: activation.slope(), of_batch: false })
}

/// The same by tensor operations, on whatever device holds the tensors.
fn batch_norm_inference_plain<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    activation: Activation,
    epsilon: f64,
) -> Tensor<D> {
    normalised(x, scale, shift, mean.detach(), variance.detach(), activation, epsilon)
}

/// Running mean and variance after one more batch, as PyTorch's layers move them:
/// `running + momentum · (batch − running)`, with the *unbiased* variance of the batch (N − 1 in the denominator).
/// PyTorch's momentum is 0.1; its running moments start at mean 0 and variance 1.
///
/// # Shapes
/// All `[C]`.
pub fn update_running(
    running_mean: Tensor<1>,
    running_variance: Tensor<1>,
    moments: &BatchMoments,
    momentum: f64,
) -> (Tensor<1>, Tensor<1>) {
    let unbiased = moments.variance.clone() * (moments.count as f64 / (moments.count - 1) as f64);
    let towards = |running: Tensor<1>, batch: Tensor<1>| running.clone() + (batch - running) * momentum;
    (towards(running_mean, moments.mean.clone()), towards(running_variance, unbiased))
}

fn normalised<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    activation: Activation,
    epsilon: f64,
) -> Tensor<D> {
    let channels = scale.dims()[0];
    let mut shape = [1; D];
    shape[1] = channels;
    let [scale, shift, mean, deviation] =
        [scale, shift, mean, (variance + epsilon).sqrt()].map(|vector| vector.reshape(shape));
    activation.apply((x - mean) / deviation * scale + shift)
}

fn apply<const D: usize>(x: Tensor<D>, scale: Tensor<1>, shift: Tensor<1>, how: Normalisation) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::normalise(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        Arc::new(how),
    ))
}

/// 1 / √(variance + epsilon).
fn inverse(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|&variance| (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32).collect()
}

/// B, C and the values of one image in one channel.
fn check<const D: usize>(x: &Tensor<D>, vectors: &[(&str, &Tensor<1>)]) -> [usize; 3] {
    assert!(D >= 2, "batch_norm: found {D} axis, expected at least batch and channels");
    let shape = x.dims();
    assert!(!shape.contains(&0), "batch_norm: found x of shape {shape:?}, expected no zero");
    for (name, vector) in vectors {
        assert_eq!(vector.dims(), [shape[1]], "batch_norm: {name} has the left shape, expected the right one");
    }
    [shape[0], shape[1], shape[2..].iter().product()]
}
