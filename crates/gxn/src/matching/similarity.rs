//! s(t, v) and the combined score s* (paper §3.2).

use burn::tensor::Tensor;

use crate::config::SimilarityKind;
use crate::model::Embedding;
use crate::ops::order_similarity::{Order, order_similarity};

/// s(t, v) of every picture with every caption; larger is better.
///
/// # Shapes
/// `[N, D]`, `[M, D]` → `[N, M]`
pub fn similarity(images: Tensor<2>, captions: Tensor<2>, kind: SimilarityKind) -> Tensor<2> {
    match kind {
        SimilarityKind::Order => order_similarity(images, captions, Order::ImageMinusCaption),
        SimilarityKind::OrderReversed => order_similarity(images, captions, Order::CaptionMinusImage),
        // Rows have unit length: the inner product is the cosine.
        SimilarityKind::Cosine => images.matmul(captions.transpose()),
    }
}

/// s* = λ·s(t_h, v_h) + (1 − λ)·s(t_l, v_l); s(t_h, v_h) alone where there is one level.
///
/// # Shapes
/// `N` pictures, `M` captions → `[N, M]`
pub fn combined_scores(images: &Embedding, captions: &Embedding, kind: SimilarityKind, lambda: f64) -> Tensor<2> {
    let abstract_scores = similarity(images.abstract_level.clone(), captions.abstract_level.clone(), kind);
    match (&images.grounded_level, &captions.grounded_level) {
        (Some(v_l), Some(t_l)) => {
            let grounded_scores = similarity(v_l.clone(), t_l.clone(), kind);
            abstract_scores * lambda + grounded_scores * (1.0 - lambda)
        }
        _ => abstract_scores,
    }
}
