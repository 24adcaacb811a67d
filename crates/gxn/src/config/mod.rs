//! What a run is made of: plain data with the paper's values as defaults; unknown keys are refused.
//!
//! The order of precedence is defaults < file < overrides (`--set train.epochs=5`); the resolved configuration is
//! stored in every run and every checkpoint.

mod look;
mod matching;
mod train;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use look::{FeatureTransform, LookConfig, Pooling, SentenceConfig, Views, WordVectors};
pub use matching::{Level, LossKind, MatchingConfig, SimilarityKind};
pub use train::{Schedule, TrainConfig};

use crate::{Error, Result};

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Where pictures and captions come from.
    pub data: DataConfig,
    /// LOOK: backbone, features, encoders (spec §3–4).
    pub look: LookConfig,
    /// MATCH: similarity and loss (spec §5–6).
    pub matching: MatchingConfig,
    /// Optimisation (spec §9.3).
    pub train: TrainConfig,
}

/// Where pictures and captions come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The data set: a file or folder of any supported format. May use `$NAME` for environment variables.
    pub source: String,
    /// Folder of the pictures, when it is not beside the source.
    pub images: Option<PathBuf>,
    /// Gives splits anew by content, in place of those in the source, such as "hash:0.9/0.05/0.05".
    pub split_by: Option<crate::data::SplitBy>,
    /// Read Karpathy's `restval` images as train.
    pub use_restval: bool,
    /// Words seen fewer times in the train captions are unknown words. The paper keeps every word.
    pub min_count: usize,
    /// Use only the first so many train images (learning curves); 0 uses all.
    pub max_train_images: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: String::new(),
            images: None,
            split_by: None,
            use_restval: true,
            min_count: 1,
            max_train_images: 0,
        }
    }
}

impl RunConfig {
    /// Reads a TOML file. `overrides` are `table.key=value` pairs applied on top, values in TOML syntax (bare words
    /// are taken as strings).
    ///
    /// # Errors
    /// Names the file, and the key that is unknown or has the wrong type.
    pub fn load(path: Option<&Path>, overrides: &[String]) -> Result<Self> {
        let mut table = match path {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
                text.parse::<toml::Table>().map_err(|e| not_toml(path, &e))?
            }
            None => toml::Table::new(),
        };
        for pair in overrides {
            apply_override(&mut table, pair)?;
        }
        let place = path.map_or_else(|| "the configuration".to_string(), |p| p.display().to_string());
        let config: Self = table.try_into().map_err(|e: toml::de::Error| {
            Error::unexpected(place, e.to_string().trim().to_string(), "keys and types of a gxn configuration")
                .with_hint("`gxn train --print-config` prints every key with its default")
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as TOML, every key written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("plain data always serialises")
    }

    /// Checks ranges that types cannot express.
    ///
    /// # Errors
    /// Names the key, the value found and the range expected.
    pub fn validate(&self) -> Result<()> {
        let check = |holds: bool, key: &str, found: String, expected: &str| {
            if holds { Ok(()) } else { Err(Error::unexpected(format!("configuration key {key}"), found, expected)) }
        };
        let unit = |p: f64| (0.0..1.0).contains(&p);
        let t = &self.train;
        let m = &self.matching;
        check(
            t.batch_size >= 2,
            "train.batch_size",
            t.batch_size.to_string(),
            "at least 2 (a batch is its own negatives)",
        )?;
        check(t.learning_rate > 0.0, "train.learning_rate", t.learning_rate.to_string(), "a number above 0")?;
        check(unit(t.ema_decay), "train.ema_decay", t.ema_decay.to_string(), "a number in [0, 1)")?;
        check((0.0..=1.0).contains(&m.lambda), "matching.lambda", m.lambda.to_string(), "a number in [0, 1]")?;
        check(m.margin > 0.0, "matching.margin", m.margin.to_string(), "a number above 0")?;
        check(
            unit(self.look.feature_dropout),
            "look.feature_dropout",
            self.look.feature_dropout.to_string(),
            "a number in [0, 1)",
        )?;
        let s = &self.look.sentence;
        for (key, p) in [
            ("word_dropout", s.word_dropout),
            ("state_dropout", s.state_dropout),
            ("unknown_word_rate", s.unknown_word_rate),
        ] {
            check(unit(p), &format!("look.sentence.{key}"), p.to_string(), "a number in [0, 1)")?;
        }
        check(self.look.embed_dim > 0 && s.hidden > 0 && s.word_dim > 0, "look widths", "0".into(), "at least 1")?;
        Ok(())
    }
}

/// Replaces `$NAME` and a leading `~/` in a path of the configuration.
///
/// # Errors
/// Names a variable that is not set.
pub fn expand(path: &str) -> Result<PathBuf> {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let braced = tail.starts_with('{');
        let name: String =
            tail.chars().skip(usize::from(braced)).take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let value = std::env::var(&name).map_err(|_| {
            Error::unexpected(
                format!("the path {path}"),
                format!("${name}, which is not set"),
                "a set environment variable",
            )
            .with_hint(format!("export {name}=… and run the command again"))
        })?;
        out.push_str(&value);
        rest = &tail[name.len() + if braced { 2 } else { 0 }..];
    }
    out.push_str(rest);
    Ok(PathBuf::from(out))
}

fn not_toml(path: &Path, e: &toml::de::Error) -> Error {
    Error::unexpected(path.display().to_string(), e.to_string().trim().to_string(), "a TOML file")
}

fn apply_override(table: &mut toml::Table, pair: &str) -> Result<()> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(Error::unexpected(format!("the override {pair:?}"), "no `=`", "`table.key=value`"));
    };
    let (key, value) = (key.trim(), value.trim());
    let parsed = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_string()));
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let mut here = table;
    for part in parts {
        let entry = here.entry(part.to_string()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = entry.as_table_mut().ok_or_else(|| {
            Error::unexpected(
                format!("the override {pair:?}"),
                format!("{part} is a value"),
                "a table before the last dot",
            )
        })?;
    }
    here.insert(last.to_string(), parsed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_papers_and_survive_a_round_trip() {
        let config = RunConfig::default();
        assert_eq!((config.matching.margin, config.matching.lambda), (0.05, 0.5));
        assert_eq!((config.train.batch_size, config.train.learning_rate), (128, 2e-4));
        let back: RunConfig = toml::from_str(&config.to_toml()).unwrap();
        assert_eq!(back, config);
    }

    #[test]
    fn overrides_reach_nested_keys_and_bare_words_are_strings() {
        let set = ["train.epochs=3", "matching.loss=hardest", "look.sentence.hidden=64"].map(String::from);
        let config = RunConfig::load(None, &set).unwrap();
        assert_eq!((config.train.epochs, config.look.sentence.hidden), (3, 64));
        assert_eq!(config.matching.loss, LossKind::Hardest);
    }

    #[test]
    fn unknown_keys_and_bad_ranges_are_refused_by_name() {
        let unknown = RunConfig::load(None, &["train.epoch=3".into()]).unwrap_err().to_string();
        assert!(unknown.contains("epoch"), "{unknown}");
        let range = RunConfig::load(None, &["matching.lambda=1.5".into()]).unwrap_err().to_string();
        assert!(range.contains("matching.lambda") && range.contains("1.5"), "{range}");
    }
}
