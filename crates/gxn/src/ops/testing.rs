//! What the tests of several operations share: leaves of a graph, values, closeness.

use burn::tensor::{Device, Tensor, TensorData};

/// Host tensors with gradients.
pub fn device() -> Device {
    Device::flex().autodiff()
}

/// A parameter with the given values.
pub fn leaf<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::<D>::from_data(TensorData::new(values.to_vec(), shape), &device()).require_grad()
}

/// The values, row by row.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Whether all values agree to `tolerance`, relative for large ones.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (k, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}[{k}]: found {a}, expected {b}");
    }
}
