//! RNN_Dec: a GRU that generates a caption word by word, given v_l (paper §3.3, spec §7.1).

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};

use crate::config::{CaptionConfig, Injection};
use crate::look::gru::Gru;
use crate::look::linear::LinearMap;
use crate::look::{Init, Phase, Site};
use crate::seed::mix;
use gxn_data::{END, UNKNOWN};
use gxn_ops::dropout::dropout;
use gxn_ops::target_log_probability::target_log_probability;

/// The first token that can be generated; padding and start never are.
const FIRST: u32 = END;
/// Bound of the output layer's first weights.
const OUTPUT_BOUND: f32 = 0.1;

/// RNN_Dec. It reads words through W_e, which belongs to the sentence encoder, and generates the end, the unknown word and the
/// most frequent words of the vocabulary: output `o` is token `o + 2`.
#[derive(Module, Debug)]
pub struct CaptionDecoder {
    /// v_l → first input `[D, E]`, or → first state `[D, H]`.
    condition_map: LinearMap,
    gru: Gru,
    /// `[H, V']`
    output_weight: Param<Tensor<2>>,
    /// `[V']`
    output_bias: Param<Tensor<1>>,
    #[module(skip)]
    settings: Settings,
}

/// What the forward pass has to know besides weights.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    injection: Injection,
    scale: f64,
    dropout: f64,
}

impl CaptionDecoder {
    /// A new decoder of v_l (width `embed_dim`) that reads words of width `word_width` and can generate `outputs` tokens.
    pub fn new(init: &Init, config: &CaptionConfig, embed_dim: usize, word_width: usize, outputs: usize) -> Self {
        let entry = match config.injection {
            Injection::Input => word_width,
            Injection::InitialState => config.hidden,
        };
        Self {
            condition_map: LinearMap::new(init, "caption_condition_map", embed_dim, entry),
            gru: Gru::new(init, "caption_gru", word_width, config.hidden),
            output_weight: init.uniform("caption_output.weight", [config.hidden, outputs], OUTPUT_BOUND),
            output_bias: init.constant(0.0, [outputs]),
            settings: Settings { injection: config.injection, scale: config.scale(embed_dim), dropout: config.dropout },
        }
    }

    /// How many tokens it can generate when words that occur fewer than `min_count` times in `captions` (token numbers, the
    /// frequent words first) are left out.
    pub fn outputs_for(captions: &[&[u32]], vocabulary: usize, min_count: usize) -> usize {
        let mut counts = vec![0usize; vocabulary];
        captions.iter().flat_map(|caption| caption.iter()).for_each(|&token| counts[token as usize] += 1);
        let last = (0..vocabulary).rev().find(|&token| counts[token] >= min_count.max(1)).unwrap_or(0);
        last.max(UNKNOWN as usize) + 1 - FIRST as usize
    }

    /// Number of tokens that it can generate, `V'`.
    pub fn outputs(&self) -> usize {
        self.output_bias.dims()[0]
    }

    /// The output that stands for `token`, or for the unknown word.
    pub fn output_of(&self, token: u32) -> usize {
        match (token as usize).checked_sub(FIRST as usize) {
            Some(output) if output < self.outputs() => output,
            _ => (UNKNOWN - FIRST) as usize,
        }
    }

    /// The token that `output` stands for.
    pub fn token_of(&self, output: usize) -> u32 {
        output as u32 + FIRST
    }

    /// The tokens that outputs stand for.
    pub(super) fn tokens_of(&self, outputs: Tensor<2, Int>) -> Tensor<2, Int> {
        outputs + i64::from(FIRST)
    }

    /// The state before the first word: what v_l becomes.
    ///
    /// # Shapes
    /// `[B, D]` → `[B, H]`
    pub fn first_state(&self, v_l: Tensor<2>) -> Tensor<2> {
        let entry = self.condition_map.forward(v_l * self.settings.scale);
        match self.settings.injection {
            Injection::Input => self.advance(entry, None),
            Injection::InitialState => entry.tanh(),
        }
    }

    /// The state after one further word.
    ///
    /// # Shapes
    /// `[B, E]`, `[B, H]` → `[B, H]`
    pub fn advance(&self, word: Tensor<2>, state: Option<Tensor<2>>) -> Tensor<2> {
        let batch = word.dims()[0];
        let states = self.gru.forward_from(word.unsqueeze_dim(1), &vec![1; batch], state);
        let hidden = states.dims()[2];
        states.reshape([batch, hidden])
    }

    /// Logits of the word after word `step` (from 0, the start token), given the state there.
    ///
    /// # Shapes
    /// `[B, H]` → `[B, V']`
    pub fn logits(&self, state: Tensor<2>, step: usize, phase: Phase) -> Tensor<2> {
        let count = state.dims()[0];
        self.logits_of(state, step, phase, &(0..count).collect::<Vec<_>>(), count)
    }

