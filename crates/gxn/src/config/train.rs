//! Optimisation.

use serde::{Deserialize, Serialize};

use super::{is_fraction, is_positive, require};
use crate::device::DeviceChoice;
use gxn_base::Result;

/// Optimisation (spec §9.3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// What is trained.
    pub stage: Stage,
    /// A run or checkpoint whose weights this one begins with. Its `data`, `look`, `matching` and `imagine` tables are
    /// the defaults of this run's.
    pub init_from: Option<String>,
    /// A run of stage t2i for stage `i2t_t2i`: its sentence side of the grounded level, generator and discriminator replace those
    /// of `init_from` (spec §9.2).
    pub merge_from: Option<String>,
    /// Folders of embeddings, as `gxn encode MODEL DATA --split train -o DIR` writes them, of models to learn from: Match also follows
    /// the softmax of their mean cosines on its batch (knowledge distillation, Hinton et al. 2015). Beyond the paper.
    pub teachers: Vec<String>,
    /// Weight of the teachers in Match; the pairs themselves have the rest.
    pub distillation: f64,
    /// Epochs at the beginning in which only Match is trained: the two halves of a merge have to find together.
    pub match_epochs: usize,
    /// Seed of weights, sampling and dropout.
    pub seed: u64,
    /// Epochs; an epoch has as many draws as there are train captions.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Captions of each image in a step; 0 takes all. An epoch always shows every caption once: with all of them, every image
    /// goes through the CNN once.
    pub captions_per_image: usize,
    /// First learning rate.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Steps of linear warm-up; at most a tenth of the run's.
    pub warmup_steps: usize,
    /// `step` schedule: epochs between decays.
    pub decay_every_epochs: usize,
    /// `step` schedule: factor of a decay.
    pub decay_factor: f64,
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
    /// Epochs without a better one, as `select_by` counts, after which the run stops; 0 never stops early, nor does `select_by = "last"`.
    pub patience: usize,
    /// Steps between saves of the last checkpoint inside an epoch; 0 saves at the end of epochs only.
    pub save_every: usize,
    /// What computes: `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`. It belongs to a machine: runs on different devices
    /// count as equal.
    pub device: DeviceChoice,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            stage: Stage::Match,
            init_from: None,
            merge_from: None,
            teachers: Vec::new(),
            distillation: 0.5,
            match_epochs: 0,
            seed: 1,
            epochs: 30,
            batch_size: 128,
            captions_per_image: 1,
            learning_rate: 2e-4,
            schedule: Schedule::Step,
            warmup_steps: 0,
            decay_every_epochs: 15,
            decay_factor: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            grad_clip: 2.0,
            ema_decay: 0.0,
            select_by: SelectBy::Rsum,
            patience: 0,
            save_every: 0,
            device: DeviceChoice::CPU,
        }
    }
}

/// One update of Algorithm 1: a loss, and an optimiser that follows its gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Update {
    /// Gen_i2t: the caption loss, Eq. 7, or Eq. 4 in stage `i2t_xe`.
    Caption,
    /// Match: the ranking loss, Eq. 3.
    Match,
    /// Gen_t2i: the discriminator's loss, Eq. 11.
    Discriminator,
    /// Gen_t2i: the generator's loss, Eq. 12.
    Generator,
}

/// What a run trains (spec §9.2); [`Stage::updates`] is the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Look + Match. With `init_from` it continues (stage 2, or the control of another stage).
    Match,
    /// The caption decoder learns by cross-entropy (stage 3).
    I2tXe,
    /// The caption decoder also follows the reward (stage 4).
    I2tMix,
    /// The image generator learns alone, from a text encoder that is frozen (before stage 5).
    T2iPretrain,
    /// Image generator and discriminator beside Match (stage 5).
    T2i,
    /// The whole of Algorithm 1 (stage 6). Older runs call it `joint`.
    #[serde(rename = "i2t_t2i", alias = "joint")]
    I2tT2i,
}

impl Stage {
    /// The updates of a batch in their order, as Algorithm 1 has them.
    pub fn updates(self) -> &'static [Update] {
        use Update::{Caption, Discriminator, Generator, Match};
        match self {
            Self::Match => &[Match],
            Self::I2tXe | Self::I2tMix => &[Caption, Match],
            Self::T2iPretrain => &[Discriminator, Generator],
            Self::T2i => &[Discriminator, Generator, Match],
            Self::I2tT2i => &[Caption, Match, Discriminator, Generator, Match],
        }
    }

    /// Whether `update` is one of [`Stage::updates`].
    pub fn has(self, update: Update) -> bool {
        self.updates().contains(&update)
    }

    /// Match updates of each batch.
    pub fn match_updates(self) -> usize {
        self.updates().iter().filter(|&&update| update == Update::Match).count()
    }

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::I2tXe => "i2t_xe",
            Self::I2tMix => "i2t_mix",
            Self::T2iPretrain => "t2i_pretrain",
            Self::T2i => "t2i",
            Self::I2tT2i => "i2t_t2i",
        }
    }

    /// Whether the caption update follows Eq. 7, whose second part is the reward, and not Eq. 4.
    pub fn is_rewarded(self) -> bool {
        self.has(Update::Caption) && self != Self::I2tXe
    }
}

