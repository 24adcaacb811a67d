//! Normalisation with activation as a tensor operation with its own backward pass.

use super::kernel;
use crate::{HostTensor, host_tensor, pooled_tensor, row_by_row};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use std::sync::Arc;

/// What is done to each channel, apart from scale and shift.
#[derive(Debug)]
pub(super) struct Normalisation {
    /// B, C and the values of one image in one channel.
    pub shape: [usize; 3],
    /// `[C]`.
    pub mean: Vec<f32>,
    /// 1 / √(variance + ε), `[C]`.
    pub inverse: Vec<f32>,
    /// The activation's factor of what is not above zero.
    pub slope: f32,
    /// Whether mean and variance are those of the input, so that its gradient goes through them.
    pub of_batch: bool,
}

#[backend_extension(Flex, Autodiff)]
pub(super) trait NormBackend: Backend {
    /// `activation((x − mean) · inverse · scale + shift)`.
    fn normalise(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        how: Arc<Normalisation>,
    ) -> FloatTensor<Self>;
}

impl NormBackend for Flex {
    fn normalise(x: HostTensor, scale: HostTensor, shift: HostTensor, how: Arc<Normalisation>) -> HostTensor {
        let shape = x.shape();
        let [x, scale, shift] = [x, scale, shift].map(row_by_row);
        pooled_tensor(kernel::forward(x.storage(), scale.storage(), shift.storage(), &how), shape.as_slice())
    }
}

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 3> for NormBackward {
    type State = ([HostTensor; 3], Arc<Normalisation>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut grad = row_by_row(grads.consume::<Flex>(&ops.node));
        let ([x, scale, shift], how) = ops.state;
        let [x_node, scale_node, shift_node] = ops.parents;
        let [scale_grad, shift_grad] = kernel::backward(
            x.storage(),
            scale.storage(),
            shift.storage(),
            &how,
            grad.storage_mut(),
            x_node.is_some(),
            scale_node.is_some() || shift_node.is_some(),
        );
        for (node, grad) in [(scale_node, scale_grad), (shift_node, shift_grad)] {
            if let Some(node) = node {
                let shape = [grad.len()];
                grads.register::<Flex>(node.id, host_tensor(grad, &shape));
            }
        }
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, grad);
        }
    }
}

impl<C: CheckpointStrategy> NormBackend for Autodiff<Flex, C> {
    fn normalise(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        how: Arc<Normalisation>,
    ) -> FloatTensor<Self> {
        let inputs = [x, scale, shift];
        let nodes = inputs.each_ref().map(|tensor| tensor.node());
        let inputs = inputs.map(|tensor| row_by_row(tensor.into_primitive()));
        let [x, scale, shift] = inputs.clone();
        let out = Flex::normalise(x, scale, shift, how.clone());
        match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((inputs, how), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
