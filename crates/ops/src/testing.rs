//! What the tests of several operations share: leaves of a graph, values, closeness.

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

thread_local! {
    /// Every test is a thread: each draws the same numbers whenever it is run.
    static NUMBERS: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(7));
}

/// Host tensors with gradients.
pub fn device() -> Device {
    Device::flex().autodiff()
}

/// A parameter with the given values.
pub fn leaf<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::<D>::from_data(TensorData::new(values.to_vec(), shape), &device()).require_grad()
}

/// A parameter with uniform values.
pub fn random<const D: usize>(shape: [usize; D], within: Range<f32>) -> Tensor<D> {
    let one = |numbers: &RefCell<ChaCha8Rng>| numbers.borrow_mut().random_range(within.clone());
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| NUMBERS.with(one)).collect();
    leaf(&values, shape)
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
