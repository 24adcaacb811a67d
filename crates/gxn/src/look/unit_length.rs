//! [`unit_length`], for features, images and captions alike.

use burn::tensor::Tensor;

/// `x / ‖x‖₂` of each row; a zero row stays zero.
///
/// # Shapes
/// `[B, D]` → `[B, D]`
pub fn unit_length(x: Tensor<2>) -> Tensor<2> {
    let squares = x.clone().square().sum_dim(1);
    x / squares.add_scalar(1e-12).sqrt()
}
