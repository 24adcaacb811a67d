//! [`Inference`]: a frozen backbone without gradients, one image per thread.

use burn::tensor::{Tensor, TensorData};

use super::map::Map;
use super::packed::PackedNetwork;
use super::{Backbone, BackboneKind, run};
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
    /// The tensor framework, for blocks without kernels; the blocks before `cut`.
    Generic { backbone: Box<Backbone>, cut: usize },
}

impl Inference {
    /// The whole network, in kernels of our own where every block has one.
    pub fn new(backbone: &Backbone) -> Self {
        Self::up_to(backbone, backbone.block_count())
    }

    /// The blocks before `cut`: [`Self::map`] then gives what [`Backbone::forward_rest`] continues from, so that it can be
    /// kept while the blocks above are trained.
    ///
    /// # Panics
    /// When `cut` is larger than [`Backbone::block_count`].
    pub fn up_to(backbone: &Backbone, cut: usize) -> Self {
        let form = match PackedNetwork::up_to(backbone, cut) {
            Some(network) => Form::Packed(network),
            None => Form::Generic { backbone: Box::new(backbone.clone()), cut },
        };
        Self { kind: backbone.kind(), form }
    }

    /// The whole network through the tensor framework, on the device of its weights.
    pub fn generic(backbone: &Backbone) -> Self {
        let cut = backbone.block_count();
        Self { kind: backbone.kind(), form: Form::Generic { backbone: Box::new(backbone.clone()), cut } }
    }

    /// The map after the last of the blocks, on the calling thread.
    ///
    /// # Shapes
    /// `image`: `[3, S, S]`, preprocessed, row-major.
    ///
    /// # Errors
    /// When `image` is no square of three channels.
    pub fn map(&self, image: &[f32]) -> Result<Map> {
        let side = side_of(image)?;
        Ok(match &self.form {
            Form::Packed(network) => network.map(image, side),
            Form::Generic { backbone, cut } => {
                Map::from_tensor(run(&backbone.blocks[..*cut], input(backbone, image, side)))
            }
        })
    }

    /// The feature of an image; see [`Backbone::forward`].
    ///
    /// # Shapes
    /// `image`: `[3, S, S]`, preprocessed, row-major → `[F]`
    ///
    /// # Errors
    /// When `image` is no square of three channels.
    pub fn feature(&self, image: &[f32]) -> Result<Vec<f32>> {
        let side = side_of(image)?;
        Ok(match &self.form {
            Form::Packed(network) => network.feature(&network.map(image, side)),
            Form::Generic { backbone, .. } => {
                backbone.forward(input(backbone, image, side)).into_data().iter::<f32>().collect()
            }
        })
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

fn input(backbone: &Backbone, image: &[f32], side: usize) -> Tensor<4> {
    Tensor::from_data(TensorData::new(image.to_vec(), [1, 3, side, side]), &backbone.device())
}

#[cfg(test)]
impl Inference {
    /// The same network with other kernels.
    pub(super) fn with_instructions(self, instructions: gxn_ops::simd16::Instructions) -> Self {
        match self.form {
            Form::Packed(network) => Self { form: Form::Packed(network.with_instructions(instructions)), ..self },
            Form::Generic { .. } => self,
        }
    }
}
