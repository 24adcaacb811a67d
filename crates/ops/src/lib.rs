//! Fused operations with hand-written backward passes, each tested against its plain form.
//!
//! | module | replaces |
//! |---|---|
//! | [`gru`] | a loop of small products and slices over the time steps |
//! | [`order_similarity`] | differences of all pairs, which need memory for N·M·D values |
//! | [`target_log_probability`] | eight passes over the probabilities of all words |
//! | [`conv`] | convolutions through matrices of patches, and upsampled maps |
//! | [`batch_norm`] | six passes over a map and four more for its activation |
//! | [`adam`] | a dozen passes over parameters, gradients and moments |
//! | [`gradient`] | clipping by the global norm |
//! | [`moving_average`] | the running average of a module's parameters |
//! | [`dropout`] | a random mask that depends on hidden state |
//!
//! The fused forms work on `f32` tensors of the host backend. Elsewhere (a GPU, another element type) the same
//! functions fall back to their plain forms, which are compositions of tensor operations with automatic gradients.
//! Results are bit-identical from run to run for a fixed number of threads.

pub mod adam;
pub mod batch_norm;
pub mod conv;
pub mod dropout;
pub mod gradient;
pub mod gru;
pub mod lanes;
mod matrix;
pub mod moving_average;
pub mod order_similarity;
mod pool;
mod simd;
pub mod target_log_probability;
#[cfg(test)]
mod testing;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// The host backend's tensor: shared bytes with a layout.
type HostTensor = FloatTensor<Flex>;

/// Whether the fused form can work on `tensor`: `f32` in host memory.
fn is_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == Device::flex() && tensor.dtype() == DType::F32
}

/// A contiguous host tensor that owns `values`.
fn host_tensor(values: Vec<f32>, shape: &[usize]) -> HostTensor {
    HostTensor::from_data(TensorData::new(values, shape.to_vec()))
}

/// The same for a buffer of the pool, which gets it back when the tensor's last owner is gone.
fn pooled_tensor(values: pool::Buffer, shape: &[usize]) -> HostTensor {
    HostTensor::from_data(TensorData::from_bytes(values.into(), shape.to_vec(), DType::F32))
}

/// The host tensor inside `tensor`, which owns exactly its own values row by row; copies only views.
fn into_host<const D: usize>(tensor: Tensor<D>) -> HostTensor {
    row_by_row(tensor.inner().try_into_primitive::<Flex>().expect("a host tensor, as `is_host` said"))
}

/// `tensor` itself if it owns exactly its own values row by row, otherwise such a copy.
///
/// Unlike `to_contiguous` it does not leave a second owner behind, which would make writing in place copy.
fn row_by_row(tensor: HostTensor) -> HostTensor {
    match tensor.is_contiguous() && tensor.bytes().len() == tensor.shape().num_elements() * size_of::<f32>() {
        true => tensor,
        false => tensor.to_contiguous(),
    }
}

/// The inverse of [`into_host`].
fn from_host<const D: usize>(tensor: HostTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(tensor)
}
