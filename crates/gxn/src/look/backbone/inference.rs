//! [`Inference`]: a frozen backbone without gradients, one image per thread.

use burn::tensor::{Tensor, TensorData};

use super::packed::PackedNetwork;
use super::{Backbone, BackboneKind};
use gxn_base::{Error, Result};

/// A frozen backbone for inference.
#[derive(Debug)]
pub struct Inference {
    kind: BackboneKind,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Kernels of our own, several times as fast on CPUs.
    Packed(PackedNetwork),
    /// The tensor framework, for blocks without kernels.
    Generic(Box<Backbone>),
}

impl Inference {
    /// In kernels of our own where every block has one.
    pub fn new(backbone: &Backbone) -> Self {
        match PackedNetwork::new(backbone) {
            Some(network) => Self { kind: backbone.kind(), form: Form::Packed(network) },
            None => Self::generic(backbone),
        }
    }

    /// Through the tensor framework, on the device of its weights.
    pub(super) fn generic(backbone: &Backbone) -> Self {
        Self { kind: backbone.kind(), form: Form::Generic(Box::new(backbone.clone())) }
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
        Ok(match &self.form {
            Form::Packed(network) => network.feature(image, side),
            Form::Generic(backbone) => {
                let input = TensorData::new(image.to_vec(), [1, 3, side, side]);
                backbone.forward(Tensor::from_data(input, &backbone.device())).into_data().iter().collect()
            }
        })
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
        match self.form {
            Form::Packed(network) => Self { form: Form::Packed(network.with_instructions(instructions)), ..self },
            Form::Generic(_) => self,
        }
    }
}
