//! [`Trainer::resume`]: a run goes on after its last saved step.

use std::path::Path;

use super::event::TrainObserver;
use super::run_lock::RunLock;
use super::setup::Origin;
use super::state::{self, Machine, Position, RunFolder};
use super::trainer::Trainer;
use super::training_data::TrainingData;
use crate::checkpoint::{StoredCheckpoint, short, weights};
use crate::config::DataConfig;
use crate::device::DeviceChoice;
use gxn_base::{Error, Remedy, Result};

/// What may be otherwise when a run is continued.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResumeOptions {
    /// Where its data are now. They have to be the same data: contents count, not paths.
    pub data: Option<DataConfig>,
    /// What computes from now on.
    pub device: Option<DeviceChoice>,
}

impl Trainer {
    /// Continues the run in `run` after its last saved step: on the CPU bit for bit as if it had not stopped, on a GPU closely.
    ///
    /// # Errors
    /// When there is nothing to resume, the data changed, or a file is damaged; and [`Kind::Busy`](gxn_base::Kind::Busy) when
    /// another trainer has the run.
    pub fn resume(run: &Path, features: &Path, observer: &dyn TrainObserver) -> Result<Self> {
        Self::resume_with(run, &ResumeOptions::default(), features, observer)
    }

    /// The same with data at other places, or on another device.
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub fn resume_with(
        run: &Path,
        options: &ResumeOptions,
        features: &Path,
        observer: &dyn TrainObserver,
    ) -> Result<Self> {
        let folder = RunFolder(run.to_path_buf());
        let last = run.join("last");
        let is_saved = || last.join("trainer.json").exists();
        // A run that is being made has nothing but its lock.
        let lock = if is_saved() || RunLock::is_there(run) { Some(RunLock::claim(run)?) } else { None };
        if !is_saved() {
            return Err(Error::not_found(run.display().to_string(), "no saved step", "a run with a `last` checkpoint")
                .with_remedy(Remedy::StartRun));
        }
        let (mut position, mut arrays) = state::read(&last)?;
        // Runs of before there was a choice were all chosen by rsum.
        position.best_score = position.best_score.or(Some(position.best_rsum));
        let stored = StoredCheckpoint::open(&last)?;
        let choice = options.device.unwrap_or(stored.config.train.device);
        note_inexact(&position.machine, &Machine::here(choice), observer);
        let device = choice.open()?;
        let saved = stored.load(&device)?;
        let place = last.join("trainer.safetensors").display().to_string();
        let origin = Origin::Resumed(&saved);
        let mut config = saved.config.clone();
        config.look.held_in = Some(run.to_path_buf());
        config.train.device = choice;
        config.data = match &options.data {
            Some(data) => data.clone(),
            None => config.data.located(&saved.card.data_from_run, run),
        };
        let mut trainer = Self::assemble(config, folder, origin, None, features, observer, |data, model| {
            same_data(&position, data)?;
            weights::assign(model, weights::take_prefix(&mut arrays, "model"), &place)
        })?;
        trainer.lock = lock;
        let moments = state::optimiser_states(arrays, &position.optimiser_steps, &place)?;
        trainer.optimisers.restore(moments, &trainer.model)?;
        trainer.position = position;
        trainer.ancestry = saved.card.ancestry;
        trainer.average = trainer.average.map(|_| saved.model);
        if trainer.run.checkpoint(trainer.position.best_step).is_dir() {
            trainer.run.point("best", trainer.position.best_step)?;
        }
        Ok(trainer)
    }
}

/// Says where a run that was saved on `before` and continues on `here` will not be bit-equal to one that never stopped.
fn note_inexact(before: &Machine, here: &Machine, observer: &dyn TrainObserver) {
    if before != here {
        observer.note(&format!(
            "warning: the run was saved on {before} and continues on {here}: results will be close, not bit-equal"
        ));
    } else if !here.device.is_cpu() {
        observer
            .note(&format!("note: on {} a resumed run is close to one that never stopped, not bit-equal", here.device));
    }
}

/// Refuses other data than when the run began.
fn same_data(position: &Position, data: &TrainingData) -> Result<()> {
    let found = data.dataset.hash();
    if found == position.data_sha {
        return Ok(());
    }
    let expected = format!("{}, as when the run began", short(&position.data_sha));
    Err(Error::conflict("the dataset", short(&found), expected)
        .with_hint("captions, ids or splits changed; start a new run"))
}
