//! The loop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

use super::alarms::{Observation, plateau};
use super::captions::CaptionTask;
use super::event::Event;
use super::feed::Feed;
use super::log::Log;
use super::optimisers::Optimisers;
use super::pictures::PictureTask;
use super::preparation::{Origin, Prepared, prepare};
use super::sampler::epoch_batches;
use super::start::{merged_of, start_of};
use super::state::{self, Machine, Position, RunFolder};
use super::validation::{Validation, validate};
use crate::checkpoint::{Ancestor, Card, Checkpoint, weights};
use crate::config::{LossKind, RunConfig, SelectBy, Stage};
use crate::model::Gxn;
use gxn_base::{Error, Result};
use gxn_data::{Split, Vocabulary};

/// What a finished or interrupted run leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub step: u64,
    /// Epochs finished.
    pub epoch: usize,
    /// Epoch of the best validation result.
    pub best_epoch: usize,
    /// Its rsum.
    pub best_rsum: f64,
    /// Whether the run was asked to stop before its end; it can be resumed.
    pub interrupted: bool,
}

/// A run: data, network, optimiser and position.
#[derive(Debug)]
pub struct Trainer {
    pub(super) config: RunConfig,
    run: RunFolder,
    pub(super) data: Prepared,
    /// Always there between steps; a step takes it, so that its buffers can be updated in place.
    pub(super) model: Option<Gxn>,
    /// Moving average of the weights, evaluated and saved in place of them.
    pub(super) average: Option<Gxn>,
    pub(super) optimisers: Optimisers,
    pub(super) captions: Option<CaptionTask>,
    pub(super) pictures: Option<PictureTask>,
    ancestry: Vec<Ancestor>,
    pub(super) position: Position,
    pub(super) device: Device,
}

