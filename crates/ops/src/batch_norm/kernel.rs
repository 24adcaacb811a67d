//! Sums and maps over the planes of a channel.

use super::extension::Normalisation;
use crate::matrix::transposed_copy;
use crate::multiversion::vectorised;
use crate::pool::Buffer;
use rayon::prelude::*;

/// Fewest values worth a task of their own.
const TASK: usize = 1 << 14;

/// Mean and (biased) variance of each channel of `values` `[B, C, plane]`.
pub(super) fn moments(values: &[f32], shape: [usize; 3]) -> (Vec<f32>, Vec<f32>) {
    let [batch, channels, plane] = shape;
    if plane == 1 && batch > 1 {
        // Rows of single values: turned, each channel is one run.
        return moments(&transposed_copy(values, batch, channels), [1, channels, batch]);
    }
    let count = (batch * plane) as f64;
    let planes = |channel: usize| values.chunks_exact(plane).skip(channel).step_by(channels);
    (0..channels)
        .into_par_iter()
        .with_min_len(TASK.div_ceil(batch * plane))
        .map(|channel| {
            let mean = (planes(channel).map(|plane| f64::from(sum(plane))).sum::<f64>() / count) as f32;
            let squares: f64 = planes(channel).map(|plane| f64::from(square_sum(plane, mean))).sum();
            (mean, (squares / count) as f32)
        })
        .unzip()
}

/// One channel's numbers.
#[derive(Clone, Copy)]
struct Channel {
    mean: f32,
    /// scale · inverse deviation.
    factor: f32,
    shift: f32,
    slope: f32,
}

fn channel_of(how: &Normalisation, scale: &[f32], shift: &[f32], channel: usize) -> Channel {
    let (mean, factor) = (how.mean[channel], scale[channel] * how.inverse[channel]);
    Channel { mean, factor, shift: shift[channel], slope: how.slope }
}

/// `activation((x − mean) · inverse · scale + shift)`.
pub(super) fn forward(x: &[f32], scale: &[f32], shift: &[f32], how: &Normalisation) -> Buffer {
    let [batch, channels, plane] = how.shape;
    let channel = |channel: usize| channel_of(how, scale, shift, channel);
    let mut out = Buffer::dirty(x.len());
    if plane == 1 && batch > 1 {
        let all: Vec<Channel> = (0..channels).map(channel).collect();
        out.par_chunks_mut(channels).zip(x.par_chunks(channels)).with_min_len(TASK.div_ceil(channels)).for_each(
            |(out, x)| {
                for ((out, x), channel) in out.iter_mut().zip(x).zip(&all) {
                    *out = activated((x - channel.mean) * channel.factor + channel.shift, channel.slope);
                }
            },
        );
        return out;
    }
    out.par_chunks_mut(plane)
        .zip(x.par_chunks(plane))
        .with_min_len(TASK.div_ceil(plane))
        .enumerate()
        .for_each(|(index, (out, x))| map_plane(out, x, channel(index % channels)));
    out
}

