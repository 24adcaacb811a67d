//! [`Inference`]: a frozen backbone without gradients, one image per thread.

use super::map::Map;
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

    /// The map before the pooling, on the calling thread.
    ///
    /// # Shapes
    /// `image`: `[3, S, S]`, preprocessed, row-major.
    ///
    /// # Errors
    /// When `image` is no square of three channels.
    pub fn map(&self, image: &[f32]) -> Result<Map> {
        Ok(self.network.map(image, side_of(image)?))
    }

    /// The feature of an image; see [`Backbone::forward`].
    ///
    /// # Shapes
    /// `image`: `[3, S, S]`, preprocessed, row-major → `[F]`
    ///
    /// # Errors
    /// When `image` is no square of three channels.
    pub fn feature(&self, image: &[f32]) -> Result<Vec<f32>> {
        Ok(self.network.feature(&self.map(image)?))
    }

    /// The network it was made from.
    pub fn kind(&self) -> BackboneKind {
        self.kind
    }
}

fn side_of(image: &[f32]) -> Result<usize> {
    let side = (image.len() / 3).isqrt();
    if side == 0 || side * side * 3 != image.len() {
        return Err(Error::invalid("an input image", format!("{} values", image.len()), "3 · S · S values"));
    }
    Ok(side)
}

#[cfg(test)]
impl Inference {
    /// The same network with other kernels.
    pub(super) fn with_instructions(self, instructions: gxn_ops::simd16::Instructions) -> Self {
        Self { network: self.network.with_instructions(instructions), ..self }
    }
}
