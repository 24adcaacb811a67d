//! What a run is made of: plain data with the paper's values as defaults; unknown keys are refused.
//!
//! The order of precedence is defaults < file < overrides (`--set train.epochs=5`); the resolved configuration is
//! stored in every run and every checkpoint.

mod difference;
mod imagine;
mod look;
mod matching;
mod paths;
mod renamed;
mod train;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use difference::Difference;
pub use gxn_base::Similarity;
pub use imagine::{CaptionConfig, ImageConfig, ImagineConfig, Injection, SIDE_PX};
pub use look::{
    FeatureTransform, ImageEncoderFolder, LookConfig, Pooling, SentenceConfig, TextEncoderFolder, Views, WordVectorFile,
};
pub use matching::{Levels, LossKind, MatchingConfig};
pub use paths::DataPlaces;
pub use renamed::former_stage_name;
pub(crate) use renamed::update_table;
pub use train::{Schedule, SelectBy, Stage, TrainConfig, Update};

use gxn_base::{Error, Remedy, Result};
use gxn_data::SourceOptions;

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Where images and captions come from.
    pub data: DataConfig,
    /// LOOK: backbone, features, encoders (spec §3–4).
    pub look: LookConfig,
    /// IMAGINE: the generators (spec §7).
    pub imagine: ImagineConfig,
    /// MATCH: similarity and loss (spec §5–6).
    pub matching: MatchingConfig,
    /// Optimisation (spec §9.3).
    pub train: TrainConfig,
}

/// Where images and captions come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The dataset: a file or folder of any supported format. May use `$NAME` for environment variables.
    pub source: String,
    /// How it is read; its keys stand in the same table.
    #[serde(flatten)]
    pub options: SourceOptions,
    /// Words seen fewer times in the train captions are unknown words. The paper keeps every word.
    pub min_count: usize,
    /// Number of train images to use, from the first (learning curves); 0 uses all.
    pub max_train_images: usize,
    /// Captions and texts to search for are read to this number of words (tokens), which bounds time and memory of a step;
    /// 0 reads all.
    pub max_tokens: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: String::new(),
            options: SourceOptions::default(),
            min_count: 1,
            max_train_images: 0,
            max_tokens: 60,
        }
    }
}

impl DataConfig {
    /// The number of words that are read of a text.
    pub fn token_limit(&self) -> usize {
        if self.max_tokens == 0 { usize::MAX } else { self.max_tokens }
    }
}

/// A configuration as TOML, and what errors call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigText {
    /// Its path, or the name of a recipe.
    pub name: String,
    /// TOML.
    pub text: String,
}

impl ConfigText {
    /// A file's text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
        Ok(Self { name: path.display().to_string(), text })
    }
}

impl RunConfig {
    /// Reads a TOML file; as [`RunConfig::parse`].
    ///
    /// # Errors
    /// Names the file, and the key that is unknown or has the wrong type.
    pub fn load(path: Option<&Path>, overrides: &[String]) -> Result<Self> {
        Self::parse(path.map(ConfigText::read).transpose()?.as_ref(), overrides)
    }