/// Gradients of scale and shift (where wanted; otherwise empty), and `grad` turned from the gradient of the result
/// into the gradient of `x` (where wanted).
pub(super) fn backward(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    how: &Normalisation,
    grad: &mut [f32],
    x_wanted: bool,
    vectors_wanted: bool,
) -> [Vec<f32>; 2] {
    let [batch, channels, plane] = how.shape;
    if plane == 1 && batch > 1 {
        let turned =
            Normalisation { shape: [1, channels, batch], mean: how.mean.clone(), inverse: how.inverse.clone(), ..*how };
        let x = transposed_copy(x, batch, channels);
        let mut turned_grad = transposed_copy(grad, batch, channels);
        let sums = backward(&x, scale, shift, &turned, &mut turned_grad, x_wanted, vectors_wanted);
        if x_wanted {
            grad.copy_from_slice(&transposed_copy(&turned_grad, channels, batch));
        }
        return sums;
    }
    let mut planes: Vec<Vec<&mut [f32]>> = (0..channels).map(|_| Vec::with_capacity(batch)).collect();
    for (index, plane) in grad.chunks_exact_mut(plane).enumerate() {
        planes[index % channels].push(plane);
    }
    let count = (batch * plane) as f64;
    planes
        .into_par_iter()
        .with_min_len(TASK.div_ceil(batch * plane))
        .enumerate()
        .map(|(index, grads)| {
            let channel = channel_of(how, scale, shift, index);
            let inputs = || x.chunks_exact(plane).skip(index).step_by(channels);
            let (mut sum, mut product) = (0.0, 0.0);
            if how.of_batch || vectors_wanted {
                for (grad, x) in grads.iter().zip(inputs()) {
                    let sums = gradient_sums(grad, x, channel);
                    sum += f64::from(sums.0);
                    product += f64::from(sums.1);
                }
            }
            let inverse = f64::from(how.inverse[index]);
            if x_wanted {
                let (mean, slope) = if how.of_batch {
                    ((sum / count) as f32, (product * inverse * inverse / count) as f32)
                } else {
                    (0.0, 0.0)
                };
                for (grad, x) in grads.into_iter().zip(inputs()) {
                    apply_gradient(grad, x, channel, mean, slope);
                }
            }
            ((product * inverse) as f32, sum as f32)
        })
        .unzip::<_, _, Vec<_>, Vec<_>>()
        .into()
}

#[inline(always)]
fn activated(z: f32, slope: f32) -> f32 {
    if z > 0.0 { z } else { z * slope }
}

/// Sums run in this many lanes, so that they vectorise.
const LANES: usize = 64;

#[inline(always)]
fn lane_sum(sums: [f32; LANES]) -> f32 {
    sums.iter().sum()
}

vectorised! {
    fn sum(x: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for x in chunks {
            for k in 0..LANES {
                sums[k] += x[k];
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum += x;
        }
        lane_sum(sums)
    }
}

vectorised! {
    fn square_sum(x: &[f32], mean: f32) -> f32 {
        let mut sums = [0.0f32; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for x in chunks {
            for k in 0..LANES {
                let distance = x[k] - mean;
                sums[k] += distance * distance;
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum += (x - mean) * (x - mean);
        }
        lane_sum(sums)
    }
}

vectorised! {
    fn map_plane(out: &mut [f32], x: &[f32], channel: Channel) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = activated((x - channel.mean) * channel.factor + channel.shift, channel.slope);
        }
    }
}

vectorised! {
    /// Σ g and Σ g (x − mean), where g is the gradient before the activation.
    fn gradient_sums(grad: &[f32], x: &[f32], channel: Channel) -> (f32, f32) {
        let (mut sums, mut products) = ([0.0f32; LANES], [0.0f32; LANES]);
        let (grads, xs) = (grad.chunks_exact(LANES), x.chunks_exact(LANES));
        let rest = grads.remainder().iter().zip(xs.remainder());
        for (grad, x) in grads.zip(xs) {
            for k in 0..LANES {
                let distance = x[k] - channel.mean;
                let slope = if distance * channel.factor + channel.shift > 0.0 { 1.0 } else { channel.slope };
                let g = grad[k] * slope;
                sums[k] += g;
                products[k] += g * distance;
            }
        }
        for ((sum, product), (grad, x)) in sums.iter_mut().zip(&mut products).zip(rest) {
            let distance = x - channel.mean;
            let slope = if distance * channel.factor + channel.shift > 0.0 { 1.0 } else { channel.slope };
            *sum += grad * slope;
            *product += grad * slope * distance;
        }
        (lane_sum(sums), lane_sum(products))
    }
}

vectorised! {
    /// `grad` becomes `factor · (g − mean_gradient − (x − mean) · lean)`, with g the gradient before the activation.
    fn apply_gradient(grad: &mut [f32], x: &[f32], channel: Channel, mean_gradient: f32, lean: f32) {
        for (grad, x) in grad.iter_mut().zip(x) {
            let distance = x - channel.mean;
            let slope = if distance * channel.factor + channel.shift > 0.0 { 1.0 } else { channel.slope };
            *grad = channel.factor * (*grad * slope - mean_gradient - distance * lean);
        }
    }
}
