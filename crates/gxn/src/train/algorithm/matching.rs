//! Match: the ranking loss, paper Eq. 3.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::{LossOutput, Step, generator, value};
use crate::config::{LossKind, MatchingConfig, Update};
use crate::look::{Phase, TokenBatch};
use crate::matching::{Negatives, Pairs, combined_scores, distillation_loss, hinge_loss, info_nce_loss};
use crate::model::Gxn;
use crate::seed::mix;
use crate::train::metrics::NamedMetrics;
use crate::train::trainer::Trainer;
use gxn_base::Result;

/// The loss of what teachers say.
pub const DISTILLATION: &str = "match.distillation";

/// Highest 1 / temperature of the softmax loss.
const MAX_SCALE: f32 = 100.0;

/// What Match reads.
#[derive(Debug, Clone)]
pub struct MatchBatch {
    /// CNN features, `[B, F]`.
    pub features: Tensor<2>,
    /// `C` captions of these images.
    pub captions: TokenBatch,
    /// Which caption belongs to which image.
    pub pairs: Pairs,
    /// What to learn from beside the pairs.
    pub lesson: Option<Lesson>,
}

/// What a teacher says of a batch ([`distillation_loss`]); the loss has to be the softmax.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// Its logits, `[B, C]`.
    pub logits: Tensor<2>,
    /// Its weight; the pairs have the rest.
    pub weight: f64,
}

/// The ranking loss of a batch on the combined scores, and its gradient with that of the lesson where there is one. `negatives` counts
/// where the configuration has a hinge loss.
pub fn match_loss(
    model: &Gxn,
    batch: MatchBatch,
    matching: &MatchingConfig,
    lambda: f64,
    negatives: Negatives,
    phase: Phase,
) -> LossOutput {
    let images = model.encode_image(batch.features.clone(), phase);
    let captions = model.encode_text(&batch.captions, phase);
    let scores = combined_scores(&images, &captions, matching.similarity, lambda); // [B, C]
    let scale = model.log_scale.val().exp().clamp_max(MAX_SCALE);
    let loss = match matching.loss {
        LossKind::InfoNce => info_nce_loss(scores.clone(), &batch.pairs, scale.clone()),
        LossKind::Sum | LossKind::Hardest => hinge_loss(scores.clone(), &batch.pairs, matching.margin, negatives),
    };
    let (learned, metrics) = match batch.lesson {
        None => (loss.clone(), NamedMetrics::default()),
        Some(Lesson { logits, weight }) => {
            let lesson = distillation_loss(scores, logits, scale);
            let metrics = NamedMetrics::from([(DISTILLATION, value(&lesson))]);
            (loss.clone() * (1.0 - weight) + lesson * weight, metrics)
        }
    };
    let gradients = learned.backward();
    let feature_gradient = batch.features.grad(&gradients);
    let gradients = GradientsParams::from_grads(gradients, model);
    LossOutput { loss: value(&loss), metrics, gradients, feature_gradient }
}

/// The mean loss of a batch of `images` images and `captions` captions of theirs whose scores are all equal: where nothing is
/// learned.
pub fn plateau(matching: &MatchingConfig, negatives: Negatives, images: usize, captions: usize) -> f64 {
    let own = captions / images.max(1);
    let others = [captions.saturating_sub(own) as f64, images.saturating_sub(1) as f64];
    match (matching.loss, negatives) {
        (LossKind::InfoNce, _) => others.iter().map(|others| (others + 1.0).ln()).sum::<f64>() / 2.0,
        (LossKind::Sum | LossKind::Hardest, Negatives::Hardest) => 2.0 * matching.margin,
        (LossKind::Sum | LossKind::Hardest, Negatives::All) => matching.margin * others.iter().sum::<f64>(),
    }
}

impl Trainer {
    pub(super) fn update_match(&mut self, step: &mut Step) -> Result<()> {
        // Behind Gen_t2i dropout is drawn again: the batch may have had a Match before it.
        let is_behind_generator = step.metrics.get(generator::LOSS).is_some();
        let seed = if is_behind_generator { mix(step.seed, 0x2d) } else { step.seed };
        let features = self.features(step, seed)?;
        let captions = self.data.step_captions(&step.batch.captions, self.config.look.sentence.unknown_word_rate, seed);
        let pairs = self.data.pairs(step.batch, self.config.matching.mask_equal_captions);
        let captions = TokenBatch::new(&captions).with_features(self.data.text_features_of(&step.batch.captions));
        let lesson = (self.teacher.as_ref())
            .map(|teacher| teacher.logits(&self.data, step.batch, &self.device.clone().autodiff()))
            .transpose()?
            .map(|logits| Lesson { logits, weight: self.config.train.distillation });
        let batch = MatchBatch { features, captions, pairs, lesson };
        let (lambda, phase) = (self.config.matching.effective_lambda(), Phase::Train { seed });
        let found = match_loss(&self.model, batch, &self.config.matching, lambda, self.negatives(), phase);
        self.finite(Update::Match, "loss", found.loss)?;
        let (gradients, norm) = self.clipped(Update::Match, "gradient", found.gradients)?;
        self.share_gradient(step, found.feature_gradient, norm, 1.0);
        self.apply(Update::Match, gradients, self.rates("", step.rate, step.rate));
        self.position.match_steps += 1;
        step.metrics.extend(found.metrics);
        step.reported = (found.loss, norm);
        Ok(())
    }

    /// The negatives of the current epoch's hinge loss.
    pub(in crate::train) fn negatives(&self) -> Negatives {
        let m = &self.config.matching;
        let hardest = m.loss == LossKind::Hardest && self.position.epoch >= m.sum_epochs;
        if hardest { Negatives::Hardest } else { Negatives::All }
    }
}
