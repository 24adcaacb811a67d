//! BERT's text tower (Devlin et al., 2019), by its names in transformers, pooled as sentence encoders do.

use std::path::{Path, PathBuf};

use gxn_base::{Error, Result};
use serde_json::Value;

use crate::config::TextConfig;
use crate::folder::{read_json, read_value};
use crate::kernel::Mask;
use crate::text_tower::{TextPooling, TextTower};
use crate::transformer::{Names, Order, Transformer, norm};
use crate::weights::Weights;

const NAMES: Names = Names {
    blocks: "encoder.layer",
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    qkv: ["attention.self.query", "attention.self.key", "attention.self.value"],
    out: "attention.output.dense",
    feed: ["intermediate.dense", "output.dense"],
    scales: None,
};

/// What `modules.json` holds.
const MODULES: &str = "a JSON list of modules";

/// The text tower. Every text is one segment, the first of `segments`.
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn texts(
    weights: &Weights,
    config: &TextConfig,
    segments: usize,
    pooling: TextPooling,
) -> Result<TextTower> {
    let (stack, width) = (&config.stack, config.stack.width);
    let segment = weights.values("embeddings.token_type_embeddings.weight", &[segments, width])?;
    let mut positions = weights.values("embeddings.position_embeddings.weight", &[config.positions, width])?;
    for row in positions.chunks_exact_mut(width) {
        row.iter_mut().zip(&segment).for_each(|(position, segment)| *position += segment);
    }
    Ok(TextTower {
        words: weights.tensor("embeddings.word_embeddings.weight", &[config.vocabulary, width])?,
        positions,
        before: Some(norm(weights, "embeddings.LayerNorm", stack)?),
        blocks: Transformer::read(weights, "", &NAMES, (stack, Order::NormLast, Mask::None, true))?,
        after: None,
        pooling,
        project: None,
        width,
    })
}

/// The pooling that the sentence encoder's `modules.json` and its pooling's `config.json` in `folder` name; the mean of all
/// tokens where there is no `modules.json`.
///
/// # Errors
/// Files that cannot be read; modules and poolings that are not built here.
pub(crate) fn pooling(folder: &Path) -> Result<TextPooling> {
    let path = folder.join("modules.json");
    if !path.exists() {
        return Ok(TextPooling::Mean);
    }
    let mut pooling = TextPooling::Mean;
    for module in read_value(&path, MODULES)?.as_array().into_iter().flatten() {
        let text = |key: &str| text_of(module, key);
        match text("type").rsplit('.').next() {
            Some("Pooling") => pooling = pooling_mode(&folder.join(text("path")).join("config.json"))?,
            // Embeddings are of length 1 in any case.
            Some("Transformer" | "Normalize") => (),
            _ => {
                let expected = "the modules Transformer, Pooling and Normalize";
                return Err(Error::unsupported(path.display().to_string(), format!("{:?}", text("type")), expected));
            }
        }
    }
    Ok(pooling)
}

/// The file that [`pooling`] reads beside `modules.json`, where there is one.
pub(crate) fn pooling_file(folder: &Path) -> Result<Option<PathBuf>> {
    let path = folder.join("modules.json");
    if !path.exists() {
        return Ok(None);
    }
    let modules = read_value(&path, MODULES)?;
    let is_pooling = |module: &&Value| text_of(module, "type").ends_with(".Pooling");
    let last = modules.as_array().into_iter().flatten().rfind(is_pooling);
    Ok(last.map(|module| folder.join(text_of(module, "path")).join("config.json")))
}

fn text_of<'a>(module: &'a Value, key: &str) -> &'a str {
    module.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn pooling_mode(path: &Path) -> Result<TextPooling> {
    const MODES: [(&str, TextPooling); 4] = [
        ("pooling_mode_cls_token", TextPooling::First),
        ("pooling_mode_mean_tokens", TextPooling::Mean),
        ("pooling_mode_max_tokens", TextPooling::Max),
        // A mean over the root of the length: the same after scaling to length 1.
        ("pooling_mode_mean_sqrt_len_tokens", TextPooling::Mean),
    ];
    let config = read_json(path)?;
    let on = |(key, value): (&String, &Value)| (key.starts_with("pooling_mode_") && value == true).then(|| key.clone());
    let found: Vec<_> = config.as_object().into_iter().flatten().filter_map(on).collect();
    // Newer files name one mode in place of a flag for each.
    let named = config.get("pooling_mode").and_then(Value::as_str).map(|mode| format!("pooling_mode_{mode}"));
    let found = named.map_or(found, |mode| vec![mode]);
    let mode = MODES.iter().find(|(key, _)| {
        found.len() == 1 && (found[0] == *key || found[0] == key.trim_end_matches("_tokens").trim_end_matches("_token"))
    });
    mode.map(|(_, pooling)| *pooling).ok_or_else(|| {
        let expected = "one of pooling_mode_cls_token, _mean_tokens, _max_tokens and _mean_sqrt_len_tokens";
        Error::unsupported(path.display().to_string(), format!("{found:?} on"), expected)
    })
}
