//! Gen_t2i (Algorithm 1): the steps of discriminator and generator (paper Eq. 11 and 12, spec §8).

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::config::PicturesConfig;
use crate::imagine::adversarial_loss::{discriminator_loss, generator_loss};
use crate::imagine::batch_norm::Seen;
use crate::imagine::discriminator::JudgeSaw;
use crate::imagine::image_generator::Imagined;
use crate::imagine::{Discriminator, ImageGenerator, Noise};
use crate::look::{Phase, TokenBatch};
use crate::model::Gxn;

/// What a Gen_t2i step found; sums of them stand for an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PictureFigures {
    /// −L_D of Eq. 11.
    pub discriminator: f64,
    /// L_G of Eq. 12.
    pub generator: f64,
    /// The Kullback–Leibler term alone.
    pub divergence: f64,
    /// Share of real pictures that D takes for real.
    pub real_right: f64,
    /// Share of generated pictures that D takes for false.
    pub fake_right: f64,
    /// Share of pictures with another picture's sentence that D takes for false.
    pub wrong_right: f64,
}

impl PictureFigures {
    /// Adds those of another step.
    pub fn add(&mut self, other: &Self) {
        self.discriminator += other.discriminator;
        self.generator += other.generator;
        self.divergence += other.divergence;
        self.real_right += other.real_right;
        self.fake_right += other.fake_right;
        self.wrong_right += other.wrong_right;
    }

    /// The same divided by a number of steps.
    pub fn over(self, steps: usize) -> Self {
        let by = |sum: f64| sum / steps.max(1) as f64;
        Self {
            discriminator: by(self.discriminator),
            generator: by(self.generator),
            divergence: by(self.divergence),
            real_right: by(self.real_right),
            fake_right: by(self.fake_right),
            wrong_right: by(self.wrong_right),
        }
    }
}

/// Pictures imagined for the sentences of a batch, with their graph.
#[derive(Debug)]
pub struct Proposal {
    imagined: Imagined,
    t_l: Tensor<2>,
}

impl Proposal {
    /// Imagines a picture for each row of `t_l` `[B, D]`.
    ///
    /// # Panics
    /// If the model has no generator.
    pub fn of(model: &Gxn, t_l: Tensor<2>, config: &PicturesConfig, phase: Phase, seed: u64) -> Self {
        let noise = Noise::of_batch(config, t_l.dims()[0], seed, &t_l.device());
        let imagined = generator(model).forward(t_l.clone(), noise, phase);
        Self { imagined, t_l }
    }

    /// t_l of the sentences, `[B, D]`.
    pub fn t_l(&self) -> Tensor<2> {
        self.t_l.clone()
    }

    /// The pictures, `[B, 3, 64, 64]` in [−1, 1].
    pub fn pixels(&self) -> Tensor<4> {
        self.imagined.pixels.clone()
    }
}

/// Encodes the sentences and imagines a picture for each. With `still` the sentence side is left out of the graph: the
/// generator learns alone.
///
/// # Panics
/// If the model has no generator or no grounded level.
pub fn propose(
    model: &Gxn,
    captions: &TokenBatch,
    config: &PicturesConfig,
    still: bool,
    phase: Phase,
    seed: u64,
) -> Proposal {
    let t_l = match still {
        true => {
            let t_l = model.clone().valid().encode_text_grounded(captions, Phase::Evaluate).expect("two levels");
            Tensor::from_inner(t_l)
        }
        false => model.encode_text_grounded(captions, phase).expect("a stage that makes pictures has two levels"),
    };
    Proposal::of(model, t_l, config, phase, seed)
}

/// D's step: Eq. 11 of real pictures `[B, 3, 64, 64]`, imagined ones, and real ones with the next pair's sentence. Gradients
/// reach the discriminator and nothing else. Also returns what its passes saw.
///
/// # Panics
/// If the model has no discriminator.
pub fn discriminator_step(
    model: &Gxn,
    real: Tensor<4>,
    proposal: &Proposal,
    config: &PicturesConfig,
    phase: Phase,
) -> (PictureFigures, GradientsParams, JudgeSaw) {
    let network = discriminator(model);
    let (t_l, fake) = (proposal.t_l().detach(), proposal.pixels().detach());
    let mut saw = JudgeSaw::default();
    let (real, fake) = (network.map(real, phase, &mut saw), network.map(fake, phase, &mut saw));
    // No two pairs of a batch are of one picture: the next one's sentence is a wrong one.
    let wrong_t_l = rolled(t_l.clone());
    let [real_logits, wrong_logits] = if config.pairs_together {
        let pairs = Tensor::cat(vec![real.clone(), real], 0);
        let logits = network.logits(pairs, Tensor::cat(vec![t_l.clone(), wrong_t_l], 0), phase, &mut saw);
        let batch = t_l.dims()[0];
        [logits.clone().narrow(0, 0, batch), logits.narrow(0, batch, batch)]
    } else {
        [t_l.clone(), wrong_t_l].map(|t_l| network.logits(real.clone(), t_l, phase, &mut saw))
    };
    let fake_logits = network.logits(fake, t_l, phase, &mut saw);
    let (is_real, is_fake, is_wrong) =
        (share(&real_logits, true), share(&fake_logits, false), share(&wrong_logits, false));
    let loss = discriminator_loss(real_logits, fake_logits, wrong_logits, config);
    let figures = PictureFigures {
        discriminator: value(&loss),
        real_right: is_real,
        fake_right: is_fake,
        wrong_right: is_wrong,
        ..PictureFigures::default()
    };
    (figures, GradientsParams::from_grads(loss.backward(), model), saw)
}

/// G's step: Eq. 12 of the proposal under the discriminator as it stands now. Gradients reach the generator, φ and, unless the
/// proposal was made still, P_t^l, RNN_Enc^l and W_e; never the discriminator. `figures` are completed. Also returns what the
/// discriminator and the generator saw.
///
/// # Panics
/// If the model has no discriminator.
pub fn generator_step(
    model: &Gxn,
    proposal: Proposal,
    config: &PicturesConfig,
    phase: Phase,
    figures: &mut PictureFigures,
) -> (GradientsParams, JudgeSaw, Vec<Seen>) {
    // Its weights are constants here: no gradient of theirs is even computed.
    let judge = discriminator(model).clone().no_grad();
    let asked = if config.through_discriminator { proposal.t_l.clone() } else { proposal.t_l.clone().detach() };
    let (logits, judge_saw) = judge.forward(proposal.imagined.pixels, asked, phase);
    let divergence = proposal.imagined.condition.divergence();
    figures.divergence = value(&divergence);
    let loss = generator_loss(logits, divergence, config);
    figures.generator = value(&loss);
    (GradientsParams::from_grads(loss.backward(), model), judge_saw, proposal.imagined.seen)
}

fn generator(model: &Gxn) -> &ImageGenerator {
    model.image_generator.as_ref().expect("a stage that makes pictures has a generator")
}

fn discriminator(model: &Gxn) -> &Discriminator {
    model.discriminator.as_ref().expect("a stage that makes pictures has a discriminator")
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

fn value(loss: &Tensor<1>) -> f64 {
    loss.clone().into_scalar::<f32>().into()
}
