//! Seeded initial weights: the same seed gives the same network on every machine.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

/// Draws initial weights; every tensor has a stream of its own, so that adding one does not change the others.
#[derive(Debug, Clone)]
pub struct Init {
    /// None where weights are zeros that will be replaced.
    seed: Option<u64>,
    device: Device,
}

impl Init {
    /// Weights drawn from `seed`, placed on `device`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { seed: Some(seed), device: device.clone() }
    }

    /// Zeros instead of random weights, for a network whose stored weights take their place: drawing them costs more than
    /// reading them.
    pub fn zeros(device: &Device) -> Self {
        Self { seed: None, device: device.clone() }
    }

    /// The random stream of the tensor called `name`.
    pub fn stream(&self, name: &str) -> ChaCha8Rng {
        let digest =
            Sha256::new().chain_update(self.seed.unwrap_or_default().to_le_bytes()).chain_update(name).finalize();
        ChaCha8Rng::from_seed(digest.into())
    }

    /// Uniform in (−`bound`, `bound`).
    pub fn uniform<const D: usize>(&self, name: &str, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        if self.seed.is_none() {
            return self.constant(0.0, shape);
        }
        let mut stream = self.stream(name);
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| (stream.random::<f32>() * 2.0 - 1.0) * bound).collect();
        self.given(values, shape)
    }

    /// Normal with the given mean and standard deviation.
    pub fn normal<const D: usize>(&self, name: &str, shape: [usize; D], mean: f32, deviation: f32) -> Param<Tensor<D>> {
        if self.seed.is_none() {
            return self.constant(0.0, shape);
        }
        let mut stream = self.stream(name);
        let mut draw =
            || mean + deviation * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut stream);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw()).collect();
        self.given(values, shape)
    }

    /// All values equal to `value`.
    pub fn constant<const D: usize>(&self, value: f32, shape: [usize; D]) -> Param<Tensor<D>> {
        self.given(vec![value; shape.iter().product()], shape)
    }

    /// The given values in row-major order.
    pub fn given<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// The given values in row-major order, never trained.
    pub fn fixed<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        self.given(values, shape).set_require_grad(false)
    }
}
