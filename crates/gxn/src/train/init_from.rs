//! Runs that are initialised from another one.

use crate::checkpoint::{Ancestor, Checkpoint, fingerprint_of, resolve};
use crate::config::{ConfigText, Difference, RunConfig, expand, name_of};
use gxn_base::{Error, Remedy, Result};

/// The tables that a run takes over from the one that it is initialised from.
const INHERITED: [&str; 4] = ["data", "look", "matching", "imagine"];

/// The configuration of a run: file and overrides, over the tables `data`, `look`, `matching` and `imagine` of the
/// checkpoint that `train.init_from` names, if it names one.
///
/// # Errors
/// As [`RunConfig::load`], and when there is no such checkpoint.
pub fn configuration(text: Option<&ConfigText>, overrides: &[String]) -> Result<RunConfig> {
    let table = RunConfig::table(text, overrides)?;
    let named = table.get("train").and_then(|train| train.get("init_from")).and_then(toml::Value::as_str);
    let Some(named) = named else { return RunConfig::from_table(table, name_of(text)) };
    let stored = resolve(&expand(named)?)?.join("config.toml");
    let mut base = RunConfig::table(Some(&ConfigText::read(&stored)?), &[])?;
    base.retain(|key, _| INHERITED.contains(&key));
    merge(&mut base, table);
    RunConfig::from_table(base, name_of(text))
}

/// Puts every value of `over` into `base`; tables are merged.
pub(crate) fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => merge(inner, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The checkpoint that `config` is initialised from, and it at the end of its own ancestry.
///
/// # Errors
/// As [`Checkpoint::load`]; and when a stage that continues a decoder finds none.
pub(super) fn initial_checkpoint(
    config: &RunConfig,
    device: &burn::tensor::Device,
) -> Result<Option<(Checkpoint, Vec<Ancestor>)>> {
    let Some(named) = &config.train.init_from else { return Ok(None) };
    let folder = resolve(&expand(named)?)?;
    let folder = std::fs::canonicalize(&folder).map_err(|e| Error::io("cannot open", &folder, e))?;
    let start = Checkpoint::load(&folder, device)?;
    if config.train.stage.is_rewarded() && start.model.caption_decoder.is_none() {
        return Err(Error::unsupported(
            format!("train.init_from = {named}"),
            format!("a model of stage {} without caption decoder", start.config.train.stage.name()),
            "a run of stage i2t_xe, since reinforcement begins with a trained decoder (paper §3.3)",
        )
        .with_remedy(Remedy::TrainCaptions));
    }
    require_same_look(config, &start.config, named)?;
    let mut ancestry = start.card.ancestry.clone();
    ancestry.push(Ancestor {
        stage: start.config.train.stage,
        steps: start.card.step,
        match_steps: start.card.match_steps.unwrap_or(start.card.step),
        fingerprint: fingerprint_of(&folder)?,
    });
    Ok(Some((start, ancestry)))
}

/// Refuses another CNN, or another transform of its features, than those whose weights and moments the run takes over.
fn require_same_look(config: &RunConfig, start: &RunConfig, named: &str) -> Result<()> {
    let has_cnn = config.look.encoder.is_none() && start.look.encoder.is_none();
    let counts = |key: &str| key == "look.transform" || has_cnn && key == "look.backbone";
    let Some(found) = config.differences(start).into_iter().find(|difference| counts(&difference.key)) else {
        return Ok(());
    };
    let Difference { key, own, other } = found;
    let expected = format!("{other}, as the run train.init_from = {named} has it");
    Err(Error::conflict(format!("configuration key {key}"), own, expected).with_hint(format!(
        "--set {key}={} keeps it; a run with another one begins without --init-from",
        other.trim_matches('"')
    )))
}

/// The checkpoint that `train.merge_from` names, which has to fit the first one.
///
/// # Errors
/// As [`Checkpoint::load`]; when words differ, or it has no generator.
pub(super) fn merged_checkpoint(
    config: &RunConfig,
    first: Option<&Checkpoint>,
    device: &burn::tensor::Device,
) -> Result<Option<Checkpoint>> {
    let (Some(named), Some(first)) = (&config.train.merge_from, first) else { return Ok(None) };
    let merged = Checkpoint::load(&resolve(&expand(named)?)?, device)?;
    let what = format!("train.merge_from = {named}");
    if merged.model.image_generator.is_none() {
        let found = format!("a model of stage {} without generator", merged.config.train.stage.name());
        return Err(Error::unsupported(what, found, "a run of stage t2i").with_remedy(Remedy::TrainGenerator));
    }
    if merged.vocabulary != first.vocabulary {
        return Err(Error::conflict(what, "another vocabulary", "the words of train.init_from")
            .with_hint("both runs have to come from one Look + Match run"));
    }
    Ok(Some(merged))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cnn_or_transform_than_the_starts_is_refused() {
        let start = RunConfig::default();
        require_same_look(&start, &start, "runs/a").unwrap();
        for (pair, hint) in [
            ("look.backbone=efficientnet_lite0", "--set look.backbone=efficientnet_lite2 keeps it"),
            ("look.transform=standardise", "--set look.transform=l2 keeps it"),
        ] {
            let other = RunConfig::parse(None, &[pair.into()]).unwrap();
            let error = require_same_look(&other, &start, "runs/a").unwrap_err();
            assert!(error.hint().unwrap().contains(hint), "{error:?}");
        }
        let other = RunConfig::parse(None, &["look.side_px=128".into(), "train.epochs=3".into()]).unwrap();
        require_same_look(&other, &start, "runs/a").unwrap();
    }

    #[test]
    fn tables_are_merged_key_by_key() {
        let mut base: toml::Table = "[look]\na = 1\nb = 2\n[look.c]\nd = 3".parse().unwrap();
        merge(&mut base, "[look]\nb = 5\n[look.c]\ne = 4\n[train]\nf = 6".parse().unwrap());
        let expected: toml::Table = "[look]\na = 1\nb = 5\n[look.c]\nd = 3\ne = 4\n[train]\nf = 6".parse().unwrap();
        assert_eq!(base, expected);
    }
}
