//! LOOK: backbone, features and encoders.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{is_fraction, is_positive, require};
use crate::look::backbone::BackboneKind;
use gxn_base::Result;

/// Largest input of a CNN; beyond it a typing error is likelier than a wish.
const MAX_SIDE_PX: u32 = 4096;

/// Backbone, features and the two encoders (spec §3–4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LookConfig {
    /// A pretrained encoder whose image tower makes the features of images in the CNN's place; beyond the paper.
    pub encoder: Option<ImageEncoderFolder>,
    /// Checkpoints hold the files of the pretrained encoders, so that a checkpoint alone can encode; else their paths only.
    pub embed_encoders: bool,
    /// The run or checkpoint that holds them; it is known when it is opened.
    #[serde(skip)]
    pub held_in: Option<PathBuf>,
    /// The CNN.
    pub backbone: BackboneKind,
    /// Its weight file, or "random". Empty is right for a backbone without published weights only.
    pub weights: String,
    /// Train the CNN with the rest (stage 2 of spec §9.2) instead of reading cached features.
    pub finetune: bool,
    /// How many of the CNN's groups of layers are trained, counted from the top; 0 trains all of them. EfficientNet-Lite
    /// has nine groups (stem, seven stages, head), ResNet, VGG-19 and the small CNN five.
    pub finetune_groups: usize,
    /// Learning rate of the CNN's topmost group as a share of `train.learning_rate`.
    pub finetune_rate: f64,
    /// The learning rate of each group is that of the one above it times this.
    pub finetune_decay: f64,
    /// In a stage with captions a trained CNN encodes a batch once, for the caption loss and every Match, and takes one step along the sum
    /// of their gradients: half the time of the paper's order, in which each update encodes the batch again. A CNN that is not
    /// trained is not concerned.
    pub encode_once: bool,
    /// Show a trained CNN each image with a random crop, mirror and light change of colours, instead of one of its `views`.
    pub augment: bool,
    /// Side of such an image in pixels; 0 takes that of the CNN's input. A smaller one makes training faster: time falls with
    /// its square. Evaluation keeps the input's own.
    pub augment_side_px: u32,
    /// Both sides to the input size, aspect ratio given up, instead of the weights' own rule. Right for photos that
    /// are already stretched squares.
    pub stretch: bool,
    /// Side of the CNN's input in pixels; 0 keeps that of the run that this one begins with, or else takes the weights' own.
    pub side_px: u32,
    /// Which views of an image are computed and how they are used.
    pub views: Views,
    /// What is done to the CNN's feature before the linear maps.
    pub transform: FeatureTransform,
    /// Dropout on the transformed feature.
    pub feature_dropout: f64,
    /// Width of the joint space, `D`.
    pub embed_dim: usize,
    /// The sentence side.
    pub sentence: SentenceConfig,
}

impl Default for LookConfig {
    fn default() -> Self {
        Self {
            encoder: None,
            embed_encoders: false,
            held_in: None,
            backbone: BackboneKind::EfficientNetLite2,
            weights: String::new(),
            finetune: false,
            finetune_groups: 0,
            finetune_rate: 0.1,
            finetune_decay: 1.0,
            encode_once: false,
            augment: false,
            augment_side_px: 0,
            stretch: false,
            side_px: 0,
            views: Views::Full,
            transform: FeatureTransform::L2,
            feature_dropout: 0.0,
            embed_dim: 1024,
            sentence: SentenceConfig::default(),
        }
    }
}

impl LookConfig {
    /// Width of an image's feature, `F`.
    pub fn feature_dim(&self) -> usize {
        self.encoder.as_ref().map_or_else(|| self.backbone.feature_dim(), |encoder| encoder.width)
    }

    /// Fills in what a run found of the encoders in the same folders, as `found` has it.
    pub(super) fn fill_encoders(&mut self, found: &Self) {
        if let (Some(own), Some(found)) = (&mut self.encoder, &found.encoder)
            && (own.path == found.path && own.fingerprint.is_empty())
        {
            own.clone_from(found);
        }
        if let (Some(own), Some(found)) = (&mut self.sentence.encoder, &found.sentence.encoder)
            && (own.path == found.path && own.fingerprint.is_empty())
        {
            (own.width, own.fingerprint) = (found.width, found.fingerprint.clone());
        }
    }

    /// Refuses what is for a CNN where there is none: nothing is passed over.
    fn validate_encoder(&self) -> Result<()> {
        let has_none = self.encoder.is_none() && self.sentence.encoder.is_none();
        require(
            !(self.embed_encoders && has_none),
            "look.embed_encoders",
            "true",
            "false, without a pretrained encoder",
        )?;
        if self.encoder.is_none() {
            return Ok(());
        }
        let with = |expected: &str| format!("{expected}, with look.encoder");
        require(!self.finetune, "look.finetune", "true", &with("false: an encoder of others is not trained"))?;
        require(self.weights.is_empty(), "look.weights", &self.weights, &with("nothing"))?;
        require(self.views == Views::Full, "look.views", "several views", &with("full"))?;
        require(!self.stretch, "look.stretch", "true", &with("false: the encoder has its own preprocessing"))?;
        require(self.side_px == 0, "look.side_px", self.side_px, &with("0: the encoder has its own preprocessing"))?;
        let has_root = self.transform == FeatureTransform::SqrtStandardise;
        require(!has_root, "look.transform", "sqrt_standardise", &with("l2 or standardise: its features have a sign"))
    }

