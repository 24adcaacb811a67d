//! IMAGINE: the generators.

use serde::{Deserialize, Serialize};

/// The generators (spec §7).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagineConfig {
    /// The caption decoder, used by the stages that train it.
    pub words: WordsConfig,
}

/// RNN_Dec: v_l → caption (spec §7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WordsConfig {
    /// Width of the decoder's state, `H`.
    pub hidden: usize,
    /// How v_l enters.
    pub injection: Injection,
    /// v_l is multiplied by this before it enters; 0 takes √D, which gives its entries a size of about 1 (spec §8.2).
    pub condition_scale: f64,
    /// Dropout on the decoder's states.
    pub dropout: f64,
    /// Words seen fewer times in the train captions are never said; the encoders still know them.
    pub min_count: usize,
    /// Longest generated caption.
    pub max_words: usize,
    /// Scheduled sampling: at the end of `i2t_xe`, and throughout `i2t_mix`, this share of the input words is the
    /// model's own; it rises linearly from 0 over the epochs of `i2t_xe`.
    pub sampling: f64,
    /// γ of Eq. 7 in the first epoch of `i2t_mix`; it rises linearly over the stage's epochs.
    pub gamma_from: f64,
    /// γ in the last epoch.
    pub gamma_to: f64,
    /// Learning rate of the decoder's own weights; 0 takes `train.learning_rate`. The schedule is the run's.
    pub learning_rate: f64,
    /// Learning rate of the caption losses on what the decoder shares with the encoders (P_v^l, W_e, the CNN where it
    /// is trained), as a share of `train.learning_rate`. 1 is the paper's; 0 trains the decoder alone.
    pub shared_rate: f64,
}

impl Default for WordsConfig {
    fn default() -> Self {
        Self {
            hidden: 1024,
            injection: Injection::Input,
            condition_scale: 0.0,
            dropout: 0.5,
            min_count: 5,
            max_words: 20,
            sampling: 0.25,
            gamma_from: 0.05,
            gamma_to: 0.95,
            learning_rate: 0.0,
            shared_rate: 1.0,
        }
    }
}

impl WordsConfig {
    /// What v_l of width `embed_dim` is multiplied by.
    pub fn scale(&self, embed_dim: usize) -> f64 {
        if self.condition_scale > 0.0 { self.condition_scale } else { (embed_dim as f64).sqrt() }
    }
}

/// How v_l enters the caption decoder (spec §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Injection {
    /// Through a linear map to a word's width, as the input before the start token; the first state is 0.
    Input,
    /// Through a linear map to the state's width and tanh, as the first state.
    InitialState,
}
