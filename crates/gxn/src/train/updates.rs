//! One batch of Algorithm 1: which losses a stage follows, in their order.

use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::event::Event;
use super::log::Log;
use super::picture_steps::{PictureFigures, discriminator_step, generator_step, propose};
use super::schedule::{ema_decay, learning_rate};
use super::steps::{CaptionBatch, CaptionFigures, MatchBatch, Reinforcement, caption_step, match_step};
use super::trainer::Trainer;
use crate::config::Stage;
use crate::imagine::caption_loss::{gamma, sampling};
use crate::look::{Phase, TokenBatch};
use crate::seed::mix;
use gxn_base::{Error, Result};
use gxn_ops::gradient::clip_global_norm;
use gxn_ops::moving_average::ema_update;

impl Trainer {
    /// One batch: Gen_i2t and Match, Gen_t2i and Match, each where the stage has it.
    pub(super) fn step(
        &mut self,
        members: &[usize],
        steps_per_epoch: usize,
        log: &mut Log,
        report: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let start = Instant::now();
        let t = &self.config.train;
        let (stage, generates) = (t.stage, self.position.epoch >= t.match_epochs);
        let seed = mix(mix(t.seed, 0x57e9), self.position.step);
        let rate = learning_rate(t, self.position.step, steps_per_epoch);
        let captions = match generates && stage.trains_words() {
            true => Some(self.caption_update(members, seed, rate)?),
            false => None,
        };
        let mut matched = None;
        if !generates || !stage.trains_pictures() || captions.is_some() {
            matched = Some(self.match_update(members, seed, rate)?);
        }
        let pictures = match generates && stage.trains_pictures() {
            true => Some(self.picture_update(members, seed, rate)?),
            false => None,
        };
        if pictures.is_some() && stage != Stage::T2iPretrain {
            // Another draw of dropout than the first Match of the batch.
            matched = Some(self.match_update(members, mix(seed, 0x2d), rate)?);
        }
        // A stage without Match is followed by its generator's loss.
        let (loss, grad_norm) = matched.unwrap_or((pictures.map_or(0.0, |figures| figures.generator), 0.0));
        if let Some(average) = self.average.take() {
            let decay = ema_decay(&self.config.train, self.position.step);
            self.average = Some(ema_update(average, self.model(), decay));
        }
        self.position.step += 1;
        self.position.batch += 1;
        self.position.loss_sum += loss;
        if let Some(figures) = &captions {
            self.position.caption_sums.add(figures);
        }
        if let Some(figures) = &pictures {
            self.position.picture_sums.add(figures);
        }
        let (step, epoch) = (self.position.step, self.position.epoch + 1);
        log.step(step, epoch, loss, grad_norm, rate, captions.as_ref(), pictures.as_ref())?;
        report(Event::Step {
            step,
            total: (self.config.train.epochs * steps_per_epoch) as u64,
            epoch,
            loss,
            grad_norm,
            learning_rate: rate,
            captions,
            pictures,
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    /// Gen_i2t: follows the gradient of Eq. 7, or of Eq. 4 before reinforcement begins.
    fn caption_update(&mut self, members: &[usize], step_seed: u64, rate: f64) -> Result<CaptionFigures> {
        let (images, features) = self.features(members, step_seed)?;
        let words = &self.config.imagine.words;
        let t = &self.config.train;
        // The epochs of Match alone do not count.
        let (epoch, epochs) = (self.position.epoch - t.match_epochs, t.epochs - t.match_epochs);
        let task = self.captions.as_ref().expect("asked before");
        let reinforcement = task.reward.as_ref().map(|reward| Reinforcement {
            gamma: gamma(words, epoch, epochs),
            reward,
            references: images.iter().map(|&image| self.data.train_row(image)).collect(),
            max_words: words.max_words,
        });
        let batch = CaptionBatch { features, captions: members.iter().map(|&c| self.data.tokens[c].clone()).collect() };
        let share = sampling(words, t.stage, epoch, epochs);
        let phase = Phase::Train { seed: mix(step_seed, 0xca97) };
        let (figures, gradients) = caption_step(self.model(), batch, share, reinforcement, phase);
        self.finite("caption loss", figures.loss)?;
        let (gradients, norm) = clip_global_norm(self.model(), gradients, self.norm_limit());
        self.finite("gradient of the caption loss", norm)?;
        // The schedule is one for all: only the first rates differ.
        let own = if words.learning_rate > 0.0 { rate / t.learning_rate * words.learning_rate } else { rate };
        let rate_of = self.rates("caption_decoder", own, rate * words.shared_rate);
        let model = self.model.take().expect("set between steps");
        self.model = Some(self.optimisers.caption.step(rate_of, model, gradients));
        Ok(figures)
    }

    /// Gen_t2i: a step of the discriminator (Eq. 11), then one of the generator (Eq. 12) against it.
    fn picture_update(&mut self, members: &[usize], step_seed: u64, rate: f64) -> Result<PictureFigures> {
        let config = &self.config.imagine.pictures;
        let task = self.pictures.as_ref().expect("asked before");
        let still = self.config.train.stage == Stage::T2iPretrain;
        let seed = mix(step_seed, 0x91c7);
        let phase = Phase::Train { seed };
        let rows: Vec<usize> = members.iter().map(|&c| self.data.train_row(self.data.caption_image[c])).collect();
        let device = self.device.clone().autodiff();
        let real = task.pixels.gather(&rows, config.mirror, mix(seed, 0x3f), &device);
        let captions: Vec<&[u32]> = members.iter().map(|&c| self.data.tokens[c].as_slice()).collect();
        let proposal = propose(self.model(), &TokenBatch::new(&captions), config, still, phase, mix(seed, 0x2e));
        let own = match config.learning_rate {
            0.0 => rate,
            first => rate / self.config.train.learning_rate * first,
        };

        let (mut figures, gradients, saw) = discriminator_step(self.model(), real, &proposal, config, phase);
        self.finite("discriminator's loss", figures.discriminator)?;
        let gradients = self.measured("gradient of the discriminator's loss", gradients)?;
        let model = self.model.take().expect("set between steps");
        let mut model = self.optimisers.discriminator.step(|_: &str| own, model, gradients);
        if let Some(discriminator) = &mut model.discriminator {
            discriminator.absorb(&saw);
        }
        self.model = Some(model);

        let config = &self.config.imagine.pictures;
        let (gradients, judge_saw, generator_saw) = generator_step(self.model(), proposal, config, phase, &mut figures);
        self.finite("generator's loss", figures.generator)?;
        let gradients = self.measured("gradient of the generator's loss", gradients)?;
        let rate_of = self.rates("image_generator", own, rate * config.shared_rate);
        let model = self.model.take().expect("set between steps");
        let mut model = self.optimisers.generator.step(rate_of, model, gradients);
        if let Some(discriminator) = &mut model.discriminator {
            discriminator.absorb(&judge_saw);
        }
        if let Some(generator) = &mut model.image_generator {
            generator.absorb(&generator_saw);
        }
        self.model = Some(model);
        Ok(figures)
    }

    /// Match: follows the gradient of Eq. 3. Returns the loss and the norm of its gradient before clipping.
    fn match_update(&mut self, members: &[usize], step_seed: u64, rate: f64) -> Result<(f64, f64)> {
        let (images, features) = self.features(members, step_seed)?;
        let captions = self.data.step_captions(members, self.config.look.sentence.unknown_word_rate, step_seed);
        let batch = MatchBatch { features, captions: TokenBatch::new(&captions), images };
        let lambda = self.config.matching.effective_lambda();
        let phase = Phase::Train { seed: step_seed };
        let (loss, gradients) = match_step(self.model(), batch, &self.config.matching, lambda, self.hardest(), phase);
        self.finite("loss", loss)?;
        let (gradients, norm) = clip_global_norm(self.model(), gradients, self.norm_limit());
        self.finite("gradient", norm)?;
        let rate_of = self.rates("", rate, rate);
        let model = self.model.take().expect("set between steps");
        self.model = Some(self.optimisers.matching.step(rate_of, model, gradients));
        self.position.match_steps += 1;
        Ok((loss, norm))
    }

    /// The learning rate of a parameter by its path: `own` below `module`, `shared` elsewhere, less for a CNN.
    fn rates(&self, module: &'static str, own: f64, shared: f64) -> impl Fn(&str) -> f64 + use<> {
        let backbone = if self.config.look.finetune { shared * self.config.look.finetune_rate } else { shared };
        move |path: &str| match path.split('.').next() {
            Some(first) if first == module => own,
            Some("backbone") => backbone,
            _ => shared,
        }
    }

    /// Images and CNN features of a step's pairs; with a CNN that is trained they are computed anew after every update.
    fn features(&self, members: &[usize], step_seed: u64) -> Result<(Vec<usize>, Tensor<2>)> {
        let images: Vec<usize> = members.iter().map(|&c| self.data.caption_image[c]).collect();
        let device = self.device.clone().autodiff();
        let phase = Phase::Train { seed: step_seed };
        let features = self.data.feed.step_features(self.model(), &images, phase, &device)?;
        Ok((images, features))
    }

    fn norm_limit(&self) -> f64 {
        let limit = self.config.train.grad_clip;
        if limit > 0.0 { limit } else { f64::INFINITY }
    }

    /// The gradients as they are, if their norm is a number: GANs are not clipped.
    fn measured(&self, what: &str, gradients: GradientsParams) -> Result<GradientsParams> {
        let (gradients, norm) = clip_global_norm(self.model(), gradients, f64::INFINITY);
        self.finite(what, norm)?;
        Ok(gradients)
    }

    /// Weights after a step with such a number would be no numbers: they are never made, so that none can be saved.
    fn finite(&self, what: &str, found: f64) -> Result<()> {
        if found.is_finite() {
            return Ok(());
        }
        let what = format!("the {what} of step {}", self.position.step + 1);
        Err(Error::invalid(what, found.to_string(), "a finite number")
            .with_hint("lower train.learning_rate; the last checkpoint is from before this step"))
    }
}
