//! What a run writes of its network: `last`, `best`, and all that going on needs.

use super::health::diverged;
use super::state;
use super::trainer::Trainer;
use super::validation::Validation;
use crate::checkpoint::{Card, Checkpoint, weights};
use crate::config::{Stage, Update};
use gxn_base::{Error, Result};

impl Trainer {
    /// Saves the current step as `last`, and as `best` if it is.
    pub(super) fn save(&mut self, validation: &Validation, best: bool) -> Result<()> {
        if best {
            self.position.best_rsum = validation.rsum;
            // Before their first epoch the generators of a stage know nothing, whatever the rsum is.
            let train = &self.config.train;
            let is_candidate = self.position.epoch > train.match_epochs || train.stage == Stage::Match;
            self.position.best_score = Some(if is_candidate { self.selection_score(validation) } else { f64::MIN });
            self.position.best_epoch = self.position.epoch;
            self.position.best_step = self.position.step;
        }
        self.write_checkpoint(Some(validation))?;
        // `last` knows which step is the best: killed in between, resuming sets `best` right.
        self.run.point("last", self.position.step)?;
        if best {
            self.run.point("best", self.position.step)?;
        }
        self.run.remove_unlinked()
    }

    pub(super) fn save_last(&mut self) -> Result<()> {
        self.write_checkpoint(None)?;
        self.run.point("last", self.position.step)?;
        self.run.remove_unlinked()
    }

    fn write_checkpoint(&mut self, validation: Option<&Validation>) -> Result<()> {
        let path = self.run.checkpoint(self.position.step);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(|e| Error::io("cannot replace", &path, e))?;
        }
        let checkpoint = self.checkpoint(validation);
        self.finite_weights(&checkpoint)?;
        let (mut arrays, steps) = state::optimiser_arrays(self.optimisers.state());
        self.position.optimiser_steps = steps;
        weights::put_prefix(&mut arrays, "model", weights::collect(&*self.model));
        let position = &self.position;
        gxn_base::fs::build_folder_atomically(&path, |folder| {
            checkpoint.write(folder)?;
            state::write(folder, position, &arrays)
        })
    }

    /// The network as it stands, with all that using it needs.
    pub fn checkpoint(&self, validation: Option<&Validation>) -> Checkpoint {
        let validation = validation.map(Validation::by_name).unwrap_or_default();
        Checkpoint {
            config: self.config.clone(),
            vocabulary: self.vocabulary().clone(),
            pipeline: self.data.input.clone(),
            model: self.evaluated(),
            frozen: self.data.frozen.clone(),
            card: Card {
                program: format!("gxn {}", env!("CARGO_PKG_VERSION")),
                dataset: self.data.dataset.name.clone(),
                data_sha: self.position.data_sha.clone(),
                data_from_run: self.config.data.places_from(&self.run.0),
                train_images: self.data.train_images.len(),
                train_captions: self.data.train_captions.len(),
                seed: self.config.train.seed,
                step: self.position.step,
                epoch: self.position.epoch,
                match_steps: Some(self.position.match_steps),
                ancestry: self.ancestry.clone(),
                validation,
                licence_note: self.licence_note(),
            },
        }
    }

    fn licence_note(&self) -> String {
        let images = match &self.data.encoders.images {
            Some(tower) if tower.files().is_some() => "embeddings from files",
            Some(_) => "pretrained encoder",
            None => "CNN weights",
        };
        format!("the model inherits the terms of its images, captions, {images} and word vectors")
    }

    /// Refuses to save weights that no program could read again.
    fn finite_weights(&self, checkpoint: &Checkpoint) -> Result<()> {
        let arrays = weights::collect(&checkpoint.model);
        let bad = arrays.iter().find_map(|(name, array)| Some((name, array.values.iter().find(|x| !x.is_finite())?)));
        let Some((name, value)) = bad else { return Ok(()) };
        let what = format!("{name} after step {}", self.position.step);
        Err(diverged(what, value.to_string(), "finite numbers", self.config.rate_of(Update::Match)))
    }
}
