//! Algorithm 1: one batch goes through the updates of its stage ([`Stage::updates`]), each of which follows the gradient of
//! its own loss with its own optimiser.
//!
//! | module | update |
//! |---|---|
//! | [`caption`] | Gen_i2t: Eq. 4 or 7 |
//! | [`matching`] | Match: Eq. 3 |
//! | [`discriminator`] | Gen_t2i, its first half: Eq. 11 |
//! | [`generator`] | Gen_t2i, its second half: Eq. 12 |
//!
//! Each update encodes the batch with the weights that the one before it left; the generator alone takes over the images
//! that the discriminator was trained on. With `look.encode_once` all share the CNN's features, and the CNN takes one step of its own in
//! the end, along the sum of their gradients (`features`).
//!
//! [`Stage::updates`]: crate::config::Stage::updates

pub mod caption;
pub mod discriminator;
mod features;
pub mod generator;
pub mod matching;
#[cfg(test)]
mod tests;

use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::event::StepReport;
use super::health::diverged;
use super::metrics::NamedMetrics;
use super::sampler::Batch;
use super::schedule::{ema_decay, learning_rate};
use super::trainer::Trainer;
use crate::config::Update;
use crate::seed::mix;
use gxn_base::Result;
use gxn_ops::gradient::clip_global_norm;
use gxn_ops::moving_average::ema_update;

use features::SharedFeatures;
use generator::FakeBatch;

/// A loss on a batch.
#[derive(Debug)]
pub struct LossOutput {
    /// Its value.
    pub loss: f64,
    /// It and what else is worth recording, by name.
    pub metrics: NamedMetrics,
    /// Its gradient.
    pub gradients: GradientsParams,
    /// Its gradient at the CNN's features, `[B, F]`, where these are a leaf of its graph.
    pub feature_gradient: Option<Tensor<2>>,
}

/// What the updates of a batch share.
#[derive(Debug)]
pub(super) struct Step<'a> {
    batch: &'a Batch,
    /// Decides all that is random in the batch.
    seed: u64,
    /// Learning rate.
    rate: f64,
    /// Loss and gradient norm by which the step is reported.
    reported: (f64, f64),
    metrics: NamedMetrics,
    /// From the discriminator's update for the generator's.
    fakes: Option<FakeBatch>,
    /// The CNN's features, where all updates share them.
    shared: Option<SharedFeatures>,
}

impl<'a> Step<'a> {
    /// A batch before its first update.
    fn new(batch: &'a Batch, seed: u64, rate: f64) -> Self {
        let metrics = NamedMetrics::default();
        Self { batch, seed, rate, reported: (0.0, 0.0), metrics, fakes: None, shared: None }
    }
}

impl Trainer {
    /// One batch of Algorithm 1.
    pub(super) fn step(&mut self, batch: &Batch, steps_per_epoch: usize) -> Result<StepReport> {
        let start = Instant::now();
        let t = &self.config.train;
        let rate = learning_rate(t, self.position.step, steps_per_epoch);
        let mut step = Step::new(batch, self.step_seed(self.position.step), rate);
        for update in self.updates() {
            match update {
                Update::Caption => self.update_caption(&mut step)?,
                Update::Match => self.update_match(&mut step)?,
                Update::Discriminator => self.update_discriminator(&mut step)?,
                Update::Generator => self.update_generator(&mut step)?,
            }
        }
        self.update_backbone(&mut step)?;
        if let Some(average) = self.average.take() {
            let decay = ema_decay(&self.config.train, self.position.step);
            self.average = Some(ema_update(average, &self.model, decay));
        }
        let (loss, grad_norm) = step.reported;
        self.position.step += 1;
        self.position.batch += 1;
        self.position.loss_sum += loss;
        self.position.sums.add(&step.metrics.without_times());
        Ok(StepReport {
            step: self.position.step,
            total: (self.config.train.epochs * steps_per_epoch) as u64,
            epoch: self.position.epoch + 1,
            loss,
            grad_norm,
            learning_rate: step.rate,
            metrics: step.metrics,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Decides all that is random in a step.
    pub(super) fn step_seed(&self, step: u64) -> u64 {
        mix(mix(self.config.train.seed, 0x57e9), step)
    }

    /// The updates of the current epoch: at the beginning of a run perhaps Match alone, whatever its stage.
    fn updates(&self) -> &'static [Update] {
        let t = &self.config.train;
        if self.position.epoch < t.match_epochs { &[Update::Match] } else { t.stage.updates() }
    }

    /// Moves the network along the gradient of an update's loss.
    fn apply(&mut self, update: Update, gradients: GradientsParams, rate_of: impl Fn(&str) -> f64) {
        let optimiser = self.optimisers.of(update);
        self.model.update(|model| optimiser.step(rate_of, model, gradients));
    }

    /// The learning rate of a parameter by its path: `own` below `module`, `shared` elsewhere, less for a CNN.
    fn rates(&self, module: &'static str, own: f64, shared: f64) -> impl Fn(&str) -> f64 + use<> {
        let (top, blocks) = (shared * self.config.look.finetune_rate, self.block_rates(shared));
        move |path: &str| match path.split('.').collect::<Vec<_>>()[..] {
            [first, ..] if first == module => own,
            ["backbone", "blocks", number, ..] => blocks[number.parse::<usize>().expect("blocks have numbers")],
            ["backbone", ..] => top,
            _ => shared,
        }
    }

    /// The learning rates of the blocks of a CNN that is trained: less in each group further down.
    fn block_rates(&self, shared: f64) -> Vec<f64> {
        let look = &self.config.look;
        let rate = |groups: usize| shared * look.finetune_rate * look.finetune_decay.powi(groups as i32);
        self.model.backbone.iter().flat_map(|backbone| backbone.groups_above().into_iter().map(rate)).collect()
    }

    /// The learning rate of a step for weights whose own first rate is `first`; 0 takes the run's. The schedule is the
    /// run's: only the first rates differ.
    fn own_rate(&self, step: &Step, first: f64) -> f64 {
        if first > 0.0 { step.rate / self.config.train.learning_rate * first } else { step.rate }
    }

    /// The gradients of an update clipped to the configured norm, and the norm that they had.
    fn clipped(&self, of: Update, what: &str, gradients: GradientsParams) -> Result<(GradientsParams, f64)> {
        let limit = self.config.train.grad_clip;
        self.measured(of, what, gradients, if limit > 0.0 { limit } else { f64::INFINITY })
    }

    /// The gradients as they are: GANs are not clipped.
    fn unclipped(&self, of: Update, what: &str, gradients: GradientsParams) -> Result<GradientsParams> {
        Ok(self.measured(of, what, gradients, f64::INFINITY)?.0)
    }

    fn measured(
        &self,
        of: Update,
        what: &str,
        gradients: GradientsParams,
        limit: f64,
    ) -> Result<(GradientsParams, f64)> {
        let (gradients, norm) = clip_global_norm(&*self.model, gradients, limit);
        self.finite(of, what, norm)?;
        Ok((gradients, norm))
    }

    /// Refuses a number that would make weights that are not finite: none are made, so that none can be saved.
    fn finite(&self, of: Update, what: &str, found: f64) -> Result<()> {
        if found.is_finite() {
            return Ok(());
        }
        let what = format!("the {what} of step {}", self.position.step + 1);
        Err(diverged(what, found.to_string(), "a finite number", self.config.rate_of(of)))
    }
}

/// The value of a loss.
fn value(loss: &Tensor<1>) -> f64 {
    loss.clone().into_scalar::<f32>().into()
}
