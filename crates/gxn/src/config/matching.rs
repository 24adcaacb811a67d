//! MATCH: similarity and loss.

use gxn_base::{Result, Similarity};
use serde::{Deserialize, Serialize};

use super::{is_positive, require};

/// Similarity, combined score and ranking loss (spec §5–6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchingConfig {
    /// Which levels are trained and scored.
    pub levels: Levels,
    /// Weight of the abstract level in the combined score, λ.
    pub lambda: f64,
    /// How two embeddings are compared.
    pub similarity: Similarity,
    /// Embeddings are made non-negative after the L2 norm, as order embeddings are.
    pub absolute: bool,
    /// The loss on the combined scores.
    pub loss: LossKind,
    /// Margin α of the hinge losses.
    pub margin: f64,
    /// Epochs of summed negatives before `hardest` takes over.
    pub sum_epochs: usize,
    /// First temperature of `info_nce`; it is learned, and bounded below by 0.01. With `prior` the one that fits the encoder's
    /// own scores of train pairs takes its place.
    pub temperature: f64,
    /// Both levels begin as the pretrained encoder's own embeddings, so that the untrained network scores as the encoder does.
    /// Image and text encoder have to be one; the joint space gets its width. Beyond the paper.
    pub prior: bool,
    /// An image and a caption that is, word by word, one of the image's own captions are no negatives of each other, though
    /// the caption is another image's.
    pub mask_equal_captions: bool,
}

impl Default for MatchingConfig {
    fn default() -> Self {
        Self {
            levels: Levels::Both,
            lambda: 0.5,
            similarity: Similarity::Order,
            absolute: true,
            loss: LossKind::Sum,
            margin: 0.05,
            sum_epochs: 1,
            temperature: 0.07,
            prior: false,
            mask_equal_captions: false,
        }
    }
}

impl MatchingConfig {
    pub(super) fn validate(&self) -> Result<()> {
        for (key, x) in [("margin", self.margin), ("temperature", self.temperature)] {
            require(is_positive(x), &format!("matching.{key}"), x, "a number above 0")?;
        }
        if self.prior {
            let cosine = self.similarity == Similarity::Cosine;
            let found = if cosine { "absolute values" } else { "another similarity" };
            let expected = "similarity cosine and absolute = false: the scores begin as an encoder's cosines";
            require(cosine && !self.absolute, "matching.prior", format!("true with {found}"), expected)?;
        }
        require((0.0..=1.0).contains(&self.lambda), "matching.lambda", self.lambda, "a number in [0, 1]")
    }

    /// λ as the scores use it: 1 where the model has one level.
    pub fn effective_lambda(&self) -> f64 {
        match self.levels {
            Levels::Both => self.lambda,
            Levels::Abstract => 1.0,
        }
    }
}

/// Which of the paper's two levels a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Levels {
    /// (v_h, t_h) and (v_l, t_l), combined by λ.
    Both,
    /// (v_h, t_h) alone; λ is 1.
    Abstract,
}

/// The loss on the combined scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Hinge summed over all negatives of the batch (paper Eq. 3).
    Sum,
    /// Hinge of the hardest negative in each direction (VSE++), after `sum_epochs` of `sum`.
    Hardest,
    /// Symmetric softmax over the batch with a learned temperature.
    InfoNce,
}
