//! [`AblationPlan`]: several stages from one file, each with a control that takes as many Match steps without generating.
//!
//! The file is a run's configuration, whose tables are the defaults of all stages, with one `[[stage]]` per stage:
//!
//! ```toml
//! [data]
//! source = "captions.json"
//!
//! [[stage]]
//! name = "look_match"
//! train = { epochs = 12 }
//!
//! [[stage]]
//! name = "i2t_xe"
//! init_from = "look_match"
//! train = { stage = "i2t_xe", epochs = 8 }
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::{ConfigText, RunConfig, Stage, update_table};
use crate::train::init_from::merge;
use gxn_base::{Error, Result};

/// What is added to the name of a stage's control.
const CONTROL: &str = "-control";

/// A stage or a control.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name, and that of its runs' folders.
    pub name: String,
    /// Place in the plan of the variant that it starts from.
    pub start: Option<usize>,
    /// Place of the variant that is merged into that.
    pub merge: Option<usize>,
    /// Place of the variant that takes as many Match steps without generating; its own where it does not generate.
    pub control: usize,
    /// Whether it was added to the file's stages as a control.
    pub is_control: bool,
    table: toml::Table,
}

/// All variants, each after those that it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationPlan {
    /// The variants.
    pub variants: Vec<Variant>,
}

/// A `[[stage]]` of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(alias = "start_from")]
    init_from: Option<String>,
    merge_from: Option<String>,
    #[serde(default)]
    data: toml::Table,
    #[serde(default)]
    look: toml::Table,
    #[serde(default)]
    matching: toml::Table,
    #[serde(default)]
    imagine: toml::Table,
    #[serde(default)]
    train: toml::Table,
}

