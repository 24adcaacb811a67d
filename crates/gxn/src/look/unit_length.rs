//! Rows of length 1, for features, images and captions alike.

use burn::tensor::Tensor;

/// `x / ‖x‖₂` of each row; a zero row stays zero.
///
/// # Shapes
/// `[B, D]` → `[B, D]`
pub fn unit_length(x: Tensor<2>) -> Tensor<2> {
    let squares = x.clone().square().sum_dim(1);
    x / squares.add_scalar(1e-12).sqrt()
}

/// Scales a row to length 1; a zero row stays zero.
pub fn to_unit_length(row: &mut [f32]) {
    let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
}