    /// The configuration that a checkpoint has. Those of before captions were cut keep them whole.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn load_stored(path: &Path) -> Result<Self> {
        Self::load_stored_with(path, &[])
    }

    /// The same with `overrides` on top.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn load_stored_with(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = ConfigText::read(path)?;
        let mut table = Self::table(Some(&text), overrides)?;
        let data = table.entry("data").or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(data) = data {
            data.entry("max_tokens").or_insert(0.into());
        }
        Self::from_table(table, &text.name)
    }

    /// The configuration of a text. `overrides` are `table.key=value` pairs applied on top, values in TOML syntax (bare
    /// words are taken as strings).
    ///
    /// # Errors
    /// Names the text, and the key that is unknown or has the wrong type.
    pub fn parse(text: Option<&ConfigText>, overrides: &[String]) -> Result<Self> {
        Self::from_table(Self::table(text, overrides)?, name_of(text))
    }

    /// The keys that a text and overrides give, before defaults and checks.
    pub(crate) fn table(text: Option<&ConfigText>, overrides: &[String]) -> Result<toml::Table> {
        let mut table = match text {
            Some(ConfigText { name, text }) => {
                let mut table = text
                    .parse::<toml::Table>()
                    .map_err(|e| Error::invalid(name.clone(), e.to_string().trim().to_string(), "a TOML file"))?;
                update_table(&mut table);
                table
            }
            None => toml::Table::new(),
        };
        for pair in overrides {
            check_override(pair)?;
            apply_override(&mut table, pair)?;
        }
        Ok(table)
    }

    /// The configuration in `table`; errors call it `name`.
    pub(crate) fn from_table(table: toml::Table, name: &str) -> Result<Self> {
        let config: Self = table.try_into().map_err(|e| not_of_configuration(name, &e))?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as TOML, every key written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("plain data always serialises")
    }

    /// The same with what a run of the configuration `stored` found of the pretrained encoders that both name: a configuration
    /// as it was written then equals the stored one.
    pub fn filled_from(mut self, stored: &Self) -> Self {
        self.look.fill_encoders(&stored.look);
        if self.matching.prior && stored.matching.prior {
            self.look.embed_dim = stored.look.embed_dim;
        }
        self
    }

    /// The key that sets the learning rate of an update, and its value.
    pub(crate) fn rate_of(&self, update: Update) -> (&'static str, f64) {
        let own = match update {
            Update::Match => None,
            Update::Caption => Some(("imagine.caption.learning_rate", self.imagine.caption.learning_rate)),
            Update::Discriminator | Update::Generator => {
                Some(("imagine.image.learning_rate", self.imagine.image.learning_rate))
            }
        };
        // 0 takes the run's.
        own.filter(|(_, rate)| *rate > 0.0).unwrap_or(("train.learning_rate", self.train.learning_rate))
    }

    /// Checks ranges that types cannot express.
    ///
    /// # Errors
    /// Names the key, the value found and the range expected.
    pub fn validate(&self) -> Result<()> {
        self.look.validate()?;
        self.matching.validate()?;
        self.imagine.validate()?;
        self.train.validate()?;
        let has_encoders = self.look.encoder.is_some() && self.look.sentence.encoder.is_some();
        require(
            has_encoders || !self.matching.prior,
            "matching.prior",
            "true",
            "false, unless look.encoder and look.sentence.encoder name one encoder of images and texts",
        )?;
        let stage = self.train.stage;
        require(
            !(stage.has(Update::Caption) || stage.has(Update::Generator)) || self.matching.levels == Levels::Both,
            "matching.levels",
            "abstract",
            "both: captions and images are generated from the grounded level",
        )
    }
}

/// Refuses the value `found` of a key unless the condition `holds`.
fn require(holds: bool, key: &str, found: impl std::fmt::Display, expected: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::invalid(format!("configuration key {key}"), found.to_string(), expected))
}

fn is_positive(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

/// Whether `p` is in [0, 1).
fn is_fraction(p: f64) -> bool {
    (0.0..1.0).contains(&p)
}

/// What errors call a configuration.
pub(crate) fn name_of(text: Option<&ConfigText>) -> &str {
    text.map_or("the configuration", |text| &text.name)
}

/// Replaces `$NAME`, `${NAME}` and a leading `~/` in a path of the configuration.
///
/// # Errors
/// Names a variable that is not set, and a brace that is not closed.
pub fn expand(path: &str) -> Result<PathBuf> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| {
            Error::invalid(
                format!("the path {path}"),
                format!("${name}, which is not set"),
                "a set environment variable",
            )
            .with_hint(format!("set the environment variable {name}"))
        })
    };
    let (mut out, mut rest) = match path.strip_prefix("~/") {
        Some(rest) => (format!("{}/", variable("HOME")?), rest),
        None => (String::new(), path),
    };
    while let Some((before, tail)) = rest.split_once('$') {
        out.push_str(before);
        let name;
        (name, rest) = match tail.strip_prefix('{') {
            Some(braced) => braced
                .split_once('}')
                .ok_or_else(|| Error::invalid(format!("the path {path}"), "`${`", "`}` behind the name"))?,
            None => {
                let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
                tail.split_at(end)
            }
        };
        // An empty name, or one with `=` or NUL, is none that could be set.
        out.push_str(&variable(name)?);
    }
    out.push_str(rest);
    Ok(PathBuf::from(out))
}

