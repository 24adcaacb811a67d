//! The fused scores as a tensor operation with its own backward pass.

use super::kernel;
use crate::matrix::transposed_copy;
use crate::{HostTensor, host_tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};

#[backend_extension(Flex, Autodiff)]
pub(super) trait OrderBackend: Backend {
    /// −‖max(0, upper_i − lower_j)‖² `[N, M]` of `upper` `[N, D]` and `lower` `[M, D]`.
    fn order_scores(upper: FloatTensor<Self>, lower: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl OrderBackend for Flex {
    fn order_scores(upper: HostTensor, lower: HostTensor) -> HostTensor {
        let (upper, lower) = (upper.to_contiguous(), lower.to_contiguous());
        let [rows, width] = upper.shape().dims();
        let [columns, _] = lower.shape().dims();
        host_tensor(kernel::scores(upper.storage(), lower.storage(), width), &[rows, columns])
    }
}

#[derive(Debug)]
struct OrderBackward;

impl Backward<Flex, 2> for OrderBackward {
    type State = (HostTensor, HostTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (upper, lower) = (ops.state.0.to_contiguous(), ops.state.1.to_contiguous());
        let [rows, width] = upper.shape().dims();
        let [columns, _] = lower.shape().dims();
        let [upper_node, lower_node] = ops.parents;
        if let Some(node) = upper_node {
            let out = kernel::upper_gradient(upper.storage(), lower.storage(), grad.storage(), width);
            grads.register::<Flex>(node.id, host_tensor(out, &[rows, width]));
        }
        if let Some(node) = lower_node {
            let grad = transposed_copy(grad.storage(), rows, columns);
            let out = kernel::lower_gradient(upper.storage(), lower.storage(), &grad, width);
            grads.register::<Flex>(node.id, host_tensor(out, &[columns, width]));
        }
    }
}

impl<C: CheckpointStrategy> OrderBackend for Autodiff<Flex, C> {
    fn order_scores(upper: FloatTensor<Self>, lower: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [upper.node(), lower.node()];
        let (upper, lower) = (upper.into_primitive(), lower.into_primitive());
        let out = Flex::order_scores(upper.clone(), lower.clone());
        match OrderBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((upper, lower), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
