//! [`Prior`]: a level that begins as a pretrained encoder's embedding. Beyond the paper.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::Init;

/// ε in `u = prior + ε · learned`: learned from 0, so that the untrained level is the prior, whatever its map was drawn as.
///
/// A map that begins at 0 with a fixed ε begins there too, but needs an ε that suits the size of the map's input.
#[derive(Module, Debug)]
pub struct Prior {
    /// ε, `[1]`.
    epsilon: Param<Tensor<1>>,
}

impl Prior {
    /// ε = 0.
    pub fn new(init: &Init) -> Self {
        Self { epsilon: init.constant(0.0, [1]) }
    }

    /// `prior + ε · learned`; the prior's rows have unit length.
    ///
    /// # Shapes
    /// `[B, D]`, `[B, D]` → `[B, D]`
    pub fn moved(&self, prior: Tensor<2>, learned: Tensor<2>) -> Tensor<2> {
        prior + learned * self.epsilon.val().unsqueeze()
    }
}
