//! The convolutions as tensor operations with their own backward passes.

use super::geometry::Geometry;
use super::map::Map;
use super::{passes, upsampled};
use crate::{HostTensor, host_tensor, pooled_tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use rayon::prelude::*;

/// Which convolution it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// From the large map to the small one.
    Strided,
    /// Upsampled by two, then 3×3: from the small map to the large one.
    Upsampled,
}

#[backend_extension(Flex, Autodiff)]
pub(super) trait ConvBackend: Backend {
    /// The convolution of `x` by `weight`, with `bias` where `has_bias`.
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        has_bias: bool,
        geometry: Geometry,
        form: Form,
    ) -> FloatTensor<Self>;
}

impl ConvBackend for Flex {
    fn convolution(
        x: HostTensor,
        weight: HostTensor,
        bias: HostTensor,
        has_bias: bool,
        geometry: Geometry,
        form: Form,
    ) -> HostTensor {
        run(&x, &weight, has_bias.then_some(&bias), &geometry, form).0
    }
}

/// The result, and the input map as the gradient of the weights needs it.
fn run(x: &HostTensor, weight: &HostTensor, bias: Option<&HostTensor>, g: &Geometry, form: Form) -> (HostTensor, Map) {
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    let bias = bias.map(HostTensor::to_contiguous);
    let bias = bias.as_ref().map(|bias| bias.storage::<f32>());
    match form {
        Form::Strided => {
            let map = Map::new(x.storage(), g.large_shape(), g.large_margin());
            (pooled_tensor(passes::to_small(g, &map, weight.storage(), bias), &g.small_shape()), map)
        }
        Form::Upsampled => {
            let map = Map::new(x.storage(), g.small_shape(), g.small_margin());
            let weight = upsampled::expand(weight.storage(), g.channels, g.filters);
            (pooled_tensor(passes::to_large(g, &map, &weight, bias), &g.large_shape()), map)
        }
    }
}

/// What the backward pass keeps of the forward pass; each only where a gradient needs it.
#[derive(Clone, Debug)]
struct Saved {
    geometry: Geometry,
    form: Form,
    /// The input, for the gradient of the weights.
    map: Option<Map>,
    /// For the gradient of the input.
    weight: Option<HostTensor>,
}

#[derive(Debug)]
struct ConvBackward;

impl Backward<Flex, 3> for ConvBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { geometry: g, form, map, weight } = ops.state;
        let [x_node, weight_node, bias_node] = ops.parents;
        let (filters, channels, kernel) = (g.filters, g.channels, g.kernel);
        if let Some(node) = bias_node {
            let sums = channel_sums(grad.storage(), if form == Form::Strided { filters } else { channels }, &g, form);
            let shape = [sums.len()];
            grads.register::<Flex>(node.id, host_tensor(sums, &shape));
        }
        if x_node.is_none() && weight_node.is_none() {
            return;
        }
        let (shape, margin) = match form {
            Form::Strided => (g.small_shape(), g.small_margin()),
            Form::Upsampled => (g.large_shape(), g.large_margin()),
        };
        let grad = Map::new(grad.storage(), shape, margin);
        if let Some(node) = weight_node {
            let map = map.expect("kept for the weights");
            let (out, shape) = match form {
                Form::Strided => (passes::to_weights(&g, &map, &grad), [filters, channels, kernel, kernel]),
                Form::Upsampled => {
                    let out = passes::to_weights(&g, &grad, &map);
                    (upsampled::fold(&out, channels, filters), [channels, filters, 3, 3])
                }
            };
            grads.register::<Flex>(node.id, host_tensor(out, &shape));
        }
        if let Some(node) = x_node {
            let weight = weight.expect("kept for the input").to_contiguous();
            let (out, shape) = match form {
                Form::Strided => (passes::to_large(&g, &grad, weight.storage(), None), g.large_shape()),
                Form::Upsampled => {
                    let weight = upsampled::expand(weight.storage(), channels, filters);
                    (passes::to_small(&g, &grad, &weight, None), g.small_shape())
                }
            };
            grads.register::<Flex>(node.id, pooled_tensor(out, &shape));
        }
    }
}

/// The sum of each channel of `[B, channels, ·, ·]` over images and pixels.
fn channel_sums(values: &[f32], channels: usize, g: &Geometry, form: Form) -> Vec<f32> {
    let [height, width] = if form == Form::Strided { g.small } else { g.large };
    let plane = height * width;
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let planes = values.chunks_exact(plane).skip(channel).step_by(channels);
            planes.map(|plane| plane.iter().sum::<f32>()).sum()
        })
        .collect()
}

impl<C: CheckpointStrategy> ConvBackend for Autodiff<Flex, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        has_bias: bool,
        geometry: Geometry,
        form: Form,
    ) -> FloatTensor<Self> {
        let inputs = [x, weight, bias];
        let nodes = inputs.each_ref().map(|tensor| tensor.node());
        let [x_tracked, weight_tracked, _] = inputs.each_ref().map(|tensor| tensor.is_tracked());
        let [x, weight, bias] = inputs.map(|tensor| tensor.into_primitive());
        let (out, map) = run(&x, &weight, has_bias.then_some(&bias), &geometry, form);
        match ConvBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (map, weight) = (weight_tracked.then_some(map), x_tracked.then_some(weight));
                prepared.finish(Saved { geometry, form, map, weight }, out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
