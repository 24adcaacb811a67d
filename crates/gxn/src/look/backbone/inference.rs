//! [`Inference`]: a frozen backbone without gradients, one image per thread.

use super::packed::PackedNetwork;
use super::{Backbone, BackboneKind};
use gxn_base::{Error, Result};

/// A frozen backbone for inference, in kernels of our own.
#[derive(Debug)]
pub struct Inference {
    kind: BackboneKind,
    network: PackedNetwork,
}

impl Inference {
    /// The whole network.
    pub fn new(backbone: &Backbone) -> Self {
        Self { kind: backbone.kind(), network: PackedNetwork::new(backbone) }
    }

    /// The feature of an image; see [`Backbone::forward`].
    ///
    /// # Shapes
    /// `image`: `[3, S, S]`, preprocessed, row-major → `[F]`
    ///
    /// # Errors
    /// When `image` is no square of three channels.
    pub fn feature(&self, image: &[f32]) -> Result<Vec<f32>> {
        let side = (image.len() / 3).isqrt();
        if side == 0 || side * side * 3 != image.len() {
            return Err(Error::invalid("an input image", format!("{} values", image.len()), "3 · S · S values"));
        }
        Ok(self.network.feature(image, side))
    }

    /// The network it was made from.
    pub fn kind(&self) -> BackboneKind {
        self.kind
    }
}

#[cfg(test)]
impl Inference {
    /// The same network with other kernels.
    pub(super) fn with_instructions(self, instructions: gxn_ops::simd16::Instructions) -> Self {
        Self { network: self.network.with_instructions(instructions), ..self }
    }
}
