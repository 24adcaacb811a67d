//! [`Config`]: what a `config.json` says about an encoder's sizes. Missing keys have the defaults of transformers.

mod section;

pub(crate) use section::Section;

use gxn_base::{Error, Result};
use serde_json::{Value, json};

use crate::Family;
use crate::kernel::Activation;

/// Sizes of a stack of transformer blocks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stack {
    /// Values of a token between blocks.
    pub(crate) width: usize,
    /// Values of a token inside the feed-forward part.
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// What a norm adds to the variance.
    pub(crate) epsilon: f32,
    pub(crate) activation: Activation,
}

/// Sizes of an image tower.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageConfig {
    pub(crate) stack: Stack,
    pub(crate) channels: usize,
    /// Side of the image that the position embeddings were trained for, in pixels.
    pub(crate) side: usize,
    /// Side of a patch, in pixels.
    pub(crate) patch: usize,
}

/// Sizes of a text tower.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextConfig {
    pub(crate) stack: Stack,
    pub(crate) vocabulary: usize,
    /// The most tokens of a text.
    pub(crate) positions: usize,
}

/// What a `config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Config {
    /// `end` is the token whose place is pooled; `None` means the largest token, as files from before transformers 4.31 need.
    Clip {
        image: ImageConfig,
        text: TextConfig,
        embedding: usize,
        end: Option<u32>,
    },
    /// `embedding` is the text's; an image's is as wide as its tower.
    Siglip {
        image: ImageConfig,
        text: TextConfig,
        embedding: usize,
    },
    /// `bias`: whether queries, keys and values have one.
    Dinov2 {
        image: ImageConfig,
        bias: bool,
    },
    Bert {
        text: TextConfig,
        segments: usize,
    },
}

impl Config {
    /// The sizes that `config` gives for an encoder of `family`.
    ///
    /// # Errors
    /// A value of the wrong form, or one that asks for layers that are not built here.
    pub(crate) fn read(family: Family, config: &Value) -> Result<Self> {
        match family {
            Family::Clip => clip(config),
            Family::Siglip => siglip(config),
            Family::Dinov2 => dinov2(config),
            Family::Bert => bert(config),
            Family::Other => {
                Err(Error::unsupported("config.json", "layers in an ONNX file", "layers that are built here"))
            }
        }
    }

    /// Sizes of the image tower, if there is one.
    pub(crate) fn image(&self) -> Option<&ImageConfig> {
        match self {
            Self::Clip { image, .. } | Self::Siglip { image, .. } | Self::Dinov2 { image, .. } => Some(image),
            Self::Bert { .. } => None,
        }
    }

    /// Sizes of the text tower, if there is one.
    pub(crate) fn text(&self) -> Option<&TextConfig> {
        match self {
            Self::Clip { text, .. } | Self::Siglip { text, .. } | Self::Bert { text, .. } => Some(text),
            Self::Dinov2 { .. } => None,
        }
    }
}

/// Defaults of a stack: width, hidden, layers, heads, epsilon, activation.
type StackDefaults = (usize, usize, usize, usize, f64, Activation);

fn stack(section: Section, defaults: StackDefaults) -> Result<Stack> {
    let (width, hidden, layers, heads, epsilon, activation) = defaults;
    let stack = Stack {
        width: section.size("hidden_size", width)?,
        hidden: section.size("intermediate_size", hidden)?,
        layers: section.size("num_hidden_layers", layers)?,
        heads: section.size("num_attention_heads", heads)?,
        epsilon: section.positive("layer_norm_eps", epsilon)? as f32,
        activation: section.activation("hidden_act", activation)?,
    };
    if !stack.width.is_multiple_of(stack.heads) {
        let expected = format!("a multiple of its {} heads", stack.heads);
        return Err(Error::invalid("config.json, hidden_size", stack.width.to_string(), expected));
    }
    Ok(stack)
}

fn image(section: Section, stack: Stack, [side, patch]: [usize; 2]) -> Result<ImageConfig> {
    let image = ImageConfig {
        stack,
        channels: section.size("num_channels", 3)?,
        side: section.side("image_size", side)?,
        patch: section.side("patch_size", patch)?,
    };
    if image.channels != 3 {
        return Err(Error::unsupported("config.json, num_channels", image.channels.to_string(), "3"));
    }
    if image.patch > image.side {
        let expected = format!("at most image_size, {}", image.side);
        return Err(Error::invalid("config.json, patch_size", image.patch.to_string(), expected));
    }
    Ok(image)
}

fn text(section: Section, stack: Stack, [vocabulary, positions]: [usize; 2]) -> Result<TextConfig> {
    let vocabulary = section.size("vocab_size", vocabulary)?;
    Ok(TextConfig { stack, vocabulary, positions: section.size("max_position_embeddings", positions)? })
}