/// One line for each variant: its name, what it starts from, and its control.
impl fmt::Display for AblationPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |at: usize| &self.variants[at].name;
        for (at, variant) in self.variants.iter().enumerate() {
            write!(out, "{}", variant.name)?;
            if let Some(start) = variant.start {
                write!(out, ", from {}", name(start))?;
            }
            if let Some(merged) = variant.merge {
                write!(out, " and {}", name(merged))?;
            }
            if variant.control != at {
                write!(out, ", control {}", name(variant.control))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl AblationPlan {
    /// The plan of a text; `overrides` are `table.key=value` pairs on top of the common tables.
    ///
    /// # Errors
    /// When the text is not TOML, a stage has an unknown key or name, or a configuration is wrong.
    pub fn read(text: &ConfigText, overrides: &[String]) -> Result<Self> {
        let mut base = RunConfig::table(Some(text), overrides)?;
        let place = text.name.as_str();
        let Some(toml::Value::Array(stages)) = base.remove("stage") else {
            return Err(Error::invalid(place, "no [[stage]]", "one [[stage]] for each stage of the ablation"));
        };
        let mut variants: Vec<Variant> = Vec::new();
        for stage in stages {
            let entry: Entry = stage.try_into().map_err(|e: toml::de::Error| {
                Error::invalid(format!("a [[stage]] of {place}"), e.to_string().trim().to_string(), "a stage's keys")
            })?;
            let find = |name: &Option<String>| -> Result<Option<usize>> {
                let Some(name) = name else { return Ok(None) };
                let found = variants.iter().position(|variant: &Variant| variant.name == *name);
                found.map(Some).ok_or_else(|| {
                    let known: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).collect();
                    let what = format!("stage {} of {place}", entry.name);
                    Error::invalid(what, format!("{name:?}"), format!("an earlier stage: {}", known.join(", ")))
                })
            };
            let (start, merged) = (find(&entry.init_from)?, find(&entry.merge_from)?);
            let bad_name =
                entry.name.is_empty() || entry.name.contains(['/', '\\', '.']) || entry.name.ends_with(CONTROL);
            if bad_name || variants.iter().any(|variant| variant.name == entry.name) {
                return Err(Error::invalid(
                    format!("a [[stage]] of {place}"),
                    format!("the name {:?}", entry.name),
                    "a new name that can be a folder",
                ));
            }
            let mut table = base.clone();
            for (key, own) in [
                ("data", entry.data),
                ("look", entry.look),
                ("matching", entry.matching),
                ("imagine", entry.imagine),
                ("train", entry.train),
            ] {
                let mut own = toml::Table::from_iter([(key.to_string(), toml::Value::Table(own))]);
                update_table(&mut own);
                merge(&mut table, own);
            }
            let own = variants.len();
            variants.push(Variant { name: entry.name, start, merge: merged, control: own, is_control: false, table });
            let config = config_of(&variants[own], Some("start"), merged.map(|_| "merge"), place)?;
            if let Some(control) = control_of(&variants, own, &config) {
                match control {
                    Control::Is(at) => variants[own].control = at,
                    Control::New(variant) => {
                        variants[own].control = variants.len();
                        variants.push(Variant { control: variants.len(), ..*variant });
                    }
                }
            }
        }
        Ok(Self { variants })
    }

    /// The folder of a variant's run with a seed.
    pub fn run(&self, variant: usize, logs: &Path, seed: u64) -> PathBuf {
        logs.join(format!("seed{seed}")).join(&self.variants[variant].name)
    }

    /// The configuration of a variant's run with a seed.
    ///
    /// # Errors
    /// As [`RunConfig::validate`].
    pub fn config(&self, variant: usize, logs: &Path, seed: u64) -> Result<RunConfig> {
        let at = |other: Option<usize>| other.map(|other| self.run(other, logs, seed).display().to_string());
        let (start, merged) = (at(self.variants[variant].start), at(self.variants[variant].merge));
        let mut config = config_of(&self.variants[variant], start.as_deref(), merged.as_deref(), "the plan")?;
        config.train.seed = seed;
        config.validate()?;
        Ok(config)
    }
}

fn config_of(variant: &Variant, start: Option<&str>, merged: Option<&str>, name: &str) -> Result<RunConfig> {
    let mut table = variant.table.clone();
    let train = table.entry("train").or_insert_with(|| toml::Table::new().into());
    if let toml::Value::Table(train) = train {
        if let (Some(start), true) = (start, variant.start.is_some()) {
            train.insert("init_from".into(), start.into());
        }
        if let Some(merged) = merged {
            train.insert("merge_from".into(), merged.into());
        }
    }
    RunConfig::from_table(table, name)
}

/// Where a variant's control is.
enum Control {
    Is(usize),
    New(Box<Variant>),
}

/// The control of variant `own`; none where the variant does not generate.
fn control_of(variants: &[Variant], own: usize, config: &RunConfig) -> Option<Control> {
    let t = &config.train;
    if t.stage == Stage::Match {
        return None;
    }
    // The side with more Match steps behind it; the first of two equal ones.
    let parents = [variants[own].start, variants[own].merge];
    let parent =
        parents.into_iter().flatten().reduce(|a, b| if budget(variants, b) > budget(variants, a) { b } else { a })?;
    let before = variants[parent].control;
    if t.stage.match_updates() == 0 {
        return Some(Control::Is(before));
    }
    let matched = match_epochs(config);
    let mut table = variants[own].table.clone();
    let changes = [
        ("stage", toml::Value::from("match")),
        ("epochs", toml::Value::from(matched as i64)),
        ("match_epochs", toml::Value::from(0)),
    ];
    if let toml::Value::Table(train) = table.entry("train").or_insert_with(|| toml::Table::new().into()) {
        train.extend(changes.map(|(key, value)| (key.to_string(), value)));
        if train.get("select_by").and_then(toml::Value::as_str) == Some("cider") {
            train.insert("select_by".into(), "rsum".into());
        }
    }
    Some(Control::New(Box::new(Variant {
        name: format!("{}{CONTROL}", variants[own].name),
        start: Some(before),
        merge: None,
        control: 0,
        is_control: true,
        table,
    })))
}

/// Passes over the train captions in which Eq. 3 is followed.
fn match_epochs(config: &RunConfig) -> usize {
    let t = &config.train;
    let alone = t.match_epochs.min(t.epochs);
    alone + (t.epochs - alone) * t.stage.match_updates()
}

/// Match epochs along a variant's longest ancestry behind the first stage.
fn budget(variants: &[Variant], variant: usize) -> usize {
    let parents = [variants[variant].start, variants[variant].merge];
    let Some(before) = parents.into_iter().flatten().map(|parent| budget(variants, parent)).max() else { return 0 };
    let placeholder = |at: Option<usize>| at.map(|_| "x");
    let config = config_of(
        &variants[variant],
        placeholder(variants[variant].start),
        placeholder(variants[variant].merge),
        "the plan",
    );
    before + config.map_or(0, |config| match_epochs(&config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<AblationPlan> {
        let text = ConfigText { name: "a.toml".into(), text: text.into() };
        AblationPlan::read(&text, &["train.batch_size=32".into()])
    }

    const WHOLE: &str = r#"
        [data]
        source = "x.json"
        [[stage]]
        name = "base"
        train = { epochs = 3 }
        [[stage]]
        name = "xe"
        init_from = "base"
        train = { stage = "i2t_xe", epochs = 2 }
        [[stage]]
        name = "mix"
        init_from = "xe"
        train = { stage = "i2t_mix", epochs = 4 }
        [[stage]]
        name = "alone"
        start_from = "base"
        train = { stage = "t2i_pretrain", epochs = 9 }
        [[stage]]
        name = "t2i"
        start_from = "alone"
        train = { stage = "t2i", epochs = 5 }
        [[stage]]
        name = "joint"
        start_from = "mix"
        merge_from = "t2i"
        train = { stage = "joint", epochs = 3, match_epochs = 1 }
    "#;

    #[test]
    fn every_variant_has_a_control_with_as_many_match_steps() {
        let plan = plan(WHOLE).unwrap();
        let names: Vec<&str> = plan.variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(
            names,
            ["base", "xe", "xe-control", "mix", "mix-control", "alone", "t2i", "t2i-control", "joint", "joint-control"]
        );
        for (at, variant) in plan.variants.iter().enumerate() {
            assert_eq!(budget(&plan.variants, at), budget(&plan.variants, variant.control), "{}", variant.name);
        }
        let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
        assert_eq!(plan.variants[at("alone")].control, at("base"));
        assert_eq!(plan.variants[at("t2i-control")].start, Some(at("base")));
        assert_eq!(plan.variants[at("mix-control")].start, Some(at("xe-control")));
        // mix has 2 + 4 epochs behind it, t2i 5: the control of joint continues that of mix, for 1 + 2 · 2 epochs.
        assert_eq!(plan.variants[at("joint-control")].start, Some(at("mix-control")));
        let logs = Path::new("logs");
        let joint = plan.config(at("joint"), logs, 2).unwrap();
        assert_eq!((joint.train.seed, joint.train.batch_size), (2, 32));
        assert_eq!(joint.train.init_from.as_deref(), Some("logs/seed2/mix"));
        assert_eq!(joint.train.merge_from.as_deref(), Some("logs/seed2/t2i"));
        let control = plan.config(at("joint-control"), logs, 2).unwrap();
        assert_eq!((control.train.stage, control.train.epochs, control.train.merge_from), (Stage::Match, 5, None));
    }

    #[test]
    fn wrong_plans_are_refused_by_name() {
        let refused = |text: &str| plan(text).unwrap_err().to_string();
        assert!(refused("[data]\nsource = \"x\"").contains("no [[stage]]"));
        assert!(refused("[[stage]]\nname = \"a\"\ninit_from = \"b\"").contains("an earlier stage"));
        assert!(refused("[[stage]]\nname = \"a\"\n[[stage]]\nname = \"a\"").contains("a new name"));
        assert!(refused("[[stage]]\nname = \"../a\"").contains("a new name"));
        assert!(refused("[[stage]]\nname = \"a\"\nepochs = 3").contains("epochs"));
        assert!(refused("[[stage]]\nname = \"a\"\ntrain = { epoch = 3 }").contains("epoch"));
    }
}
