//! Optimisation.

use serde::{Deserialize, Serialize};

/// Optimisation (spec §9.3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// What is trained.
    pub stage: Stage,
    /// A run or checkpoint whose weights this one begins with. Its `data`, `look`, `matching` and `imagine` tables are
    /// the defaults of this run's.
    pub start_from: Option<String>,
    /// A run of stage t2i for stage `joint`: its sentence side of the grounded level, generator and discriminator replace those
    /// of `start_from` (spec §9.2).
    pub merge_from: Option<String>,
    /// Epochs at the beginning in which only Match is trained: the two halves of a merge have to find together.
    pub match_epochs: usize,
    /// Seed of weights, sampling and dropout.
    pub seed: u64,
    /// Epochs; an epoch has as many draws as there are train captions.
    pub epochs: usize,
    /// Pairs per step; each image at most once per batch.
    pub batch_size: usize,
    /// First learning rate.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: usize,
    /// `step` schedule: epochs between cuts.
    pub cut_every: usize,
    /// `step` schedule: factor of a cut.
    pub cut_factor: f64,
    /// Adam's β₁.
    pub beta1: f64,
    /// Adam's β₂.
    pub beta2: f64,
    /// Adam's ε.
    pub epsilon: f64,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f64,
    /// Global gradient norm; 0 does not clip.
    pub grad_clip: f64,
    /// Decay of the exponential moving average of the weights that is evaluated and saved; 0 uses the weights themselves.
    pub ema_decay: f64,
    /// Which epoch's weights become `best`.
    pub select_by: SelectBy,
    /// Stop after so many epochs without a better validation rsum; 0 never does.
    pub patience: usize,
    /// Steps between saves of the last checkpoint inside an epoch; 0 saves at the end of epochs only.
    pub save_every: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            stage: Stage::Match,
            start_from: None,
            merge_from: None,
            match_epochs: 0,
            seed: 1,
            epochs: 30,
            batch_size: 128,
            learning_rate: 2e-4,
            schedule: Schedule::Step,
            warmup_steps: 0,
            cut_every: 15,
            cut_factor: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            grad_clip: 2.0,
            ema_decay: 0.0,
            select_by: SelectBy::Rsum,
            patience: 0,
            save_every: 0,
        }
    }
}

/// What a run trains (spec §9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Look + Match: Eq. 3. With `start_from` it continues (stage 2, or the control of another stage).
    Match,
    /// Eq. 4, then Eq. 3, in every step (stage 3).
    I2tXe,
    /// Eq. 7, then Eq. 3, in every step (stage 4).
    I2tMix,
    /// Eq. 11 and 12 with t_l held still: the picture generator learns alone (before stage 5).
    T2iPretrain,
    /// Eq. 11, Eq. 12, then Eq. 3, in every step (stage 5).
    T2i,
    /// The whole of Algorithm 1: Eq. 7, Eq. 3, Eq. 11, Eq. 12, Eq. 3 (stage 6).
    Joint,
}

impl Stage {
    /// Whether the caption decoder is trained.
    pub fn trains_words(self) -> bool {
        matches!(self, Self::I2tXe | Self::I2tMix | Self::Joint)
    }

    /// Whether the caption decoder follows the reward.
    pub fn is_rewarded(self) -> bool {
        matches!(self, Self::I2tMix | Self::Joint)
    }

    /// Whether generator and discriminator are trained.
    pub fn trains_pictures(self) -> bool {
        matches!(self, Self::T2iPretrain | Self::T2i | Self::Joint)
    }

    /// Match steps (Eq. 3) of each batch.
    pub fn matches_per_batch(self) -> u64 {
        match self {
            Self::T2iPretrain => 0,
            Self::Match | Self::I2tXe | Self::I2tMix | Self::T2i => 1,
            Self::Joint => 2,
        }
    }
}

/// Which epoch's weights become `best`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// The highest validation rsum.
    Rsum,
    /// The highest validation CIDEr of greedy captions.
    Cider,
    /// The last one: for comparisons at equal steps.
    Last,
}

/// How the learning rate changes over a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Multiplied by `cut_factor` every `cut_every` epochs.
    Step,
    /// Half a cosine from the first learning rate to 0 over the whole run.
    Cosine,
    /// Constant.
    Constant,
}
