//! Gen_t2i, its first half: the discriminator's loss, paper Eq. 11.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::generator::{self, FakeBatch, generate_fakes};
use super::{LossOutput, Step, value};
use crate::config::{ImageConfig, Stage, Update};
use crate::imagine::Discriminator;
use crate::imagine::adversarial_loss::discriminator_loss as adversarial_loss;
use crate::imagine::discriminator::DiscriminatorStats;
use crate::look::{Phase, TokenBatch};
use crate::model::Gxn;
use crate::seed::mix;
use crate::train::metrics::NamedMetrics;
use crate::train::trainer::Trainer;
use gxn_base::Result;

/// −L_D of Eq. 11. The log has called the group `picture` from the beginning.
pub const LOSS: &str = "picture.discriminator";
/// Share of real images that D takes for real.
pub const REAL_RIGHT: &str = "picture.real_right";
/// Share of generated images that D takes for false.
pub const FAKE_RIGHT: &str = "picture.fake_right";
/// Share of images with another image's sentence that D takes for false.
pub const WRONG_RIGHT: &str = "picture.wrong_right";

/// −L_D on real images `[B, 3, 64, 64]`, generated ones, and real ones with the next pair's sentence. The gradient reaches the
/// discriminator and nothing else. Also returns the batch statistics of its passes.
///
/// # Panics
/// If the model has no discriminator.
pub fn discriminator_loss(
    model: &Gxn,
    real: Tensor<4>,
    fakes: &FakeBatch,
    config: &ImageConfig,
    phase: Phase,
) -> (LossOutput, DiscriminatorStats) {
    let network = discriminator(model);
    let (t_l, fake) = (fakes.t_l().detach(), fakes.pixels().detach());
    let mut stats = DiscriminatorStats::default();
    let (real, fake) = (network.map(real, phase, &mut stats), network.map(fake, phase, &mut stats));
    // No two pairs of a batch are of one image: the next one's sentence is a wrong one.
    let wrong_t_l = rolled(t_l.clone());
    let [real_logits, wrong_logits] = if config.pairs_together {
        let pairs = Tensor::cat(vec![real.clone(), real], 0);
        let logits = network.logits(pairs, Tensor::cat(vec![t_l.clone(), wrong_t_l], 0), phase, &mut stats);
        let batch = t_l.dims()[0];
        [logits.clone().narrow(0, 0, batch), logits.narrow(0, batch, batch)]
    } else {
        [t_l.clone(), wrong_t_l].map(|t_l| network.logits(real.clone(), t_l, phase, &mut stats))
    };
    let fake_logits = network.logits(fake, t_l, phase, &mut stats);
    let loss = adversarial_loss(real_logits.clone(), fake_logits.clone(), wrong_logits.clone(), config);
    // A GPU has all of the work before it is waited for.
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    let right = [share(&real_logits, true), share(&fake_logits, false), share(&wrong_logits, false)];
    let loss_value = value(&loss);
    let metrics = NamedMetrics::from([
        (LOSS, loss_value),
        (REAL_RIGHT, right[0]),
        (FAKE_RIGHT, right[1]),
        (WRONG_RIGHT, right[2]),
    ]);
    (LossOutput { loss: loss_value, metrics, gradients, feature_gradient: None }, stats)
}

impl Trainer {
    pub(super) fn update_discriminator(&mut self, step: &mut Step) -> Result<()> {
        let config = &self.config.imagine.image;
        let task = self.images.as_ref().expect("a stage with images has their pixels");
        let (seed, phase) = generator::draws(step);
        let own = step.batch.images.iter().map(|&image| self.data.train_row(image));
        let rows = if config.mispaired { mispaired(own, self.data.captioned.len()) } else { own.collect() };
        let real = task.pixels.gather(&rows, config.mirror, mix(seed, 0x3f), &self.device.clone().autodiff());
        // One caption of each image: the next pair's has to be wrong.
        let first = step.batch.first_captions();
        let captions: Vec<&[u32]> = first.iter().map(|&c| self.data.tokens[c].as_slice()).collect();
        let captions = TokenBatch::new(&captions).with_features(self.data.text_features_of(&first));
        let freeze_text_encoder = self.config.train.stage == Stage::T2iPretrain;
        let fakes = generate_fakes(&self.model, &captions, config, freeze_text_encoder, phase, mix(seed, 0x2e));

        let (found, stats) = discriminator_loss(&self.model, real, &fakes, config, phase);
        self.finite(Update::Discriminator, "discriminator's loss", found.loss)?;
        let gradients =
            self.unclipped(Update::Discriminator, "gradient of the discriminator's loss", found.gradients)?;
        let rate = self.own_rate(step, self.config.imagine.image.learning_rate);
        self.apply(Update::Discriminator, gradients, |_| rate);
        self.update_running_stats(&stats);
        step.metrics.extend(found.metrics);
        step.fakes = Some(fakes);
        Ok(())
    }

    /// Takes what the discriminator's passes found into its running statistics.
    pub(super) fn update_running_stats(&mut self, stats: &DiscriminatorStats) {
        self.model.update(|mut model| {
            if let Some(discriminator) = &mut model.discriminator {
                discriminator.update_running_stats(stats);
            }
            model
        });
    }
}

pub(super) fn discriminator(model: &Gxn) -> &Discriminator {
    model.discriminator.as_ref().expect("a stage with images has a discriminator")
}

/// Another row of `count` for each row, no two the same: half of all rows away.
fn mispaired(rows: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    rows.map(|row| (row + count / 2) % count).collect()
}

/// Row `b` of the result is row `b + 1`; the last one is the first.
fn rolled(rows: Tensor<2>) -> Tensor<2> {
    let [batch, width] = rows.dims();
    let first = rows.clone().slice([0..1, 0..width]);
    Tensor::cat(vec![rows.slice([1..batch, 0..width]), first], 0)
}

/// Share of logits on the side of 0 that `positive` names.
fn share(logits: &Tensor<1>, positive: bool) -> f64 {
    let logits: Vec<f32> = logits.to_data().iter().collect();
    logits.iter().filter(|&&logit| (logit > 0.0) == positive).count() as f64 / logits.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mispaired_photos_are_each_shown_with_another_images_caption() {
        for count in [2, 3, 100] {
            let found = mispaired(0..count, count);
            assert!(found.iter().enumerate().all(|(own, &row)| row != own && row < count));
            assert_eq!(found.iter().collect::<std::collections::BTreeSet<_>>().len(), count);
        }
    }
}
