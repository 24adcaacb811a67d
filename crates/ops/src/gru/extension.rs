//! The fused GRU as a tensor operation with its own backward pass.

use super::kernel::{self, Trace, Wanted, Weights};
use super::packing::Packing;
use crate::{HostTensor, host_tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use std::sync::Arc;

#[backend_extension(Flex, Autodiff)]
pub(super) trait GruBackend: Backend {
    /// States `[B, T, H]` of `x` `[B, T, E]`. Without `has_initial` the values of `initial` do not matter.
    #[allow(clippy::too_many_arguments)]
    fn gru_sequence(
        x: FloatTensor<Self>,
        w_ih: FloatTensor<Self>,
        w_hh: FloatTensor<Self>,
        b_ih: FloatTensor<Self>,
        b_hh: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        has_initial: bool,
        packing: Arc<Packing>,
    ) -> FloatTensor<Self>;
}

impl GruBackend for Flex {
    fn gru_sequence(
        x: HostTensor,
        w_ih: HostTensor,
        w_hh: HostTensor,
        b_ih: HostTensor,
        b_hh: HostTensor,
        initial: HostTensor,
        has_initial: bool,
        packing: Arc<Packing>,
    ) -> HostTensor {
        run([x, w_ih, w_hh, b_ih, b_hh, initial], has_initial, &packing).0
    }
}

/// The forward pass over `[x, w_ih, w_hh, b_ih, b_hh, initial]`.
fn run(inputs: [HostTensor; 6], has_initial: bool, packing: &Packing) -> (HostTensor, Trace) {
    let [x, w_ih, w_hh, b_ih, b_hh, initial] = inputs.map(|tensor| tensor.to_contiguous());
    let hidden = w_hh.shape().dims::<2>()[1];
    let weights = Weights {
        input: w_ih.storage(),
        hidden: w_hh.storage(),
        input_bias: b_ih.storage(),
        hidden_bias: b_hh.storage(),
    };
    let (out, trace) = kernel::forward(packing, x.storage(), weights, has_initial.then(|| initial.storage()));
    (host_tensor(out, &[packing.batch(), packing.time, hidden]), trace)
}

/// What the backward pass keeps of the forward pass.
#[derive(Clone, Debug)]
struct Saved {
    packing: Arc<Packing>,
    trace: Trace,
    w_ih: HostTensor,
    w_hh: HostTensor,
    has_initial: bool,
}

#[derive(Debug)]
struct GruBackward;

impl Backward<Flex, 6> for GruBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 6>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { packing, trace, w_ih, w_hh, has_initial } = ops.state;
        let (w_ih, w_hh) = (w_ih.to_contiguous(), w_hh.to_contiguous());
        let [gates, width] = w_ih.shape().dims();
        let hidden = gates / 3;
        let [x, input, recurrent, input_bias, hidden_bias, initial] = ops.parents;
        let wanted = Wanted {
            x: x.is_some(),
            input: input.is_some(),
            hidden: recurrent.is_some(),
            input_bias: input_bias.is_some(),
            hidden_bias: hidden_bias.is_some(),
            initial: has_initial && initial.is_some(),
        };
        let out =
            kernel::backward(&packing, trace, w_ih.storage(), w_hh.storage(), grad.storage(), has_initial, wanted);
        let batch = packing.batch();
        for (node, grad, shape) in [
            (x, out.x, vec![batch, packing.time, width]),
            (input, out.input, vec![gates, width]),
            (recurrent, out.hidden, vec![gates, hidden]),
            (input_bias, out.input_bias, vec![gates]),
            (hidden_bias, out.hidden_bias, vec![gates]),
            (initial, out.initial, vec![batch, hidden]),
        ] {
            if let (Some(node), Some(grad)) = (node, grad) {
                grads.register::<Flex>(node.id, host_tensor(grad, &shape));
            }
        }
    }
}

impl<C: CheckpointStrategy> GruBackend for Autodiff<Flex, C> {
    fn gru_sequence(
        x: FloatTensor<Self>,
        w_ih: FloatTensor<Self>,
        w_hh: FloatTensor<Self>,
        b_ih: FloatTensor<Self>,
        b_hh: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        has_initial: bool,
        packing: Arc<Packing>,
    ) -> FloatTensor<Self> {
        let inputs = [x, w_ih, w_hh, b_ih, b_hh, initial];
        let nodes = inputs.each_ref().map(|tensor| tensor.node());
        let inputs = inputs.map(|tensor| tensor.into_primitive());
        let (w_ih, w_hh) = (inputs[1].clone(), inputs[2].clone());
        let (out, trace) = run(inputs, has_initial, &packing);
        match GruBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(Saved { packing, trace, w_ih, w_hh, has_initial }, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
