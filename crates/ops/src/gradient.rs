//! Gradients of a whole module: their global norm, and clipping to it.

use super::multiversion::vectorised;
use super::{from_host, into_host, is_host};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::collections::HashSet;

/// Values of one task.
const CHUNK: usize = 1 << 15;

/// `grads` scaled so that their global norm is at most `max_norm`, and the norm they had before.
///
/// The norm is the Euclidean norm over the gradients of all parameters of `module` together, as PyTorch's
/// `clip_grad_norm_` takes it (burn's own clipping looks at each tensor alone). It is summed in double precision in a
/// fixed order: the same gradients give the same bits with any number of threads. Gradients whose norm is not finite
/// are returned as they are; look at the norm before using them.
pub fn clip_global_norm<M: Module>(module: &M, grads: GradientsParams, max_norm: f64) -> (GradientsParams, f64) {
    let mut sum = SquareSum { grads: &grads, seen: HashSet::new(), sum: 0.0, elsewhere: Vec::new() };
    module.visit(&mut sum);
    let norm = sum.total().sqrt();
    if !norm.is_finite() || norm <= max_norm {
        return (grads, norm);
    }
    let mut scale = Scale { grads, seen: HashSet::new(), factor: (max_norm / (norm + 1e-6)) as f32 };
    module.visit(&mut scale);
    (scale.grads, norm)
}

/// Adds up the squares of all gradients.
struct SquareSum<'a> {
    grads: &'a GradientsParams,
    /// A parameter used in two places has one gradient.
    seen: HashSet<ParamId>,
    /// Over the gradients in host memory.
    sum: f64,
    /// Of each gradient on another device, `[1]`.
    elsewhere: Vec<Tensor<1>>,
}

impl SquareSum<'_> {
    /// The sum over all. Another device is waited for once, not for each gradient.
    fn total(self) -> f64 {
        if self.elsewhere.is_empty() {
            return self.sum;
        }
        self.sum + Tensor::cat(self.elsewhere, 0).into_data().iter::<f64>().sum::<f64>()
    }
}

impl ModuleVisitor for SquareSum<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.get::<D>(param.id) else { return };
        if !self.seen.insert(param.id) {
            return;
        }
        if is_host(&grad) {
            let partial: Vec<f64> = into_host(grad).storage::<f32>().par_chunks(CHUNK).map(squares).collect();
            self.sum += partial.iter().sum::<f64>();
        } else {
            self.elsewhere.push((grad.clone() * grad).sum());
        }
    }
}

/// Multiplies all gradients by a factor.
struct Scale {
    grads: GradientsParams,
    seen: HashSet<ParamId>,
    factor: f32,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.remove::<D>(param.id) else { return };
        let grad = if !self.seen.insert(param.id) {
            grad
        } else if is_host(&grad) {
            let mut grad = into_host(grad);
            let factor = self.factor;
            grad.storage_mut::<f32>()
                .par_chunks_mut(CHUNK)
                .for_each(|values| values.iter_mut().for_each(|value| *value *= factor));
            from_host(grad)
        } else {
            grad * self.factor
        };
        self.grads.register(param.id, grad);
    }
}

vectorised! {
    fn squares(values: &[f32]) -> f64 {
        const LANES: usize = 16;
        let mut sums = [0.0f64; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (sum, &value) in sums.iter_mut().zip(chunk) {
                let value = f64::from(value);
                *sum += value * value;
            }
        }
        // Never fused, so that all machines agree.
        sums.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[derive(Module, Debug)]
    struct Net {
        a: Param<Tensor<1>>,
        b: Param<Tensor<2>>,
        c: Param<Tensor<1>>,
    }

    fn net() -> Net {
        let device = Device::flex().autodiff();
        Net {
            a: Param::from_tensor(Tensor::zeros([2], &device)),
            b: Param::from_tensor(Tensor::zeros([1, 2], &device)),
            c: Param::from_tensor(Tensor::zeros([1], &device)),
        }
    }

    fn grads(net: &Net, a: [f32; 2], b: [[f32; 2]; 1]) -> GradientsParams {
        let mut grads = GradientsParams::new();
        grads.register(net.a.id, Tensor::<1>::from_data(a, &Device::flex()));
        grads.register(net.b.id, Tensor::<2>::from_data(b, &Device::flex()));
        grads
    }

    /// (1, 2) and (2, 4) have the common norm 5; clipped to 1 they are a fifth of themselves. c has no gradient.
    #[test]
    fn worked_numbers() {
        let net = net();
        let (clipped, norm) = clip_global_norm(&net, grads(&net, [1.0, 2.0], [[2.0, 4.0]]), 1.0);
        assert_eq!(norm, 5.0);
        let a: Vec<f32> = clipped.get::<1>(net.a.id).unwrap().into_data().iter().collect();
        let b: Vec<f32> = clipped.get::<2>(net.b.id).unwrap().into_data().iter().collect();
        for (found, expected) in a.iter().chain(&b).zip([0.2, 0.4, 0.4, 0.8]) {
            assert!((found - expected).abs() < 1e-6);
        }
        assert!(clipped.get::<1>(net.c.id).is_none());
    }

    #[test]
    fn short_and_broken_gradients_stay_as_they_are() {
        let net = net();
        let (kept, norm) = clip_global_norm(&net, grads(&net, [1.0, 2.0], [[2.0, 4.0]]), 5.0);
        assert_eq!(norm, 5.0);
        kept.get::<1>(net.a.id).unwrap().into_data().assert_eq(&TensorData::from([1.0f32, 2.0]), true);
        let (kept, norm) = clip_global_norm(&net, grads(&net, [f32::NAN, 2.0], [[2.0, 4.0]]), 1.0);
        assert!(norm.is_nan());
        kept.get::<2>(net.b.id).unwrap().into_data().assert_eq(&TensorData::from([[2.0f32, 4.0]]), true);
    }

    /// Long gradients cross the borders of tasks and lanes.
    #[test]
    fn norm_of_a_long_gradient() {
        let mut net = net();
        let count = 3 * CHUNK + 17;
        net.a = Param::from_tensor(Tensor::zeros([count], &Device::flex().autodiff()));
        let mut grads = GradientsParams::new();
        grads.register(net.a.id, Tensor::<1>::full([count], 0.5, &Device::flex()));
        let (_, norm) = clip_global_norm(&net, grads, 1e9);
        assert!((norm - 0.5 * (count as f64).sqrt()).abs() < 1e-9);
    }
}
