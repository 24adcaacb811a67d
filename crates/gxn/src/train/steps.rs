//! One function per step of the paper.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::config::{LossKind, MatchingConfig};
use crate::look::{Phase, TokenBatch};
use crate::matching::ranking_loss::same_image;
use crate::matching::{combined_scores, hinge_loss, info_nce_loss};
use crate::model::Gxn;

/// Highest 1 / temperature of the softmax loss.
const MAX_SCALE: f32 = 100.0;

/// What the Match step sees.
#[derive(Debug, Clone)]
pub struct MatchBatch {
    /// CNN features, `[B, F]`.
    pub features: Tensor<2>,
    /// One caption for each.
    pub captions: TokenBatch,
    /// Number of the picture of each pair: equal numbers are no negatives of each other.
    pub images: Vec<usize>,
}

/// Match (Algorithm 1): the ranking loss of a batch on the combined scores, and its gradients.
///
/// `hardest` chooses between the two hinge losses where the configuration has `hardest`.
pub fn match_step(
    model: &Gxn,
    batch: MatchBatch,
    matching: &MatchingConfig,
    lambda: f64,
    hardest: bool,
    phase: Phase,
) -> (f64, GradientsParams) {
    let images = model.encode_image(batch.features, phase);
    let captions = model.encode_text(&batch.captions, phase);
    let scores = combined_scores(&images, &captions, matching.similarity, lambda); // [B, B]
    let mask = same_image(&batch.images, &scores.device());
    let loss = match matching.loss {
        LossKind::InfoNce => {
            let scale = model.log_scale.val().exp().clamp_max(MAX_SCALE);
            info_nce_loss(scores, mask, scale)
        }
        LossKind::Sum | LossKind::Hardest => hinge_loss(scores, mask, matching.margin, hardest),
    };
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    (loss.into_scalar::<f32>().into(), gradients)
}
