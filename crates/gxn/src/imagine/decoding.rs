//! Captions generated word by word: the likeliest word each time, or a drawn one.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::caption_decoder::CaptionDecoder;
use super::device_decoding::decode_on_device;
use crate::look::{Phase, SentenceEncoder, TokenBatch};
use crate::seed::{mix, unit};
use gxn_data::{END, START, UNKNOWN};

/// How the next word is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The likeliest word; never the unknown word.
    Greedy,
    /// A draw from the model's distribution (temperature 1), the unknown word included.
    Draw {
        /// Draws are a pure function of it, the caption's place in the batch and the word's place in the caption.
        seed: u64,
    },
}

/// A generated caption.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generated {
    /// Its tokens; [`END`] is the last one unless the caption reached the longest length.
    pub tokens: Vec<u32>,
    /// ln p of all its tokens together.
    pub log_probability: f64,
    /// Places where the unknown word was the likeliest.
    pub unknown: usize,
}

impl Generated {
    /// Number of words, the end not counted.
    pub fn words(&self) -> usize {
        self.tokens.len() - usize::from(self.tokens.last() == Some(&END))
    }
}

/// One caption for each row of v_l, at most `max_words` words long.
///
/// In [`Phase::Train`] the states drop out as they do when the captions are read again by
/// [`CaptionDecoder::log_probabilities`] in the same phase. The network must be on a device without gradients.
///
/// # Shapes
/// `v_l` `[B, D]` → `B` captions
pub fn decode(
    decoder: &CaptionDecoder,
    sentence: &SentenceEncoder,
    v_l: Tensor<2>,
    max_words: usize,
    choice: Choice,
    phase: Phase,
) -> Vec<Generated> {
    if v_l.device() != Device::flex() {
        return decode_on_device(decoder, sentence, v_l, max_words, choice, phase);
    }
    let count = v_l.dims()[0];
    let mut captions = vec![Generated::default(); count];
    let mut state = decoder.first_state(v_l);
    // Captions that are not over; `state` has a row for each.
    let mut rows: Vec<usize> = (0..count).collect();
    let mut last = vec![START; count];
    for step in 0..max_words {
        state = decoder.advance(word_rows(sentence, &last), Some(state));
        let logits: Vec<f32> = decoder.logits_of(state.clone(), step, phase, &rows, count).into_data().iter().collect();
        let chosen: Vec<(usize, f64, bool)> = (&rows, logits.par_chunks_exact(decoder.outputs()))
            .into_par_iter()
            .map(|(&row, logits)| match choice {
                Choice::Greedy => {
                    let unknown = decoder.output_of(UNKNOWN);
                    let (best, unknown_is_best) = likeliest(logits, unknown);
                    (best, f64::from(logits[best]) - log_sum_exp(logits, Some(unknown)), unknown_is_best)
                }
                Choice::Draw { seed } => {
                    let point = unit(mix(mix(seed, step as u64), row as u64));
                    let (drawn, log_probability) = draw(logits, point);
                    (drawn, log_probability, false)
                }
            })
            .collect();
        last.clear();
        let mut live = Vec::new();
        for (at, (output, log_probability, unknown_is_best)) in chosen.into_iter().enumerate() {
            let (caption, token) = (&mut captions[rows[at]], decoder.token_of(output));
            caption.tokens.push(token);
            caption.log_probability += log_probability;
            caption.unknown += usize::from(unknown_is_best);
            if token != END {
                live.push(at);
                last.push(token);
            }
        }
        if live.is_empty() {
            break;
        }
        if live.len() < rows.len() {
            rows = live.iter().map(|&at| rows[at]).collect();
            let live: Vec<i64> = live.into_iter().map(|at| at as i64).collect();
            let live = TensorData::new(live, [rows.len()]);
            state = state.clone().select(0, Tensor::<1, Int>::from_data(live, &state.device()));
        }
    }
    captions
}

/// Word vectors of one token for each caption, `[B, E]`.
pub(super) fn word_rows(sentence: &SentenceEncoder, tokens: &[u32]) -> Tensor<2> {
    let singles: Vec<[u32; 1]> = tokens.iter().map(|&token| [token]).collect();
    let words = sentence.word_vectors(&TokenBatch::new(&singles));
    let [batch, _, width] = words.dims();
    words.reshape([batch, width])
}

/// The place of the highest value but `unknown`, the first of equal ones; and whether `unknown` is higher.
fn likeliest(logits: &[f32], unknown: usize) -> (usize, bool) {
    let mut best = usize::from(unknown == 0);
    for (place, &logit) in logits.iter().enumerate() {
        if place != unknown && logit > logits[best] {
            best = place;
        }
    }
    (best, logits[unknown] > logits[best])
}

/// A draw from the softmax of `logits`, and ln of its probability; `point` is in [0, 1).
pub(super) fn draw(logits: &[f32], point: f64) -> (usize, f64) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|&logit| (logit - top).exp()).collect();
    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let mut left = point * sum;
    let place = weights.iter().position(|&weight| {
        left -= f64::from(weight);
        left < 0.0
    });
    let place = place.unwrap_or(logits.len() - 1);
    (place, f64::from(logits[place] - top) - sum.ln())
}

/// ln Σ exp over all values but the one at `without`.
pub(super) fn log_sum_exp(logits: &[f32], without: Option<usize>) -> f64 {
    let kept = || logits.iter().enumerate().filter(|(place, _)| Some(*place) != without).map(|(_, &logit)| logit);
    let top = kept().fold(f32::NEG_INFINITY, f32::max);
    f64::from(top) + kept().map(|logit| f64::from((logit - top).exp())).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// p = (1/8, 5/8, 2/8).
    #[test]
    fn draws_fall_where_the_probabilities_say() {
        let logits = [1.0f32, 5.0, 2.0].map(f32::ln);
        assert_eq!([0.0, 0.12, 0.13, 0.74, 0.76, 0.999].map(|point| draw(&logits, point).0), [0, 0, 1, 1, 2, 2]);
        assert!((draw(&logits, 0.5).1 - (5f64 / 8.0).ln()).abs() < 1e-6);
        assert!((log_sum_exp(&logits, None) - 8f64.ln()).abs() < 1e-6);
        assert!((log_sum_exp(&logits, Some(1)) - 3f64.ln()).abs() < 1e-6);
        assert_eq!(likeliest(&logits, 1), (2, true));
        assert_eq!(likeliest(&logits, 0), (1, false));
    }
}
