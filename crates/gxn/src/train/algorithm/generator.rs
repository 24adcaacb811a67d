//! Gen_t2i, its second half: the generator's loss, paper Eq. 12.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::discriminator::discriminator;
use super::{LossOutput, Step, value};
use crate::config::{ImageConfig, Update};
use crate::imagine::adversarial_loss::generator_loss as adversarial_loss;
use crate::imagine::batch_norm::BatchStats;
use crate::imagine::discriminator::DiscriminatorStats;
use crate::imagine::image_generator::GeneratedImages;
use crate::imagine::{ImageGenerator, Noise};
use crate::look::{Phase, TokenBatch};
use crate::model::Gxn;
use crate::seed::mix;
use crate::train::metrics::NamedMetrics;
use crate::train::trainer::Trainer;
use gxn_base::Result;

/// L_G of Eq. 12. The log has called the group `picture` from the beginning.
pub const LOSS: &str = "picture.generator";
/// The Kullback–Leibler term alone.
pub const DIVERGENCE: &str = "picture.divergence";

/// Images generated for the sentences of a batch, with their graph: the discriminator's update reads them, the generator's
/// follows them back.
#[derive(Debug)]
pub struct FakeBatch {
    images: GeneratedImages,
    t_l: Tensor<2>,
}

impl FakeBatch {
    /// Generates an image for each row of `t_l` `[B, D]`.
    ///
    /// # Panics
    /// If the model has no generator.
    pub fn of(model: &Gxn, t_l: Tensor<2>, config: &ImageConfig, phase: Phase, seed: u64) -> Self {
        let noise = Noise::of_batch(config, t_l.dims()[0], seed, &t_l.device());
        let images = generator(model).forward(t_l.clone(), noise, phase);
        Self { images, t_l }
    }

    /// t_l of the sentences, `[B, D]`.
    pub fn t_l(&self) -> Tensor<2> {
        self.t_l.clone()
    }

    /// The images, `[B, 3, 64, 64]` in [−1, 1].
    pub fn pixels(&self) -> Tensor<4> {
        self.images.pixels.clone()
    }
}

/// Encodes sentences and generates an image for each. With `freeze_text_encoder` the text encoder is left out of the graph:
/// the generator learns alone.
///
/// # Panics
/// If the model has no generator or no grounded level.
pub fn generate_fakes(
    model: &Gxn,
    captions: &TokenBatch,
    config: &ImageConfig,
    freeze_text_encoder: bool,
    phase: Phase,
    seed: u64,
) -> FakeBatch {
    let t_l = if freeze_text_encoder {
        let t_l = model.clone().valid().encode_text_grounded(captions, Phase::Evaluate);
        t_l.map(Tensor::from_inner)
    } else {
        model.encode_text_grounded(captions, phase)
    };
    FakeBatch::of(model, t_l.expect("a stage with images has two levels"), config, phase, seed)
}

/// Batch statistics of the discriminator and of the generator, as [`generator_loss`] finds them.
pub type GeneratorStats = (DiscriminatorStats, Vec<BatchStats>);

/// L_G on generated images under the discriminator as it stands now. The gradient reaches the generator, φ and, unless the
/// text encoder is frozen, P_t^l, RNN_Enc^l and W_e; never the discriminator.
///
/// # Panics
/// If the model has no discriminator.
pub fn generator_loss(
    model: &Gxn,
    fakes: FakeBatch,
    config: &ImageConfig,
    phase: Phase,
) -> (LossOutput, GeneratorStats) {
    // Its weights are constants here: no gradient of theirs is even computed.
    let discriminator = discriminator(model).clone().no_grad();
    let condition = if config.through_discriminator { fakes.t_l } else { fakes.t_l.detach() };
    let (logits, discriminator_stats) = discriminator.forward(fakes.images.pixels, condition, phase);
    let divergence = fakes.images.condition.divergence();
    let loss = adversarial_loss(logits, divergence.clone(), config);
    // A GPU has all of the work before it is waited for.
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    let loss_value = value(&loss);
    let metrics = NamedMetrics::from([(LOSS, loss_value), (DIVERGENCE, value(&divergence))]);
    (
        LossOutput { loss: loss_value, metrics, gradients, feature_gradient: None },
        (discriminator_stats, fakes.images.stats),
    )
}

impl Trainer {
    pub(super) fn update_generator(&mut self, step: &mut Step) -> Result<()> {
        let fakes = step.fakes.take().expect("the discriminator's update comes first");
        let (_, phase) = draws(step);
        let (found, stats) = generator_loss(&self.model, fakes, &self.config.imagine.image, phase);
        self.finite(Update::Generator, "generator's loss", found.loss)?;
        let gradients = self.unclipped(Update::Generator, "gradient of the generator's loss", found.gradients)?;
        let config = &self.config.imagine.image;
        let own = self.own_rate(step, config.learning_rate);
        self.apply(Update::Generator, gradients, self.rates("image_generator", own, step.rate * config.shared_rate));
        let (discriminator_stats, generator_stats) = stats;
        self.update_running_stats(&discriminator_stats);
        self.model.update(|mut model| {
            if let Some(generator) = &mut model.image_generator {
                generator.update_running_stats(&generator_stats);
            }
            model
        });
        step.metrics.extend(found.metrics);
        step.reported = (found.loss, 0.0);
        Ok(())
    }
}

/// Seed and phase of both halves of Gen_t2i in a batch.
pub(super) fn draws(step: &Step) -> (u64, Phase) {
    let seed = mix(step.seed, 0x91c7);
    (seed, Phase::Train { seed })
}

fn generator(model: &Gxn) -> &ImageGenerator {
    model.image_generator.as_ref().expect("a stage with images has a generator")
}
