//! Scheduled sampling (Bengio et al. 2015; paper Algorithm 1, line 2): some input words are the model's own.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::caption_decoder::CaptionDecoder;
use super::decoding::{draw, word_rows};
use crate::look::{Phase, SentenceEncoder};
use crate::seed::{mix, unit};

/// Input words of captions in which each word but the start token is replaced, with probability `share`, by a draw from
/// the model's distribution after the words before it, which may be replaced ones.
///
/// `inputs` are the captions' input tokens, the start token first. Coins and draws are a pure function of the phase's
/// seed. The network must be on a device without gradients.
pub fn scheduled_inputs(
    decoder: &CaptionDecoder,
    sentence: &SentenceEncoder,
    v_l: Tensor<2>,
    mut inputs: Vec<Vec<u32>>,
    share: f64,
    phase: Phase,
) -> Vec<Vec<u32>> {
    let Phase::Train { seed } = phase else { return inputs };
    if share == 0.0 {
        return inputs;
    }
    let seed = mix(seed, 0x5c4e);
    let uniform = |step: usize, row: usize, part: u64| unit(mix(mix(mix(seed, part), step as u64), row as u64));
    let longest = inputs.iter().map(Vec::len).max().unwrap_or(0);
    let mut state = decoder.first_state(v_l);
    for step in 1..longest {
        // Captions that are over read their last word again; nothing is asked of them.
        let before: Vec<u32> = inputs.iter().map(|words| words[(step - 1).min(words.len() - 1)]).collect();
        state = decoder.advance(word_rows(sentence, &before), Some(state));
        let replaced: Vec<usize> =
            (0..inputs.len()).filter(|&row| step < inputs[row].len() && uniform(step, row, 0) < share).collect();
        if replaced.is_empty() {
            continue;
        }
        // Dropout belongs to a place in the batch: all rows go through it.
        let logits: Vec<f32> = decoder.logits(state.clone(), step - 1, phase).into_data().iter().collect();
        let drawn: Vec<u32> = replaced
            .par_iter()
            .map(|&row| {
                let logits = &logits[row * decoder.outputs()..][..decoder.outputs()];
                decoder.token_of(draw(logits, uniform(step, row, 1)).0)
            })
            .collect();
        for (&row, token) in replaced.iter().zip(drawn) {
            inputs[row][step] = token;
        }
    }
    inputs
}
