//! Order similarity of embeddings (paper §3.1; Vendrov et al. 2016): s(v, t) = −‖max(0, v − t)‖².

mod extension;
mod kernel;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use extension::OrderBackend;

/// Which side has to lie below the other for a perfect score of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// −‖max(0, v − t)‖²: the image must lie below the caption (the paper's formula as printed).
    ImageMinusCaption,
    /// −‖max(0, t − v)‖²: the caption must lie below the image (order embeddings as their authors trained them).
    CaptionMinusImage,
}

/// Scores of all images v against all captions t, −‖max(0, v − t)‖² or with v and t exchanged; never positive, and 0
/// exactly where the order holds in every dimension.
///
/// Nothing of size N·M·D is ever stored, neither forwards nor backwards.
///
/// # Shapes
/// `images` `[N, D]`, `captions` `[M, D]` → `[N, M]`.
///
/// # Panics
/// If the widths differ or a size is zero.
pub fn order_similarity(images: Tensor<2>, captions: Tensor<2>, order: Order) -> Tensor<2> {
    check(&images, &captions);
    if !super::is_host(&images) {
        return order_similarity_plain(images, captions, order);
    }
    match order {
        Order::ImageMinusCaption => {
            Tensor::from_dispatch(Dispatch::order_scores(images.into_dispatch(), captions.into_dispatch()))
        }
        Order::CaptionMinusImage => {
            let scores = Dispatch::order_scores(captions.into_dispatch(), images.into_dispatch());
            Tensor::<2>::from_dispatch(scores).transpose()
        }
    }
}

/// The same as [`order_similarity`] by tensor operations on any device; needs memory for N·M·D values.
///
/// # Shapes
/// `images` `[N, D]`, `captions` `[M, D]` → `[N, M]`.
///
/// # Panics
/// As [`order_similarity`].
pub fn order_similarity_plain(images: Tensor<2>, captions: Tensor<2>, order: Order) -> Tensor<2> {
    check(&images, &captions);
    let images: Tensor<3> = images.unsqueeze_dim(1); // [N, 1, D]
    let captions: Tensor<3> = captions.unsqueeze_dim(0); // [1, M, D]
    let difference = match order {
        Order::ImageMinusCaption => images - captions,
        Order::CaptionMinusImage => captions - images,
    };
    let violation = difference.clamp_min(0.0); // [N, M, D]
    -(violation.clone() * violation).sum_dim(2).squeeze_dim(2)
}

fn check(images: &Tensor<2>, captions: &Tensor<2>) {
    let ([rows, width], [columns, other]) = (images.dims(), captions.dims());
    assert_eq!(width, other, "found embeddings of two widths, expected one joint space");
    assert!(
        rows > 0 && columns > 0 && width > 0,
        "found an empty side ({rows} x {columns} x {width}), expected values"
    );
}
