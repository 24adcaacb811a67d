//! IMAGINE: the generators.

use serde::{Deserialize, Serialize};

use super::{is_fraction, is_positive, require};
use gxn_base::Result;

/// Side of a generated image.
pub const SIDE_PX: usize = 64;
/// Largest side of the images that pieces of the generator's size are taken from.
const MAX_LOAD_PX: usize = 256;

/// The generators (spec §7 and §8).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagineConfig {
    /// The caption decoder, used by the stages that train it.
    pub caption: CaptionConfig,
    /// The image generator and its discriminator, used by the stages that train them.
    pub image: ImageConfig,
}

/// RNN_Dec: v_l → caption (spec §7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionConfig {
    /// Width of the decoder's state, `H`.
    pub hidden: usize,
    /// How v_l enters.
    pub injection: Injection,
    /// v_l is multiplied by this before it enters; 0 takes √D, which gives its entries a size of about 1 (spec §8.2).
    pub condition_scale: f64,
    /// Dropout on the decoder's states.
    pub dropout: f64,
    /// Words seen fewer times in the train captions are never generated; the encoders still know them.
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

impl Default for CaptionConfig {
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

impl CaptionConfig {
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

/// CNN_Dec and D_i: t_l → a 64×64 image (spec §8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageConfig {
    /// Size of the generator: its first map has `8 · generator_width` channels, half as many after each upsampling.
    pub generator_width: usize,
    /// Size of the discriminator: the channels of its first map, which double after each of the next three layers.
    pub discriminator_width: usize,
    /// Width of the condition t_c, and of what the discriminator reads of t_l.
    pub condition_dim: usize,
    /// Width of the noise z.
    pub noise_dim: usize,
    /// t_l is multiplied by this before it is read; 0 takes √D, which gives its entries a size of about 1 (spec §8.2).
    pub condition_scale: f64,
    /// A rectifier on μ and ln σ², as StackGAN has it: then μ ≥ 0 and σ ≥ 1.
    pub condition_relu: bool,
    /// β_f of Eq. 11: weight of generated images.
    pub beta_fake: f64,
    /// β_w of Eq. 11: weight of images with another image's caption.
    pub beta_wrong: f64,
    /// β_s of Eq. 12: weight of the Kullback–Leibler term.
    pub beta_kl: f64,
    /// The generator lowers ln(1 − D), as Eq. 12 is written, instead of raising ln D.
    pub saturating: bool,
    /// The generator's loss also reaches t_l through what the discriminator reads of it (spec §8.5 argues against it).
    pub through_discriminator: bool,
    /// Learning rate of generator and discriminator; 0 takes `train.learning_rate`. The schedule is the run's.
    pub learning_rate: f64,
    /// Adam's β₁ of generator and discriminator; StackGAN has 0.5, the paper one momentum for all.
    pub beta1: f64,
    /// Learning rate of the generator's loss on what it shares with the encoders (P_t^l, RNN_Enc^l, W_e), as a share of
    /// `train.learning_rate`. 1 is the paper's.
    pub shared_rate: f64,
    /// In the discriminator's step, images with their own sentences and with others' are normalised as one batch. Otherwise, as
    /// StackGAN has it, each kind is normalised by itself, and the discriminator tells them apart by what a batch has in common
    /// as well as pair by pair; the generator learns sentences much sooner from that (docs/results.md, "Do generated
    /// images match their captions?").
    pub pairs_together: bool,
    /// A control: the discriminator sees another image's photo as a caption's own, the same one in every epoch, so that the
    /// content of generated images teaches nothing about the caption's image. Match still sees the right pairs.
    pub mispaired: bool,
    /// Mirror half of the real images.
    pub mirror: bool,
    /// Width and height in pixels to which real images are scaled; each time another 64×64 piece of them is taken (spec §2). 64
    /// takes them whole.
    pub load_px: usize,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            generator_width: 128,
            discriminator_width: 64,
            condition_dim: 128,
            noise_dim: 100,
            condition_scale: 0.0,
            condition_relu: false,
            beta_fake: 0.5,
            beta_wrong: 0.5,
            beta_kl: 2.0,
            saturating: false,
            through_discriminator: false,
            learning_rate: 0.0,
            beta1: 0.9,
            shared_rate: 1.0,
            pairs_together: false,
            mispaired: false,
            mirror: true,
            load_px: 76,
        }
    }
}

impl ImageConfig {
    /// What t_l of width `embed_dim` is multiplied by.
    pub fn scale(&self, embed_dim: usize) -> f64 {
        if self.condition_scale > 0.0 { self.condition_scale } else { (embed_dim as f64).sqrt() }
    }
}

impl ImagineConfig {
    pub(super) fn validate(&self) -> Result<()> {
        self.caption.validate()?;
        self.image.validate()
    }
}

impl CaptionConfig {
    fn validate(&self) -> Result<()> {
        let key = |name: &str| format!("imagine.caption.{name}");
        for (name, p) in [("dropout", self.dropout), ("sampling", self.sampling)] {
            require(is_fraction(p), &key(name), p, "a number in [0, 1)")?;
        }
        for (name, p) in [("gamma_from", self.gamma_from), ("gamma_to", self.gamma_to)] {
            require((0.0..=1.0).contains(&p), &key(name), p, "a number in [0, 1]")?;
        }
        for (name, x) in [
            ("condition_scale", self.condition_scale),
            ("learning_rate", self.learning_rate),
            ("shared_rate", self.shared_rate),
        ] {
            require(x == 0.0 || is_positive(x), &key(name), x, "0 or a number above")?;
        }
        require(self.hidden > 0 && self.max_words > 0, &key("hidden and max_words"), 0, "at least 1")
    }
}

impl ImageConfig {
    fn validate(&self) -> Result<()> {
        let key = |name: &str| format!("imagine.image.{name}");
        let width = self.generator_width;
        let is_even = width >= 2 && width.is_multiple_of(2);
        require(is_even, &key("generator_width"), width, "an even number of at least 2")?;
        let widths = [self.discriminator_width, self.condition_dim, self.noise_dim];
        require(widths.iter().all(|&width| width > 0), "imagine.image widths", 0, "at least 1")?;
        let expected = "from 64, the generator's size, to 256";
        require((SIDE_PX..=MAX_LOAD_PX).contains(&self.load_px), &key("load_px"), self.load_px, expected)?;
        require(is_fraction(self.beta1), &key("beta1"), self.beta1, "a number in [0, 1)")?;
        for (name, x) in [
            ("condition_scale", self.condition_scale),
            ("beta_fake", self.beta_fake),
            ("beta_wrong", self.beta_wrong),
            ("beta_kl", self.beta_kl),
            ("learning_rate", self.learning_rate),
            ("shared_rate", self.shared_rate),
        ] {
            require(x == 0.0 || is_positive(x), &key(name), x, "0 or a number above")?;
        }
        Ok(())
    }
}
