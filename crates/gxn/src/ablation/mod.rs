//! An ablation: the stages of a plan and their controls, each trained with several seeds, measured and compared.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | [`AblationPlan`]: variants and their controls, from one file |
//! | [`measure`] | what is measured of a finished run |

pub mod measure;
pub mod plan;

use std::path::{Path, PathBuf};

pub use measure::RunMeter;
pub use plan::{AblationPlan, Variant};

use crate::config::RunConfig;
use crate::train::preflight::{check_inputs, check_start, check_writable};
use crate::train::{Outcome, ResumeOptions, TrainObserver, Trainer};
use gxn_base::fs::write_text;
use gxn_base::{Error, Progress, Result};
use gxn_data::Split;
use gxn_eval::metrics::Bootstrap;
use gxn_eval::{AblationTable, VariantResult, VariantResults};

/// A plan with seeds, a folder and the split that its table is about.
#[derive(Debug, Clone, Copy)]
pub struct Ablation<'a> {
    /// The variants.
    pub plan: &'a AblationPlan,
    /// Seeds 1 to this number.
    pub seeds: u64,
    /// Folder of the runs and of the tables.
    pub logs: &'a Path,
    /// The split that is measured.
    pub split: Split,
}

/// A run that is to be trained to its end.
#[derive(Debug)]
pub struct TrainingJob<'a> {
    /// The variant's name.
    pub name: &'a str,
    /// The seed.
    pub seed: u64,
    /// Folder of the run.
    pub run: &'a Path,
    /// The run's configuration.
    pub config: RunConfig,
    /// Whether the run was begun and is to be continued.
    pub resume: bool,
}

impl TrainingJob<'_> {
    /// Trains the run to its end. `features` is the folder of cached features.
    ///
    /// # Errors
    /// As [`Trainer::new`], [`Trainer::resume`] and [`Trainer::run`].
    pub fn train(self, features: &Path, observer: &dyn TrainObserver) -> Result<Outcome> {
        let mut trainer = if self.resume {
            let options = ResumeOptions { device: Some(self.config.train.device), data: None };
            Trainer::resume_with(self.run, &options, features, observer)?
        } else {
            Trainer::new(self.config, self.run, features, observer)?
        };
        trainer.run(observer)
    }
}

impl Ablation<'_> {
    /// Trains and measures what is missing, then writes the tables into `logs`. Finished runs are not repeated. `train` is
    /// how a run is trained, usually [`TrainingJob::train`].
    ///
    /// # Errors
    /// When a run was made by another plan, or training or measuring fails. When it is interrupted, the next call continues.
    pub fn run(
        &self,
        progress: &dyn Progress,
        mut train: impl FnMut(TrainingJob) -> Result<Outcome>,
    ) -> Result<AblationTable> {
        self.check_inputs()?;
        let mut meter = RunMeter::default();
        let mut variants: Vec<VariantResults> = (self.plan.variants.iter())
            .map(|variant| VariantResults { name: variant.name.clone(), control: variant.control, runs: Vec::new() })
            .collect();
        for seed in 1..=self.seeds {
            for (at, variant) in variants.iter_mut().enumerate() {
                let run = self.plan.run(at, self.logs, seed);
                let file = self.result_file(&run);
                let config = self.plan.config(at, self.logs, seed)?;
                same_plan(&run, &config)?;
                if !file.is_file() {
                    let resume = run.join("last").exists();
                    let device = config.train.device.open()?;
                    train(TrainingJob { name: &variant.name, seed, run: &run, config, resume })?;
                    // Written last and at once: its presence means that the run is finished and measured.
                    meter.measure(&run, self.split, &device, progress)?.write(&file)?;
                }
                variant.runs.push(VariantResult::read(&file)?);
                if progress.cancelled() {
                    return Err(Error::interrupted());
                }
            }
        }
        let table = AblationTable::new(&variants, Bootstrap::default())?;
        self.write(&table)?;
        Ok(table)
    }

    /// Opens what the stages of the plan read, also the last ones', before the first is trained.
    fn check_inputs(&self) -> Result<()> {
        check_writable(self.logs)?;
        let mut checked: Vec<RunConfig> = Vec::new();
        let is_measured = |at: usize, seed| self.result_file(&self.plan.run(at, self.logs, seed)).is_file();
        for (at, variant) in self.plan.variants.iter().enumerate() {
            if (1..=self.seeds).all(|seed| is_measured(at, seed)) {
                continue;
            }
            let config = self.plan.config(at, self.logs, 1)?;
            let outside = |of_plan: Option<usize>, path: &Option<String>| path.clone().filter(|_| of_plan.is_none());
            let train = &config.train;
            let starts = [outside(variant.start, &train.init_from), outside(variant.merge, &train.merge_from)];
            starts.into_iter().flatten().try_for_each(|path| check_start(&path))?;
            let reads = |other: &RunConfig| (&other.data, &other.look) == (&config.data, &config.look);
            if !checked.iter().any(reads) {
                check_inputs(&config)?;
                checked.push(config);
            }
        }
        Ok(())
    }

    fn result_file(&self, run: &Path) -> PathBuf {
        run.join(format!("ablation_{}.json", self.split))
    }

    /// The files of the table in `logs`, by their endings.
    fn write(&self, table: &AblationTable) -> Result<()> {
        let json = serde_json::to_value(table)
            .map_err(|error| Error::invalid("the table", error.to_string(), "numbers fit for JSON"))?;
        for (ending, text) in [("md", table.markdown()), ("html", table.html()), ("json", format!("{json:#}\n"))] {
            write_text(&self.logs.join(format!("ablation_{}.{ending}", self.split)), &text)?;
        }
        Ok(())
    }
}

/// Refuses a run that another plan made or began.
fn same_plan(run: &Path, planned: &RunConfig) -> Result<()> {
    let file = run.join("config.toml");
    if !file.is_file() {
        return Ok(());
    }
    let stored = RunConfig::load(Some(&file), &[])?;
    let differences = planned.clone().with_absolute_paths().filled_from(&stored).differences(&stored);
    if differences.is_empty() {
        return Ok(());
    }
    let found: Vec<String> = differences.iter().map(|d| format!("{} = {} and not {}", d.key, d.other, d.own)).collect();
    let what = format!("the run {}", run.display());
    Err(Error::conflict(what, found.join(", "), "the plan's configuration")
        .with_hint("restore the plan, or move this run away with its control and all runs that start from it: they are trained again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ImageEncoderFolder;

    /// A run stores what it found of its encoder; the plan knows its folder only.
    #[test]
    fn a_plan_with_an_encoder_goes_on_with_its_runs() {
        let folder = tempfile::tempdir().unwrap();
        let encoder = |width, fingerprint: &str| {
            let path = folder.path().join("clip").display().to_string();
            Some(ImageEncoderFolder { path, width, fingerprint: fingerprint.into() })
        };
        let mut planned = RunConfig::default();
        planned.look.encoder = encoder(0, "");
        let mut stored = planned.clone();
        stored.look.encoder = encoder(512, "abc");
        std::fs::write(folder.path().join("config.toml"), stored.to_toml()).unwrap();
        same_plan(folder.path(), &planned).unwrap();
        planned.train.epochs += 1;
        assert!(same_plan(folder.path(), &planned).unwrap_err().to_string().contains("train.epochs"));
    }
}