/// Which epoch's weights become `best`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// The highest validation rsum; in stage `t2i_pretrain`, where none changes, the last epoch. In a stage that generates, the network
    /// before the first epoch is no candidate.
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
    /// Multiplied by `decay_factor` every `decay_every_epochs` epochs.
    Step,
    /// Half a cosine from the first learning rate to 0 over the whole run.
    Cosine,
    /// Constant.
    Constant,
}

impl TrainConfig {
    /// Refuses a new run whose generators would not be trained.
    ///
    /// # Errors
    /// When all epochs are of Match alone, or the stage has no Match.
    pub(crate) fn require_generation(&self) -> Result<()> {
        let found = self.match_epochs;
        let is_fine = found == 0 || self.epochs == 0 || self.stage == Stage::Match || found < self.epochs;
        require(is_fine, "train.match_epochs", found, "fewer than train.epochs: the others generate")?;
        let has_match = self.stage.has(Update::Match);
        require(found == 0 || has_match, "train.match_epochs", found, "0: this stage has no Match")
    }

    pub(super) fn validate(&self) -> Result<()> {
        require(
            self.batch_size >= 2,
            "train.batch_size",
            self.batch_size,
            "at least 2 (a batch is its own negatives)",
        )?;
        for (key, x) in
            [("learning_rate", self.learning_rate), ("decay_factor", self.decay_factor), ("epsilon", self.epsilon)]
        {
            require(is_positive(x), &format!("train.{key}"), x, "a number above 0")?;
        }
        for (key, x) in [("weight_decay", self.weight_decay), ("grad_clip", self.grad_clip)] {
            require(x == 0.0 || is_positive(x), &format!("train.{key}"), x, "0 or a number above")?;
        }
        for (key, p) in [("ema_decay", self.ema_decay), ("beta1", self.beta1), ("beta2", self.beta2)] {
            require(is_fraction(p), &format!("train.{key}"), p, "a number in [0, 1)")?;
        }
        let distillation = self.distillation;
        require((0.0..=1.0).contains(&distillation), "train.distillation", distillation, "a number in [0, 1]")?;
        let decays = self.decay_every_epochs > 0;
        require(decays, "train.decay_every_epochs", 0, "at least 1; schedule=\"constant\" never decays")?;
        require(
            self.stage.has(Update::Caption) || self.select_by != SelectBy::Cider,
            "train.select_by",
            "cider",
            "rsum or last: this stage generates no captions",
        )?;
        require(
            !self.stage.is_rewarded() || self.init_from.is_some(),
            "train.init_from",
            "nothing",
            "a run of stage i2t_xe: reinforcement begins with a trained decoder (paper §3.3)",
        )?;
        require(
            self.stage != Stage::T2iPretrain || self.init_from.is_some(),
            "train.init_from",
            "nothing",
            "a Look + Match run: the generator learns alone, from a trained text encoder",
        )?;
        require(
            self.merge_from.is_none() || self.stage == Stage::I2tT2i,
            "train.merge_from",
            "a run",
            "nothing, unless train.stage is i2t_t2i",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Algorithm 1 takes each batch through Gen_i2t (the caption loss, then Match) and Gen_t2i (D, then G, then Match); the
    /// stages before the last one run parts of it (spec §9.1 and §9.2).
    #[test]
    fn the_updates_of_each_stage_are_the_papers() {
        use Update::{Caption, Discriminator, Generator, Match};
        let table: [(Stage, &[Update], usize); 6] = [
            (Stage::Match, &[Match], 1),
            (Stage::I2tXe, &[Caption, Match], 1),
            (Stage::I2tMix, &[Caption, Match], 1),
            (Stage::T2iPretrain, &[Discriminator, Generator], 0),
            (Stage::T2i, &[Discriminator, Generator, Match], 1),
            (Stage::I2tT2i, &[Caption, Match, Discriminator, Generator, Match], 2),
        ];
        for (stage, updates, matches) in table {
            assert_eq!((stage.updates(), stage.match_updates()), (updates, matches), "{stage:?}");
            assert_eq!(toml::Value::try_from(stage).unwrap().as_str(), Some(stage.name()));
        }
        assert_eq!([Stage::I2tXe, Stage::I2tMix, Stage::I2tT2i].map(Stage::is_rewarded), [false, true, true]);
    }

    #[test]
    fn generators_that_would_not_be_trained_are_refused() {
        let refused = |stage, epochs, match_epochs| {
            TrainConfig { stage, epochs, match_epochs, ..TrainConfig::default() }.require_generation().is_err()
        };
        assert!(!refused(Stage::I2tT2i, 2, 1) && !refused(Stage::Match, 2, 2) && !refused(Stage::I2tXe, 0, 1));
        assert!(refused(Stage::I2tT2i, 2, 2) && refused(Stage::T2iPretrain, 2, 1));
    }

    #[test]
    fn the_last_stage_is_read_by_both_its_names() {
        for name in ["i2t_t2i", "joint"] {
            let config: TrainConfig = toml::from_str(&format!("stage = \"{name}\"")).unwrap();
            assert_eq!(config.stage, Stage::I2tT2i);
        }
        assert!(
            toml::to_string(&TrainConfig { stage: Stage::I2tT2i, ..TrainConfig::default() })
                .unwrap()
                .contains("i2t_t2i")
        );
    }
}