fn not_of_configuration(name: impl Into<String>, error: &toml::de::Error) -> Error {
    Error::invalid(name, error.to_string().trim().to_string(), "keys and types of a gxn configuration")
        .with_remedy(Remedy::ShowConfig)
}

/// Refuses a pair whose key is unknown or whose value has the wrong type. Keys that must come together are not missed here.
fn check_override(pair: &str) -> Result<()> {
    let mut alone = toml::Table::new();
    apply_override(&mut alone, pair)?;
    match alone.try_into::<RunConfig>() {
        Err(e) if !e.message().starts_with("missing field") => Err(not_of_configuration(override_name(pair), &e)),
        _ => Ok(()),
    }
}

fn override_name(pair: &str) -> String {
    format!("the override {pair:?}")
}

fn apply_override(table: &mut toml::Table, pair: &str) -> Result<()> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(Error::invalid(override_name(pair), "no `=`", "`table.key=value`"));
    };
    let (key, value) = (renamed::update_key(key.trim()), value.trim());
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
            Error::invalid(override_name(pair), format!("{part} is a value"), "a table before the last dot")
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
    fn options_of_the_source_stand_in_the_data_table() {
        let text = "[data]\nsource = \"x\"\nsplit_by = \"test\"\nmin_count = 3\n[data.csv]\nseparator = \";\"\n";
        let config: RunConfig = toml::from_str(text).unwrap();
        assert_eq!((config.data.min_count, config.data.options.csv.separator), (3, Some(';')));
        assert!(config.data.options.use_restval && config.data.options.split_by.is_some());
        assert_eq!(toml::from_str::<RunConfig>(&config.to_toml()).unwrap(), config);
        for key in ["data.image", "data.csv.picture"] {
            let error = RunConfig::load(None, &[format!("{key}=x")]).unwrap_err().to_string();
            assert!(error.contains(key.rsplit('.').next().unwrap()), "{error}");
        }
    }

    #[test]
    fn unknown_keys_and_bad_ranges_are_refused_by_name() {
        let unknown = RunConfig::load(None, &["train.epoch=3".into()]).unwrap_err().to_string();
        assert!(unknown.contains("epoch"), "{unknown}");
        let range = RunConfig::load(None, &["matching.lambda=1.5".into()]).unwrap_err().to_string();
        assert!(range.contains("matching.lambda") && range.contains("1.5"), "{range}");
        for pair in [
            "matching.temperature=0",
            "train.learning_rate=inf",
            "train.beta2=1",
            "train.decay_every_epochs=0",
            "imagine.image.load_px=63",
            "imagine.caption.gamma_to=1.1",
        ] {
            let error = RunConfig::load(None, &[pair.into()]).unwrap_err().to_string();
            assert!(error.contains(pair.split_once('=').unwrap().0), "{pair}: {error}");
        }
    }

    /// What only a CNN has is refused beside an encoder, and a prior without one encoder for both sides.
    #[test]
    fn keys_that_do_not_go_with_an_encoder_are_refused_by_name() {
        let read = |pairs: &[&str]| {
            let encoders = ["look.encoder.path=a", "look.sentence.encoder.path=a", "matching.similarity=cosine"];
            let pairs: Vec<String> = encoders.iter().chain(pairs).map(|pair| pair.to_string()).collect();
            RunConfig::load(None, &pairs)
        };
        let fine = read(&["matching.absolute=false", "matching.prior=true"]).unwrap();
        assert_eq!((fine.look.feature_dim(), RunConfig::default().look.feature_dim()), (0, 1280));
        for pair in [
            "look.finetune=true",
            "look.weights=w",
            "look.views=flip",
            "look.stretch=true",
            "look.side_px=64",
            "look.transform=sqrt_standardise",
            "matching.prior=true", // absolute values
        ] {
            let error = read(&[pair]).unwrap_err().to_string();
            assert!(error.contains(pair.split_once('=').unwrap().0), "{pair}: {error}");
        }
        let cosine = ["matching.prior=true", "matching.similarity=cosine", "matching.absolute=false"].map(String::from);
        let error = RunConfig::load(None, &cosine).unwrap_err().to_string();
        assert!(error.contains("look.sentence.encoder"), "{error}");
    }

    /// A resumed run may be given its configuration as it was written.
    #[test]
    fn what_a_run_found_of_its_encoders_is_filled_in() {
        let read = |path: &str| {
            RunConfig::load(None, &[format!("look.encoder.path={path}"), format!("look.sentence.encoder.path={path}")])
                .unwrap()
        };
        let mut stored = read("a");
        let found = ImageEncoderFolder { path: "a".into(), width: 5, fingerprint: "f".into() };
        stored.look.encoder = Some(found.clone());
        let filled = read("a").filled_from(&stored);
        assert_eq!(
            (filled.look.encoder, filled.look.sentence.encoder),
            (Some(found), stored.look.sentence.encoder.clone())
        );
        assert_eq!(read("b").filled_from(&stored), read("b"));
    }

    #[test]
    fn an_override_that_cannot_be_is_named_and_not_the_file() {
        let text = ConfigText { name: "own.toml".into(), text: "[look]\nembed_dim = 64".into() };
        let said = |pair: &str| RunConfig::parse(Some(&text), &[pair.into()]).unwrap_err().to_string();
        for pair in ["look.deep=1", "train.epochs=many"] {
            let said = said(pair);
            assert!(said.contains(pair) && !said.contains("own.toml"), "{said}");
        }
        assert!(said("train=3").contains("train=3"));
        let wrong = ConfigText { name: "own.toml".into(), text: "[look]\ndeep = 1".into() };
        assert!(
            RunConfig::parse(Some(&wrong), &["train.epochs=3".into()]).unwrap_err().to_string().contains("own.toml")
        );
    }

    /// Whatever stands in a file, an override or a path, there is an answer.
    #[test]
    fn any_text_gives_an_answer() {
        use proptest::prelude::*;
        const KEY: &str = "(data|look|train|matching|imagine|[a-z_.]{0,9})[.](source|max_words|max_tokens|[a-z_]{0,9})";
        let lines = format!("{KEY} = ?.{{0,20}}");
        proptest!(|(text in "\\PC{0,80}", line in &*lines, path in "[$~{}/:.a-z]{0,20}")| {
            for text in [text, line.clone(), format!("[data]\n{line}\n")] {
                if let Ok(config) = RunConfig::parse(Some(&ConfigText { name: "any".into(), text }), std::slice::from_ref(&line)) {
                    let written = ConfigText { name: "own".into(), text: config.to_toml() };
                    prop_assert_eq!(RunConfig::parse(Some(&written), &[]).unwrap(), config);
                }
            }
            let data = DataConfig { source: path.clone(), ..DataConfig::default() };
            let whole = RunConfig { data: data.clone(), ..RunConfig::default() }.with_absolute_paths();
            prop_assert_eq!(whole.clone().with_absolute_paths(), whole);
            let _ = (expand(&path), data.clone().located(&data.places_from(Path::new("runs/a")), Path::new("runs/a")));
        });
    }

    #[test]
    fn variables_and_the_home_folder_are_replaced() {
        let home = std::env::var("HOME").unwrap();
        for (path, expected) in [
            ("a/b.json", "a/b.json".to_string()),
            ("~/a", format!("{home}/a")),
            ("a~/b", "a~/b".into()),
            ("$HOME/a", format!("{home}/a")),
            ("x${HOME}y$HOME", format!("x{home}y{home}")),
        ] {
            assert_eq!(expand(path).unwrap(), PathBuf::from(expected), "{path}");
        }
        for (path, said) in
            [("${HOME", "`${`"), ("a$", "not set"), ("${}", "not set"), ("$NO_SUCH_NAME/a", "NO_SUCH_NAME")]
        {
            let error = expand(path).unwrap_err().to_string();
            assert!(error.contains(said), "{path}: {error}");
        }
    }
}
