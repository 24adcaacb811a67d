//! Gen_i2t: the caption loss, paper Eq. 7, or Eq. 4 before reinforcement begins.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::{LossOutput, Step, value};
use crate::config::Update;
use crate::imagine::caption_loss::{cross_entropy as cross_entropy_loss, gamma, mixed, sampling, self_critical};
use crate::imagine::decoding::decode;
use crate::imagine::scheduled_sampling::scheduled_inputs;
use crate::imagine::{CaptionDecoder, Choice};
use crate::look::{Phase, TokenBatch};
use crate::matching::ranking_loss::rows_of;
use crate::model::Gxn;
use crate::seed::mix;
use crate::train::metrics::NamedMetrics;
use crate::train::sampler::Batch;
use crate::train::trainer::Trainer;
use gxn_base::Result;
use gxn_data::{END, START, UNKNOWN};
use gxn_eval::metrics::CiderReward;

/// Eq. 7, or Eq. 4 without reinforcement.
pub const LOSS: &str = "caption.loss";
/// Eq. 4.
pub const CROSS_ENTROPY: &str = "caption.cross_entropy";
/// Mean CIDEr-D of the sampled captions; 0 without reinforcement.
pub const REWARD: &str = "caption.reward";
/// Mean CIDEr-D of the greedy captions, the baseline; 0 without reinforcement.
pub const BASELINE: &str = "caption.baseline";
/// Seconds spent on rewards.
pub const REWARD_SECONDS: &str = "caption.reward_seconds";

/// What Gen_i2t reads.
#[derive(Debug)]
pub struct CaptionBatch {
    /// CNN features, `[B, F]`.
    pub features: Tensor<2>,
    /// The tokens of `C` captions, from start to end.
    pub captions: Vec<Vec<u32>>,
    /// Of each caption the row of its image in `features`.
    pub rows: Vec<usize>,
}

/// The self-critical part of Gen_i2t.
#[derive(Debug)]
pub struct Reinforcement<'a> {
    /// γ of Eq. 7.
    pub gamma: f64,
    /// CIDEr-D against the train captions.
    pub reward: &'a CiderReward,
    /// Of each caption the number of its image among the reward's references.
    pub references: Vec<usize>,
    /// Longest caption in words.
    pub max_words: usize,
}

/// The caption loss of a batch. Its gradient reaches RNN_Dec, P_v^l, W_e and the CNN where it is trained.
///
/// `sampling` is the share of input words that are the model's own.
///
/// # Panics
/// If the model has no caption decoder or no grounded level.
pub fn caption_loss(
    model: &Gxn,
    batch: CaptionBatch,
    sampling: f64,
    reinforcement: Option<Reinforcement>,
    phase: Phase,
) -> LossOutput {
    // What needs no gradient happens outside the graph.
    let plain = model.clone().valid();
    let plain_decoder = plain.caption_decoder.as_ref().expect("a stage with captions has a decoder");
    // One row for each caption.
    let features = rows_of(batch.features.clone(), &batch.rows);
    let v_l = model.encode_image_grounded(features.clone(), phase).expect("a stage with captions has two levels");

    // (a) Eq. 4 with scheduled sampling.
    let inputs: Vec<Vec<u32>> = batch.captions.iter().map(|tokens| tokens[..tokens.len() - 1].to_vec()).collect();
    let inputs = scheduled_inputs(plain_decoder, &plain.sentence, v_l.clone().inner(), inputs, sampling, phase);
    let targets: Vec<&[u32]> = batch.captions.iter().map(|tokens| &tokens[1..]).collect();
    let xe = cross_entropy_loss(log_probabilities(model, v_l.clone(), &inputs, &targets, phase));
    let (mut rewarded, mut reward_seconds) = ([0.0; 2], 0.0);

    // (b) Eq. 5: one sampled caption, the greedy one as its baseline.
    let loss = match reinforcement {
        None => xe.clone(),
        Some(Reinforcement { gamma, reward, references, max_words }) => {
            let Phase::Train { seed } = phase else { panic!("reinforcement is training") };
            let (seed, sentence) = (mix(seed, 0xd4a3), &plain.sentence);
            let choice = Choice::Draw { seed };
            let sampled = decode(plain_decoder, sentence, v_l.clone().inner(), max_words, choice, phase);
            let v_l_now = plain.encode_image_grounded(features.inner(), Phase::Evaluate).expect("as above");
            let greedy = decode(plain_decoder, sentence, v_l_now, max_words, Choice::Greedy, Phase::Evaluate);
            let start = Instant::now();
            let scored = |captions: Vec<Vec<u32>>| reward.rewards(&captions, &references);
            let sampled: Vec<Vec<u32>> = sampled.into_iter().map(|caption| caption.tokens).collect();
            let rewards = scored(sampled.iter().map(|tokens| without_unknown(tokens)).collect());
            let baselines = scored(greedy.iter().map(|caption| without_unknown(&caption.tokens)).collect());
            reward_seconds = start.elapsed().as_secs_f64();
            rewarded = [mean(&rewards), mean(&baselines)];
            let advantages: Vec<f64> = rewards.iter().zip(&baselines).map(|(r, b)| r - b).collect();
            let inputs: Vec<Vec<u32>> = sampled.iter().map(|tokens| shift_right(tokens)).collect();
            let targets: Vec<&[u32]> = sampled.iter().map(Vec::as_slice).collect();
            let lengths: Vec<usize> = targets.iter().map(|tokens| tokens.len()).collect();
            let log_p = log_probabilities(model, v_l, &inputs, &targets, phase);
            mixed(xe.clone(), self_critical(log_p, &advantages, &lengths), gamma)
        }
    };
    // A GPU has all of the work before it is waited for.
    let gradients = loss.backward();
    let feature_gradient = batch.features.grad(&gradients);
    let gradients = GradientsParams::from_grads(gradients, model);
    let loss_value = value(&loss);
    let [reward, baseline] = rewarded;
    let metrics = NamedMetrics::from([
        (LOSS, loss_value),
        (CROSS_ENTROPY, value(&xe)),
        (REWARD, reward),
        (BASELINE, baseline),
        (REWARD_SECONDS, reward_seconds),
    ]);
    LossOutput { loss: loss_value, metrics, gradients, feature_gradient }
}

