//! Order similarity of embeddings (paper §3.2; Vendrov et al. 2016): s(v, t) = −‖max(0, v − t)‖².

mod extension;
mod kernel;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use extension::OrderBackend;

/// Scores of all pairs, −‖max(0, v − t)‖²; never positive, and 0 exactly where v ≤ t in every dimension. With v the images
/// and t the captions it is the paper's formula as printed; order embeddings as their authors trained them exchange the two
/// and transpose the result.
///
/// Nothing of size N·M·D is ever stored, neither forwards nor backwards.
///
/// # Shapes
/// `v` `[N, D]`, `t` `[M, D]` → `[N, M]`.
///
/// # Panics
/// If the widths differ or a size is zero.
pub fn order_similarity(v: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
    let ([rows, width], [columns, other]) = (v.dims(), t.dims());
    assert_eq!(width, other, "found embeddings of two widths, expected one joint space");
    assert!(
        rows > 0 && columns > 0 && width > 0,
        "found an empty side ({rows} x {columns} x {width}), expected values"
    );
    if !super::is_host(&v) {
        return order_similarity_plain(v, t);
    }
    Tensor::from_dispatch(Dispatch::order_scores(v.into_dispatch(), t.into_dispatch()))
}

/// The same by tensor operations, on whatever device holds the tensors; needs memory for N·M·D values.
fn order_similarity_plain(v: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
    let v: Tensor<3> = v.unsqueeze_dim(1); // [N, 1, D]
    let t: Tensor<3> = t.unsqueeze_dim(0); // [1, M, D]
    let violation = (v - t).clamp_min(0.0); // [N, M, D]
    -(violation.clone() * violation).sum_dim(2).squeeze_dim(2)
}
