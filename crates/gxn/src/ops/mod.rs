//! Fused operations with hand-written backward passes, each tested against its plain form.
//!
//! | module | replaces |
//! |---|---|
//! | [`gru`] | a loop of small products and slices over the time steps |
//!
//! The fused forms work on `f32` tensors of the host backend. Elsewhere (a GPU, another element type) the same
//! functions fall back to their plain forms, which are compositions of tensor operations with automatic gradients.
//! Results are bit-identical from run to run for a fixed number of threads.

pub mod gru;
mod matrix;
mod simd;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Device, Tensor};

/// The host backend's tensor: shared bytes with a layout.
type HostTensor = FloatTensor<Flex>;

/// Whether the fused form can work on `tensor`: `f32` in host memory.
fn is_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == Device::flex() && tensor.dtype() == DType::F32
}

/// A contiguous host tensor that owns `values`.
fn host_tensor(values: Vec<f32>, shape: &[usize]) -> HostTensor {
    HostTensor::from_data(burn::tensor::TensorData::new(values, shape.to_vec()))
}