/// ln p of the target words of captions, given their input words.
fn log_probabilities(model: &Gxn, v_l: Tensor<2>, inputs: &[Vec<u32>], targets: &[&[u32]], phase: Phase) -> Tensor<1> {
    let decoder: &CaptionDecoder = model.caption_decoder.as_ref().expect("a stage with captions has a decoder");
    let outputs = targets.iter().flat_map(|tokens| tokens.iter().map(|&token| decoder.output_of(token))).collect();
    let batch = TokenBatch::new(inputs);
    let words = model.sentence.word_vectors(&batch);
    decoder.log_probabilities(v_l, words, batch.lengths(), outputs, phase)
}

/// The input word of each token of a generated caption: the start token, then the caption without its last token.
fn shift_right(tokens: &[u32]) -> Vec<u32> {
    std::iter::once(START).chain(tokens[..tokens.len().saturating_sub(1)].iter().copied()).collect()
}

/// The tokens with every unknown word replaced by one that no reference has: it is never rewarded.
fn without_unknown(tokens: &[u32]) -> Vec<u32> {
    const NO_WORD: u32 = u32::MAX - 1;
    tokens.iter().map(|&token| if token == UNKNOWN { NO_WORD } else { token }).collect()
}

/// A train caption as a reference of the reward: its words and the end, which is a token like others (spec §7.3).
pub fn reward_reference(tokens: &[u32]) -> Vec<u32> {
    let words = tokens.iter().copied().filter(|&token| token != START && token != END);
    words.chain([END]).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Trainer {
    pub(super) fn update_caption(&mut self, step: &mut Step) -> Result<()> {
        let Batch { images, captions, rows } = step.batch;
        let features = self.features(step, step.seed)?;
        let (t, config) = (&self.config.train, &self.config.imagine.caption);
        // The epochs of Match alone do not count.
        let (epoch, epochs) = (self.position.epoch - t.match_epochs, t.epochs - t.match_epochs);
        let task = self.captions.as_ref().expect("a stage with captions has their references");
        let reinforcement = task.reward.as_ref().map(|reward| Reinforcement {
            gamma: gamma(config, epoch, epochs),
            reward,
            references: rows.iter().map(|&row| self.data.train_row(images[row])).collect(),
            max_words: config.max_words,
        });
        let captions = captions.iter().map(|&c| self.data.tokens[c].clone()).collect();
        let batch = CaptionBatch { features, captions, rows: rows.clone() };
        let share = sampling(config, t.stage, epoch, epochs);
        let phase = Phase::Train { seed: mix(step.seed, 0xca97) };
        let found = caption_loss(&self.model, batch, share, reinforcement, phase);
        self.finite(Update::Caption, "caption loss", found.loss)?;
        let (gradients, norm) = self.clipped(Update::Caption, "gradient of the caption loss", found.gradients)?;
        self.share_gradient(step, found.feature_gradient, norm, self.config.imagine.caption.shared_rate);
        let config = &self.config.imagine.caption;
        let own = self.own_rate(step, config.learning_rate);
        self.apply(Update::Caption, gradients, self.rates("caption_decoder", own, step.rate * config.shared_rate));
        step.metrics.extend(found.metrics);
        Ok(())
    }
}