    pub(super) fn validate(&self) -> Result<()> {
        self.validate_encoder()?;
        let rate = self.finetune_rate;
        require(rate == 0.0 || is_positive(rate), "look.finetune_rate", rate, "0 or a number above")?;
        let decay = self.finetune_decay;
        require(decay > 0.0 && decay <= 1.0, "look.finetune_decay", decay, "a number above 0, at most 1")?;
        require(self.finetune || !self.augment, "look.augment", "true", "false, unless look.finetune is true")?;
        let dropout = self.feature_dropout;
        require(is_fraction(dropout), "look.feature_dropout", dropout, "a number in [0, 1)")?;
        let sentence = &self.sentence;
        for (key, p) in [
            ("word_dropout", sentence.word_dropout),
            ("state_dropout", sentence.state_dropout),
            ("unknown_word_rate", sentence.unknown_word_rate),
        ] {
            require(is_fraction(p), &format!("look.sentence.{key}"), p, "a number in [0, 1)")?;
        }
        for (key, side_px) in [("look.side_px", self.side_px), ("look.augment_side_px", self.augment_side_px)] {
            require(side_px <= MAX_SIDE_PX, key, side_px, "0 or at most 4096")?;
        }
        require(
            self.augment || self.augment_side_px == 0,
            "look.augment_side_px",
            self.augment_side_px,
            "0, unless look.augment is true",
        )?;
        let widths = [self.embed_dim, sentence.hidden, sentence.word_dim];
        require(widths.iter().all(|&width| width > 0), "look widths", 0, "at least 1")
    }
}

/// Which views of an image are computed and cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// The whole image.
    Full,
    /// The whole image and its mirror: training draws one, everything else takes their mean feature.
    Flip,
    /// The whole image, its mirror, and four corner crops of 85 % of each side, two of them mirrored (six
    /// views): training draws one, everything else takes the mean feature of all.
    SixCrop,
    /// The whole image and four corner crops of 85 % of each side, each with its mirror (ten views): training
    /// draws one, everything else takes the mean feature of all.
    TenCrop,
}

/// What is done to the CNN's feature before the linear maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureTransform {
    /// Unit Euclidean length (the paper's family).
    L2,
    /// Zero mean and unit variance per dimension over the train images.
    Standardise,
    /// Square root (features after a rectifier are skewed), then as `standardise`.
    SqrtStandardise,
}

/// How the states of a recurrent network become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over the valid tokens.
    Mean,
    /// Maximum over the valid tokens, per dimension.
    Max,
    /// The state after the last token each direction reads.
    Last,
}

/// The sentence side: word matrix, two GRUs, two linear maps (spec §4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SentenceConfig {
    /// Width of a word vector, `E`. With `word_vectors`, that file's width unless its `map` is on.
    pub word_dim: usize,
    /// Pretrained word vectors.
    pub word_vectors: Option<WordVectorFile>,
    /// A pretrained text encoder beside the GRUs or in their place; beyond the paper.
    pub encoder: Option<TextEncoderFolder>,
    /// Width of a GRU state, `H`.
    pub hidden: usize,
    /// How the bidirectional GRU becomes t_h.
    pub abstract_pooling: Pooling,
    /// How the GRU becomes t_l.
    pub grounded_pooling: Pooling,
    /// Dropout on the word vectors.
    pub word_dropout: f64,
    /// Dropout on the pooled states, and on the embeddings of a pretrained encoder.
    pub state_dropout: f64,
    /// Share of train words replaced by the unknown word in each step.
    pub unknown_word_rate: f64,
}

impl Default for SentenceConfig {
    fn default() -> Self {
        Self {
            word_dim: 300,
            word_vectors: None,
            encoder: None,
            hidden: 1024,
            abstract_pooling: Pooling::Mean,
            grounded_pooling: Pooling::Last,
            word_dropout: 0.0,
            state_dropout: 0.0,
            unknown_word_rate: 0.0,
        }
    }
}

/// A file of pretrained word vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordVectorFile {
    /// GloVe or word2vec text, word2vec binary, or safetensors with a word list beside it.
    pub path: String,
    /// Keep the file's width and learn a linear map from it to `word_dim`.
    #[serde(default)]
    pub map: bool,
}

/// A pretrained encoder, whose embedding of an image is the image's feature; it is not trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEncoderFolder {
    /// The encoder's folder, as model hubs lay it out.
    pub path: String,
    /// Values of its embedding; a run stores what it found.
    #[serde(default)]
    pub width: usize,
    /// Its fingerprint; a run stores what it found, and refuses another encoder later.
    #[serde(default)]
    pub fingerprint: String,
}

/// A pretrained text encoder, whose embedding of a caption reaches t_h and t_l through a linear map each; it is not trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextEncoderFolder {
    /// The encoder's folder, as model hubs lay it out.
    pub path: String,
    /// Leave the GRUs out.
    #[serde(default)]
    pub alone: bool,
    /// Values of its embedding; a run stores what it found.
    #[serde(default)]
    pub width: usize,
    /// Its fingerprint; a run stores what it found, and refuses another encoder later.
    #[serde(default)]
    pub fingerprint: String,
}
