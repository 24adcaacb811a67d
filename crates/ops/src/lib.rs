//! Fused operations with hand-written backward passes, each tested against its plain form.
//!
//! | module | holds | instead of |
//! |---|---|---|
//! | [`gru`] | gated recurrent unit over padded sequences | a loop of small products and slices over the time steps |
//! | [`order_similarity`] | order similarity of all pairs | differences of all pairs, which need memory for N·M·D values |
//! | [`target_log_probability`] | ln p of given words under a softmax | eight passes over the probabilities of all words |
//! | [`conv`] | convolutions of small and of upsampled maps | convolutions through matrices of patches |
//! | [`batch_norm`] | batch normalisation with its activation | six passes over a map and four more for its activation |
//! | [`adam`] | Adam and AdamW | a dozen passes over parameters, gradients and moments |
//! | [`gradient`] | clipping by the global norm | one norm per parameter |
//! | [`moving_average`] | the running average of a module's parameters | a copy of the module per step |
//! | [`dropout`] | dropout by a seed | a random mask that depends on hidden state |
//! | [`pool`] | buffers on cache-line boundaries that are used again | fresh memory for every map |
//! | [`simd16`] | sixteen floats at a time, for kernels of one's own | |
//!
//! The fused forms work on `f32` tensors of the host backend. Elsewhere (a GPU, another element type) the same
//! functions fall back to their plain forms, which are compositions of tensor operations with automatic gradients.
//! Results are bit-identical from run to run for a fixed number of threads.
//!
//! # Example
//! States of a GRU over two padded sequences, and the gradient of its input:
//! ```
//! use burn::tensor::{Device, Tensor};
//! use gxn_ops::gru::{Direction, GruWeights, gru};
//!
//! let device = Device::flex().autodiff();
//! let zeros = |count| Tensor::<1>::zeros([count], &device);
//! let ones = |rows, columns| Tensor::<2>::ones([rows, columns], &device);
//! let weights = GruWeights { w_ih: ones(12, 3), w_hh: ones(12, 4), b_ih: zeros(12), b_hh: zeros(12) };
//! let x = Tensor::<3>::ones([2, 5, 3], &device).require_grad(); // [B, T, E]
//! let states = gru(x.clone(), &[5, 2], &weights, None, Direction::Forward); // [B, T, H]
//! assert_eq!(states.dims(), [2, 5, 4]);
//! let gradients = states.sum().backward();
//! assert_eq!(x.grad(&gradients).unwrap().dims(), [2, 5, 3]);
//! ```
#![warn(missing_docs)]

pub mod adam;
pub mod batch_norm;
pub mod conv;
pub mod dropout;
pub mod gradient;
pub mod gru;
mod matrix;
pub mod moving_average;
mod multiversion;
pub mod order_similarity;
pub mod pool;
pub mod simd16;
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
    let is_whole = tensor.is_contiguous() && tensor.bytes().len() == tensor.shape().num_elements() * size_of::<f32>();
    if is_whole { tensor } else { tensor.to_contiguous() }
}

/// The inverse of [`into_host`].
fn from_host<const D: usize>(tensor: HostTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(tensor)
}
