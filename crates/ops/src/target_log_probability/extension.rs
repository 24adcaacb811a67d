//! The fused operation as a tensor operation with its own backward pass.

use super::kernel;
use crate::{HostTensor, host_tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use std::sync::Arc;

#[backend_extension(Flex, Autodiff)]
pub(super) trait TargetBackend: Backend {
    /// ln p `[N]` of `targets` for `states` `[N, H]`, `weight` `[H, V]` and `bias` `[V]`.
    fn target_log_probability(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: Arc<Vec<usize>>,
    ) -> FloatTensor<Self>;
}

impl TargetBackend for Flex {
    fn target_log_probability(
        states: HostTensor,
        weight: HostTensor,
        bias: HostTensor,
        targets: Arc<Vec<usize>>,
    ) -> HostTensor {
        run(&states, &weight, &bias, &targets).0
    }
}

/// The result, and all probabilities `[N, V]`.
fn run(states: &HostTensor, weight: &HostTensor, bias: &HostTensor, targets: &[usize]) -> (HostTensor, Vec<f32>) {
    let [states, weight, bias] = [states, weight, bias].map(HostTensor::to_contiguous);
    let (found, probabilities) = kernel::forward(states.storage(), weight.storage(), bias.storage(), targets);
    (host_tensor(found, &[targets.len()]), probabilities)
}

/// What the backward pass keeps of the forward pass.
#[derive(Clone, Debug)]
struct Saved {
    states: HostTensor,
    weight: HostTensor,
    probabilities: Vec<f32>,
    targets: Arc<Vec<usize>>,
}

#[derive(Debug)]
struct TargetBackward;

impl Backward<Flex, 3> for TargetBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { states, weight, probabilities, targets } = ops.state;
        let (states, weight) = (states.to_contiguous(), weight.to_contiguous());
        let [rows, width] = states.shape().dims();
        let [_, words] = weight.shape().dims();
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let out = kernel::backward(states.storage(), weight.storage(), probabilities, &targets, grad.storage(), wanted);
        let [states, weight, bias] = ops.parents;
        for (node, grad, shape) in [
            (states, out.states, vec![rows, width]),
            (weight, out.weight, vec![width, words]),
            (bias, out.bias, vec![words]),
        ] {
            if let (Some(node), Some(grad)) = (node, grad) {
                grads.register::<Flex>(node.id, host_tensor(grad, &shape));
            }
        }
    }
}

impl<C: CheckpointStrategy> TargetBackend for Autodiff<Flex, C> {
    fn target_log_probability(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: Arc<Vec<usize>>,
    ) -> FloatTensor<Self> {
        let nodes = [states.node(), weight.node(), bias.node()];
        let [states, weight, bias] = [states, weight, bias].map(|tensor| tensor.into_primitive());
        let (out, probabilities) = run(&states, &weight, &bias, &targets);
        match TargetBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(Saved { states, weight, probabilities, targets }, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
