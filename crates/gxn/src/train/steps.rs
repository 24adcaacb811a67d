//! One function per step of the paper.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::config::{LossKind, MatchingConfig};
use crate::imagine::caption_loss::{cross_entropy, mixed, self_critical};
use crate::imagine::decoding::decode;
use crate::imagine::scheduled_sampling::scheduled_inputs;
use crate::imagine::{CaptionDecoder, Choice};
use crate::look::{Phase, TokenBatch};
use crate::matching::ranking_loss::same_image;
use crate::matching::{combined_scores, hinge_loss, info_nce_loss};
use crate::model::Gxn;
use crate::seed::mix;
use gxn_data::{END, START, UNKNOWN};
use gxn_eval::metrics::CiderReward;

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

/// What Gen_i2t sees.
#[derive(Debug)]
pub struct CaptionBatch {
    /// CNN features, `[B, F]`.
    pub features: Tensor<2>,
    /// The tokens of one caption for each, from start to end.
    pub captions: Vec<Vec<u32>>,
}

/// The self-critical part of Gen_i2t.
#[derive(Debug)]
pub struct Reinforcement<'a> {
    /// γ of Eq. 7.
    pub gamma: f64,
    /// CIDEr-D against the train captions.
    pub reward: &'a CiderReward,
    /// Of each picture of the batch its number among the reward's references.
    pub references: Vec<usize>,
    /// Longest caption in words.
    pub max_words: usize,
}

/// What a Gen_i2t step found; sums of them stand for an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CaptionFigures {
    /// Eq. 7, or Eq. 4 without reinforcement.
    pub loss: f64,
    /// Eq. 4.
    pub cross_entropy: f64,
    /// Mean CIDEr-D of the sampled captions; 0 without reinforcement.
    pub reward: f64,
    /// Mean CIDEr-D of the greedy captions, the baseline; 0 without reinforcement.
    pub baseline: f64,
    /// Seconds spent on rewards. Not part of the log, which repeats bit by bit.
    #[serde(skip)]
    pub reward_seconds: f64,
}

impl CaptionFigures {
    /// Adds those of another step.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.cross_entropy += other.cross_entropy;
        self.reward += other.reward;
        self.baseline += other.baseline;
    }

    /// The same divided by a number of steps.
    pub fn over(self, steps: usize) -> Self {
        let by = |sum: f64| sum / steps.max(1) as f64;
        Self {
            loss: by(self.loss),
            cross_entropy: by(self.cross_entropy),
            reward: by(self.reward),
            baseline: by(self.baseline),
            reward_seconds: 0.0,
        }
    }
}

/// Gen_i2t (Algorithm 1): the caption loss of a batch and its gradients, which reach RNN_Dec, P_v^l, W_e and the CNN where
/// it is trained.
///
/// `sampling` is the share of input words that are the model's own.
///
/// # Panics
/// If the model has no caption decoder or no grounded level.
pub fn caption_step(
    model: &Gxn,
    batch: CaptionBatch,
    sampling: f64,
    reinforcement: Option<Reinforcement>,
    phase: Phase,
) -> (CaptionFigures, GradientsParams) {
    // Everything that is only looked at happens outside the graph.
    let plain = model.clone().valid();
    let plain_decoder = plain.caption_decoder.as_ref().expect("a stage that makes captions has a decoder");
    let features = batch.features.clone().inner();
    let v_l = model.encode_image_grounded(batch.features, phase).expect("a stage that makes captions has two levels");

    // (a) Eq. 4 with scheduled sampling.
    let inputs: Vec<Vec<u32>> = batch.captions.iter().map(|tokens| tokens[..tokens.len() - 1].to_vec()).collect();
    let inputs = scheduled_inputs(plain_decoder, &plain.sentence, v_l.clone().inner(), inputs, sampling, phase);
    let said: Vec<&[u32]> = batch.captions.iter().map(|tokens| &tokens[1..]).collect();
    let xe = cross_entropy(log_probabilities(model, v_l.clone(), &inputs, &said, phase));
    let mut figures = CaptionFigures { cross_entropy: value(&xe), ..CaptionFigures::default() };

    // (b) Eq. 5: one sampled caption, the greedy one as its baseline.
    let loss = match reinforcement {
        None => xe,
        Some(Reinforcement { gamma, reward, references, max_words }) => {
            let Phase::Train { seed } = phase else { panic!("reinforcement is training") };
            let (seed, sentence) = (mix(seed, 0xd4a3), &plain.sentence);
            let choice = Choice::Draw { seed };
            let sampled = decode(plain_decoder, sentence, v_l.clone().inner(), max_words, choice, phase);
            let v_l_now = plain.encode_image_grounded(features, Phase::Evaluate).expect("as above");
            let greedy = decode(plain_decoder, sentence, v_l_now, max_words, Choice::Greedy, Phase::Evaluate);
            let start = Instant::now();
            let scored = |captions: Vec<Vec<u32>>| reward.rewards(&captions, &references);
            let sampled: Vec<Vec<u32>> = sampled.into_iter().map(|caption| caption.tokens).collect();
            let rewards = scored(sampled.iter().map(|tokens| without_unknown(tokens)).collect());
            let baselines = scored(greedy.iter().map(|caption| without_unknown(&caption.tokens)).collect());
            figures.reward_seconds = start.elapsed().as_secs_f64();
            (figures.reward, figures.baseline) = (mean(&rewards), mean(&baselines));
            let advantages: Vec<f64> = rewards.iter().zip(&baselines).map(|(r, b)| r - b).collect();
            let inputs: Vec<Vec<u32>> = sampled.iter().map(|tokens| read_before(tokens)).collect();
            let said: Vec<&[u32]> = sampled.iter().map(Vec::as_slice).collect();
            let lengths: Vec<usize> = said.iter().map(|tokens| tokens.len()).collect();
            let log_p = log_probabilities(model, v_l, &inputs, &said, phase);
            mixed(xe, self_critical(log_p, &advantages, &lengths), gamma)
        }
    };
    figures.loss = value(&loss);
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    (figures, gradients)
}

/// ln p of the words of captions whose inputs are given.
fn log_probabilities(model: &Gxn, v_l: Tensor<2>, inputs: &[Vec<u32>], said: &[&[u32]], phase: Phase) -> Tensor<1> {
    let decoder: &CaptionDecoder = model.caption_decoder.as_ref().expect("asked before");
    let targets = said.iter().flat_map(|tokens| tokens.iter().map(|&token| decoder.output_of(token))).collect();
    let batch = TokenBatch::new(inputs);
    let words = model.sentence.word_vectors(&batch);
    decoder.log_probabilities(v_l, words, batch.lengths(), targets, phase)
}

/// What is read before each token of a generated caption: the start token, then the caption without its last token.
fn read_before(tokens: &[u32]) -> Vec<u32> {
    std::iter::once(START).chain(tokens[..tokens.len().saturating_sub(1)].iter().copied()).collect()
}

/// The tokens with every unknown word replaced by one that no reference has: saying it is never rewarded.
fn without_unknown(tokens: &[u32]) -> Vec<u32> {
    const NO_WORD: u32 = u32::MAX - 1;
    tokens.iter().map(|&token| if token == UNKNOWN { NO_WORD } else { token }).collect()
}

/// A train caption as a reference of the reward: its words and the end, which is a token like others (spec §7.3).
pub fn reward_reference(tokens: &[u32]) -> Vec<u32> {
    let words = tokens.iter().copied().filter(|&token| token != START && token != END);
    words.chain([END]).collect()
}

fn value(loss: &Tensor<1>) -> f64 {
    loss.clone().into_scalar::<f32>().into()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
