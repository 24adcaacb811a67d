//! The linear maps P_v^k and P_t^k into the joint space (paper Eq. 1).

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::linear;

use super::init::Init;

/// `y = x W + b`.
#[derive(Module, Debug)]
pub struct LinearMap {
    /// `[in, out]`, Xavier-uniform at first.
    weight: Param<Tensor<2>>,
    /// `[out]`, zero at first.
    bias: Param<Tensor<1>>,
}

impl LinearMap {
    /// A map from `width_in` to `width_out`: uniform(−r, r) with r = √(6 / (in + out)), bias 0.
    pub fn new(init: &Init, name: &str, width_in: usize, width_out: usize) -> Self {
        let bound = (6.0 / (width_in + width_out) as f32).sqrt();
        Self {
            weight: init.uniform(&format!("{name}.weight"), [width_in, width_out], bound),
            bias: init.constant(0.0, [width_out]),
        }
    }

    /// Width of the result.
    pub fn width_out(&self) -> usize {
        self.weight.dims()[1]
    }

    /// # Shapes
    /// `[B, in]` → `[B, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        linear(x, self.weight.val(), Some(self.bias.val()))
    }
}