    /// [`CaptionDecoder::logits`] of some of `count` captions, those at `rows`: what drops out of a caption's state is a
    /// matter of its place among all.
    ///
    /// # Shapes
    /// `[rows, H]` → `[rows, V']`
    pub(super) fn logits_of(
        &self,
        state: Tensor<2>,
        step: usize,
        phase: Phase,
        rows: &[usize],
        count: usize,
    ) -> Tensor<2> {
        let state = match self.step_seed(step, phase) {
            Some(seed) => {
                let [_, hidden] = state.dims();
                let places = TensorData::new(rows.iter().map(|&row| row as i64).collect(), [rows.len()]);
                let places = Tensor::<1, Int>::from_data(places, &state.device());
                let mask = dropout(Tensor::ones([count, hidden], &state.device()), self.settings.dropout, seed);
                state * mask.select(0, places)
            }
            None => state,
        };
        state.matmul(self.output_weight.val()) + self.output_bias.val().unsqueeze()
    }

    /// Dropout of one step: the same mask whether the caption is generated word by word or read as a whole.
    fn step_seed(&self, step: usize, phase: Phase) -> Option<u64> {
        match phase {
            Phase::Train { seed } if self.settings.dropout > 0.0 => {
                Some(mix(mix(seed, Site::CaptionState as u64), step as u64))
            }
            _ => None,
        }
    }

    /// ln p(w_t | w_{0:t−1}, v_l) of every target word, captions one after the other.
    ///
    /// `words` are the vectors of each caption's input words (the start token first), `lengths` their numbers; the
    /// targets of caption `b` are its `lengths[b]` outputs, the end last.
    ///
    /// # Shapes
    /// `v_l` `[B, D]`, `words` `[B, T, E]`, `Σ lengths` targets → `[Σ lengths]`
    pub fn log_probabilities(
        &self,
        v_l: Tensor<2>,
        words: Tensor<3>,
        lengths: &[usize],
        targets: Vec<usize>,
        phase: Phase,
    ) -> Tensor<1> {
        let [batch, time, _] = words.dims();
        let entry = self.condition_map.forward(v_l * self.settings.scale);
        let states = match self.settings.injection {
            Injection::Input => {
                let longer: Vec<usize> = lengths.iter().map(|&n| n + 1).collect();
                let words = Tensor::cat(vec![entry.unsqueeze_dim(1), words], 1);
                let states = self.gru.forward_from(words, &longer, None);
                let hidden = states.dims()[2];
                states.slice([0..batch, 1..time + 1, 0..hidden])
            }
            Injection::InitialState => self.gru.forward_from(words, lengths, Some(entry.tanh())),
        };
        let hidden = states.dims()[2];
        let states = match phase {
            Phase::Train { .. } if self.settings.dropout > 0.0 => {
                let ones = Tensor::<2>::ones([batch, hidden], &states.device());
                let mask = |step| match self.step_seed(step, phase) {
                    Some(seed) => dropout(ones.clone(), self.settings.dropout, seed),
                    None => ones.clone(),
                };
                states * Tensor::stack((0..time).map(mask).collect(), 1)
            }
            _ => states,
        };
        let rows = lengths.iter().enumerate().flat_map(|(b, &n)| (0..n).map(move |t| (b * time + t) as i64));
        let rows: Vec<i64> = rows.collect();
        let count = rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &states.device());
        let states = states.reshape([batch * time, hidden]).select(0, rows);
        target_log_probability(states, self.output_weight.val(), self.output_bias.val(), targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn rare_words_are_not_said() {
        // Tokens 4 (three times), 5 (twice), 6 (once); 0 to 3 are special.
        let captions: Vec<&[u32]> = vec![&[1, 4, 5, 2], &[1, 4, 4, 5, 6, 2]];
        assert_eq!(CaptionDecoder::outputs_for(&captions, 7, 1), 5);
        assert_eq!(CaptionDecoder::outputs_for(&captions, 7, 2), 4);
        assert_eq!(CaptionDecoder::outputs_for(&captions, 7, 3), 3);
        assert_eq!(CaptionDecoder::outputs_for(&captions, 7, 9), 2);
        let config = CaptionConfig { hidden: 3, ..CaptionConfig::default() };
        let decoder = CaptionDecoder::new(&Init::new(1, &Device::flex()), &config, 4, 2, 4);
        assert_eq!([2, 3, 4, 5, 6].map(|token| decoder.output_of(token)), [0, 1, 2, 3, 1]);
        assert_eq!(decoder.token_of(3), 5);
    }
}