/// One tower's object. Files from before transformers 4.27 have a second one that takes the place of the first.
fn tower<'a>(config: &'a Value, key: &str) -> &'a Value {
    const NONE: &Value = &Value::Null;
    let object = |key: &str| config.get(key).filter(|value| value.is_object());
    object(&format!("{key}_dict")).or_else(|| object(key)).unwrap_or(NONE)
}

fn clip(config: &Value) -> Result<Config> {
    let top = Section::new(config, "config.json");
    let pictures = Section::new(tower(config, "vision_config"), "config.json, vision_config");
    let words = Section::new(tower(config, "text_config"), "config.json, text_config");
    let end = words.token("eos_token_id", 49_407)?;
    Ok(Config::Clip {
        image: image(pictures, stack(pictures, (768, 3072, 12, 12, 1e-5, Activation::QuickGelu))?, [224, 32])?,
        text: text(words, stack(words, (512, 2048, 12, 8, 1e-5, Activation::QuickGelu))?, [49_408, 77])?,
        embedding: top.size("projection_dim", 512)?,
        end: (end != 2).then_some(end),
    })
}

fn siglip(config: &Value) -> Result<Config> {
    let pictures = Section::new(tower(config, "vision_config"), "config.json, vision_config");
    let words = Section::new(tower(config, "text_config"), "config.json, text_config");
    pictures.only("vision_use_head", &json!(true))?;
    let defaults = (768, 3072, 12, 12, 1e-6, Activation::TanhGelu);
    let text = text(words, stack(words, defaults)?, [32_000, 64])?;
    Ok(Config::Siglip {
        image: image(pictures, stack(pictures, defaults)?, [224, 16])?,
        embedding: words.size("projection_size", text.stack.width)?,
        text,
    })
}

fn dinov2(config: &Value) -> Result<Config> {
    let top = Section::new(config, "config.json");
    top.only("use_swiglu_ffn", &json!(false))?;
    let mut blocks = stack(top, (768, 3072, 12, 12, 1e-6, Activation::Gelu))?;
    blocks.hidden = (blocks.width as f64 * top.positive("mlp_ratio", 4.0)?) as usize;
    Ok(Config::Dinov2 { image: image(top, blocks, [224, 14])?, bias: top.flag("qkv_bias", true)? })
}

fn bert(config: &Value) -> Result<Config> {
    let top = Section::new(config, "config.json");
    top.only("position_embedding_type", &json!("absolute"))?;
    top.only("is_decoder", &json!(false))?;
    let blocks = stack(top, (768, 3072, 12, 12, 1e-12, Activation::Gelu))?;
    Ok(Config::Bert { text: text(top, blocks, [30_522, 512])?, segments: top.size("type_vocab_size", 2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_siglip_file_names_almost_nothing() {
        let config = json!({"text_config": {"model_type": "siglip_text_model"}, "vision_config": {"image_size": 256}});
        let Config::Siglip { image, text, embedding } = Config::read(Family::Siglip, &config).unwrap() else {
            panic!()
        };
        assert_eq!((image.side, image.patch, image.stack.activation), (256, 16, Activation::TanhGelu));
        assert_eq!((text.vocabulary, text.positions, embedding), (32_000, 64, 768));
    }

    #[test]
    fn the_older_object_of_a_tower_takes_the_place_of_the_newer() {
        let config =
            json!({"text_config": {"hidden_size": 64, "eos_token_id": 2}, "text_config_dict": {"hidden_size": 128}});
        let Config::Clip { text, end, .. } = Config::read(Family::Clip, &config).unwrap() else { panic!() };
        assert_eq!((text.stack.width, end), (128, Some(49_407)));
        let Config::Clip { end, .. } =
            Config::read(Family::Clip, &json!({"text_config": {"eos_token_id": 2}})).unwrap()
        else {
            panic!()
        };
        assert_eq!(end, None);
    }

    #[test]
    fn errors_name_the_key() {
        let read = |family, config| Config::read(family, &config).unwrap_err().to_string();
        let error = read(Family::Clip, json!({"vision_config": {"hidden_size": "wide"}}));
        assert_eq!(error, "config.json, vision_config, hidden_size: found \"wide\", expected a whole number above 0");
        let error = read(Family::Dinov2, json!({"use_swiglu_ffn": true}));
        assert_eq!(error, "config.json, use_swiglu_ffn: found true, expected false");
        let error = read(Family::Bert, json!({"hidden_act": "swish"}));
        assert!(error.starts_with("config.json, hidden_act: found \"swish\", expected gelu, quick_gelu"), "{error}");
        let error = read(Family::Bert, json!({"num_attention_heads": 7}));
        assert_eq!(error, "config.json, hidden_size: found 768, expected a multiple of its 7 heads");
    }
}