impl Trainer {
    /// Reads the data, computes missing features and makes a new network. `features` is the folder of cached features.
    ///
    /// # Errors
    /// Everything that is wrong with data, weights or configuration; and when `run` already holds a run.
    pub fn new(
        config: RunConfig,
        run: &Path,
        features: &Path,
        stop: &AtomicBool,
        report: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        config.validate()?;
        let folder = RunFolder(run.to_path_buf());
        if folder.can_be_resumed() {
            return Err(Error::invalid(run.display().to_string(), "a run", "a new or empty folder")
                .with_hint("continue it with --resume, or give the new run another --name"));
        }
        let device = Device::flex();
        let (start, ancestry) = start_of(&config, &device)?.unzip();
        let merged = merged_of(&config, start.as_ref(), &device)?;
        let origin = start.as_ref().map_or(Origin::New, |start| Origin::Start(start, merged.as_ref()));
        let (data, model) = prepare(&config, origin, features, &device, stop, report)?;
        if let Some(start) = start.filter(|start| start.card.data_sha != data.dataset.hash()) {
            report(Event::Note(format!(
                "warning: {} was trained on other captions, ids or splits than these: val and test may hold its train pairs",
                start.card.dataset
            )));
        }
        let pictures = PictureTask::new(&data, &config, features, stop, report)?;
        std::fs::create_dir_all(run.join("checkpoints")).map_err(|e| Error::io("cannot make", run, e))?;
        let text = config.to_toml();
        gxn_base::fs::write_atomically(&run.join("config.toml"), |file| {
            std::io::Write::write_all(file, text.as_bytes())
        })?;
        // A run that ended before its first save, killed or out of disk, left nothing to go on from.
        match std::fs::remove_file(folder.log()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("cannot replace", &folder.log(), e));
            }
            _ => {}
        }
        let position = Position { data_sha: data.dataset.hash(), machine: Machine::here(), ..Position::default() };
        Ok(Self::assemble(config, folder, data, pictures, model, ancestry.unwrap_or_default(), position, &device))
    }

    /// Continues the run in `run` after its last saved step, bit for bit as if it had not stopped.
    ///
    /// # Errors
    /// When there is nothing to resume, the data changed, or a file is damaged.
    pub fn resume(run: &Path, features: &Path, stop: &AtomicBool, report: &mut dyn FnMut(Event)) -> Result<Self> {
        let folder = RunFolder(run.to_path_buf());
        let last = run.join("last");
        if !last.join("trainer.json").exists() {
            return Err(Error::invalid(run.display().to_string(), "no saved step", "a run with a `last` checkpoint")
                .with_hint("start it without --resume"));
        }
        let (mut position, mut arrays) = state::read(&last)?;
        // Runs of before there was a choice were all chosen by rsum.
        position.best_score = position.best_score.or(Some(position.best_rsum));
        let here = Machine::here();
        if position.machine != here {
            report(Event::Note(format!(
                "warning: the run was saved on {:?} and continues on {here:?}: results will be close, not bit-equal",
                position.machine
            )));
        }
        let device = Device::flex();
        let saved = Checkpoint::load(&last, &device)?;
        let config = saved.config.clone();
        let (data, model) = prepare(&config, Origin::Resumed(&saved), features, &device, stop, report)?;
        let data_sha = data.dataset.hash();
        if data_sha != position.data_sha {
            return Err(Error::invalid(
                "the data set",
                crate::checkpoint::short(&data_sha),
                format!("{}, as when the run began", crate::checkpoint::short(&position.data_sha)),
            )
            .with_hint("captions, ids or splits changed; start a new run"));
        }
        let place = last.join("trainer.safetensors").display().to_string();
        let model = weights::assign(model, weights::take_prefix(&mut arrays, "model"), &place)?;
        let ancestry = saved.card.ancestry.clone();
        let pictures = PictureTask::new(&data, &config, features, stop, report)?;
        let mut trainer = Self::assemble(config, folder, data, pictures, model, ancestry, position, &device);
        if trainer.average.is_some() {
            trainer.average = Some(saved.model);
        }
        let moments = state::optimiser_states(arrays, &trainer.position.optimiser_steps, &place)?;
        trainer.optimisers.restore(moments, trainer.model.as_ref().expect("set when made"))?;
        if trainer.run.checkpoint(trainer.position.best_step).is_dir() {
            trainer.run.point("best", trainer.position.best_step)?;
        }
        Ok(trainer)
    }

    #[allow(clippy::too_many_arguments)]
    fn assemble(
        config: RunConfig,
        run: RunFolder,
        data: Prepared,
        pictures: Option<PictureTask>,
        model: Gxn,
        ancestry: Vec<Ancestor>,
        position: Position,
        device: &Device,
    ) -> Self {
        let t = &config.train;
        let average = (t.ema_decay > 0.0).then(|| model.clone());
        // Parameters track gradients from here on; the average never does.
        let model = model.train();
        Self {
            optimisers: Optimisers::new(&config),
            captions: CaptionTask::new(&data, &config),
            pictures,
            config,
            run,
            data,
            model: Some(model),
            average,
            ancestry,
            position,
            device: device.clone(),
        }
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.batches(0).len()
    }

    /// Trains until the last epoch or until `stop` is set, which is looked at after every step. Everything needed to
    /// go on is saved before it returns.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the loss is no number.
    pub fn run(&mut self, stop: &AtomicBool, report: &mut dyn FnMut(Event)) -> Result<Outcome> {
        let mut log = Log::open(&self.run.log(), self.position.step)?;
        // A run that was killed in its first steps has this behind it.
        if self.position.step == 0 && !self.run.can_be_resumed() {
            let start = Instant::now();
            let validation = self.validate()?;
            let seconds = start.elapsed().as_secs_f64();
            self.position.watch.begin([validation.image_spread, validation.caption_spread]);
            log.epoch(0, 0, None, &validation, seconds)?;
            report(Event::Epoch {
                epoch: 0,
                loss: None,
                captions: None,
                pictures: None,
                validation,
                best: false,
                seconds,
            });
            self.save(validation, true)?;
        }
        while !self.is_over() {
            let start = Instant::now();
            let batches = self.batches(self.position.epoch);
            while self.position.batch < batches.len() {
                self.step(&batches[self.position.batch], batches.len(), &mut log, report)?;
                let last_of_epoch = self.position.batch == batches.len();
                let due = self.config.train.save_every > 0
                    && self.position.step.is_multiple_of(self.config.train.save_every as u64);
                if stop.load(Ordering::Relaxed) && !last_of_epoch {
                    self.save_last()?;
                    return Ok(self.outcome(true));
                }
                if due && !last_of_epoch {
                    self.save_last()?;
                }
            }
            self.finish_epoch(batches.len(), start, &mut log, report)?;
            if stop.load(Ordering::Relaxed) && !self.is_over() {
                return Ok(self.outcome(true));
            }
        }
        Ok(self.outcome(false))
    }

    fn finish_epoch(
        &mut self,
        batches: usize,
        start: Instant,
        log: &mut Log,
        report: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let loss = self.position.loss_sum / batches.max(1) as f64;
        let captions = std::mem::take(&mut self.position.caption_sums);
        let captions = self.captions.is_some().then(|| captions.over(batches));
        let pictures = std::mem::take(&mut self.position.picture_sums);
        let pictures = self.pictures.is_some().then(|| pictures.over(batches));
        let hardest = self.hardest();
        self.position.epoch += 1;
        self.position.batch = 0;
        self.position.loss_sum = 0.0;
        let validation = self.validate()?;
        let score = self.selection_score(&validation);
        let best = self.position.best_score.is_none_or(|best| score > best);
        let seconds = start.elapsed().as_secs_f64();
        let batch_size = self.config.train.batch_size.min(self.data.train_images);
        let level = plateau(self.config.matching.loss, hardest, batch_size, self.config.matching.margin);
        let spreads = [validation.image_spread, validation.caption_spread];
        // A decoder's first epoch ends before it can tell pictures apart.
        let t = &self.config.train;
        let epoch = self.position.epoch;
        let generated = epoch > t.match_epochs;
        let seen = Observation {
            step: self.position.step,
            // Where Match is not trained, its loss has no plateau.
            loss: if t.stage == Stage::T2iPretrain { f64::INFINITY } else { loss },
            plateau: level,
            spreads,
            rsum: validation.rsum,
            captions: validation.captions.filter(|_| generated && (epoch > 1 || t.stage.is_rewarded())),
            pictures: pictures.zip(validation.pictures).filter(|_| generated && epoch > 1),
        };
        for alarm in self.position.watch.look(seen) {
            report(Event::Alarm(alarm));
        }
        log.epoch(self.position.step, self.position.epoch, Some(loss), &validation, seconds)?;
        self.save(validation, best)?;
        report(Event::Epoch { epoch, loss: Some(loss), captions, pictures, validation, best, seconds });
        Ok(())
    }

    /// What the best epoch is chosen by: higher is better.
    fn selection_score(&self, validation: &Validation) -> f64 {
        match self.config.train.select_by {
            SelectBy::Rsum => validation.rsum,
            SelectBy::Cider => validation.captions.map_or(0.0, |captions| captions.cider),
            SelectBy::Last => self.position.epoch as f64,
        }
    }

    fn batches(&self, epoch: usize) -> Vec<Vec<usize>> {
        let images: Vec<usize> = self.data.train_captions.iter().map(|&c| self.data.caption_image[c]).collect();
        let batches = epoch_batches(&images, self.config.train.batch_size, self.config.train.seed, epoch);
        batches.into_iter().map(|batch| batch.into_iter().map(|at| self.data.train_captions[at]).collect()).collect()
    }

    pub(super) fn hardest(&self) -> bool {
        let m = &self.config.matching;
        m.loss == LossKind::Hardest && self.position.epoch >= m.sum_epochs
    }

    fn is_over(&self) -> bool {
        let (epoch, patience) = (self.position.epoch, self.config.train.patience);
        epoch >= self.config.train.epochs || (patience > 0 && epoch >= self.position.best_epoch + patience)
    }

    /// The network that is evaluated and saved: the average of the weights, or the weights.
    fn evaluated(&self) -> Gxn {
        self.average.clone().unwrap_or_else(|| self.model().valid())
    }

    fn validate(&self) -> Result<Validation> {
        let model = self.evaluated();
        let (features, width) = self.data.features(&model, Split::Val)?;
        let images = model.embed_features(&features, width, &self.device);
        let captions = self.data.embed_captions(&model, Split::Val);
        let scoring = crate::evaluate::encode::scoring(&self.config);
        let mut validation = validate(&images, &captions, &self.data.caption_rows(Split::Val), scoring)?;
        if let Some(task) = &self.captions {
            validation.captions =
                Some(task.validate(&model, &self.data, &self.config, (&features, width), &self.device)?);
        }
        if let Some(task) = &self.pictures {
            let (found, sheet) = task.validate(&model, &self.data, &self.config, &images, &self.device)?;
            validation.pictures = Some(found);
            self.run.save_sheet(self.position.epoch, &sheet)?;
        }
        Ok(validation)
    }

    /// Saves the current step as `last`, and as `best` if it is.
    fn save(&mut self, validation: Validation, best: bool) -> Result<()> {
        if best {
            self.position.best_rsum = validation.rsum;
            self.position.best_score = Some(self.selection_score(&validation));
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

    fn save_last(&mut self) -> Result<()> {
        self.write_checkpoint(None)?;
        self.run.point("last", self.position.step)?;
        self.run.remove_unlinked()
    }

    fn write_checkpoint(&mut self, validation: Option<Validation>) -> Result<()> {
        let path = self.run.checkpoint(self.position.step);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(|e| Error::io("cannot replace", &path, e))?;
        }
        let checkpoint = self.checkpoint(validation);
        let (mut arrays, steps) = state::optimiser_arrays(self.optimisers.state());
        self.position.optimiser_steps = steps;
        weights::put_prefix(&mut arrays, "model", weights::collect(self.model()));
        let position = &self.position;
        gxn_base::fs::build_folder_atomically(&path, |folder| {
            checkpoint.write(folder)?;
            state::write(folder, position, &arrays)
        })
    }

    /// The network as it stands, with all that using it needs.
    pub fn checkpoint(&self, validation: Option<Validation>) -> Checkpoint {
        let validation = validation.map(|v| v.by_name()).unwrap_or_default();
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
                train_images: self.data.train_images,
                train_captions: self.data.train_captions.len(),
                seed: self.config.train.seed,
                step: self.position.step,
                epoch: self.position.epoch,
                match_steps: Some(self.position.match_steps),
                ancestry: self.ancestry.clone(),
                validation,
                licence_note: "the model inherits the terms of its pictures, captions, CNN weights and word vectors"
                    .into(),
            },
        }
    }

    /// The words of the train captions.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.data.vocabulary
    }

    pub(super) fn model(&self) -> &Gxn {
        self.model.as_ref().expect("set between steps")
    }

    /// Runs the first `steps` steps without saving anything: for a look at time and memory.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn rehearse(&mut self, steps: usize, report: &mut dyn FnMut(Event)) -> Result<()> {
        let mut log = Log::open(&self.run.log(), self.position.step)?;
        let batches = self.batches(self.position.epoch);
        for batch in batches.iter().take(steps) {
            self.step(batch, batches.len(), &mut log, report)?;
        }
        Ok(())
    }

    fn outcome(&self, interrupted: bool) -> Outcome {
        Outcome {
            step: self.position.step,
            epoch: self.position.epoch,
            best_epoch: self.position.best_epoch,
            best_rsum: self.position.best_rsum,
            interrupted,
        }
    }

    /// Where the features come from.
    pub fn feed(&self) -> &Feed {
        &self.data.feed
    }
}
