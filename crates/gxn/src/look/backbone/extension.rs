//! The trained blocks of a backbone as one tensor operation with its own backward pass.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};

use super::trained::{Maps, TrainedNetwork};

pub(super) type HostTensor = FloatTensor<Flex>;

/// A tensor of the host's memory without a copy.
pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> HostTensor {
    tensor.inner().try_into_primitive::<Flex>().expect("a host tensor")
}

#[backend_extension(Flex, Autodiff)]
pub(super) trait BackboneBackend: Backend {
    /// The last map of `images` in `network`, whose folded weights are `parameters`.
    fn backbone(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        network: Arc<TrainedNetwork>,
    ) -> FloatTensor<Self>;
}

/// The last map of `images` in `network`. Gradients reach `parameters`, the folded weights that `network` was made of, and
/// `images` where all blocks are trained.
///
/// # Shapes
/// `[B, C, h, w]`, `[P]` → `[B, C', h', w']`
pub(super) fn run(images: Tensor<4>, parameters: Tensor<1>, network: Arc<TrainedNetwork>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::backbone(images.into_dispatch(), parameters.into_dispatch(), network))
}

impl BackboneBackend for Flex {
    fn backbone(images: HostTensor, _: HostTensor, network: Arc<TrainedNetwork>) -> HostTensor {
        last(&forward(&images, &network))
    }
}

fn forward(images: &HostTensor, network: &TrainedNetwork) -> Vec<Maps> {
    let images = images.to_contiguous();
    let [_, channels, height, width] = images.shape().dims();
    network.forward(images.storage(), channels, [height, width])
}

/// The last maps as one tensor.
fn last(maps: &[Maps]) -> HostTensor {
    let ends = maps.iter().filter_map(|maps| maps.last());
    let values: Vec<f32> = ends.clone().flat_map(|map| map.to_planes()).collect();
    let [height, width] = maps[0][maps[0].len() - 1].extent();
    let channels = values.len() / (maps.len() * height * width);
    host_tensor(values, vec![maps.len(), channels, height, width])
}

fn host_tensor(values: Vec<f32>, shape: Vec<usize>) -> HostTensor {
    HostTensor::from_data(TensorData::new(values, shape))
}

/// What the backward pass keeps of the forward pass.
#[derive(Clone, Debug)]
struct Saved {
    network: Arc<TrainedNetwork>,
    maps: Arc<Vec<Maps>>,
    images_shape: Vec<usize>,
}

#[derive(Debug)]
struct BackboneBackward;

impl Backward<Flex, 2> for BackboneBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { network, maps, images_shape } = ops.state;
        let [images, parameters] = ops.parents;
        assert!(images.is_none() || network.trains_all(), "gradients of images pass through frozen blocks");
        let (folded, inputs) = network.backward(&maps, gradient.storage(), images.is_some());
        if let Some(node) = images {
            grads.register::<Flex>(node.id, host_tensor(inputs, images_shape));
        }
        if let Some(node) = parameters {
            let count = folded.len();
            grads.register::<Flex>(node.id, host_tensor(folded, vec![count]));
        }
    }
}

impl<C: CheckpointStrategy> BackboneBackend for Autodiff<Flex, C> {
    fn backbone(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        network: Arc<TrainedNetwork>,
    ) -> FloatTensor<Self> {
        let nodes = [images.node(), parameters.node()];
        let (images, parameters) = (images.into_primitive(), parameters.into_primitive());
        drop(parameters); // `network` has its values
        let images_shape = images.shape().to_vec();
        let maps = forward(&images, &network);
        let out = last(&maps);
        match BackboneBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(Saved { network, maps: Arc::new(maps), images_shape }, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
