//! [`Trainer`]: the loop over epochs and batches; [`algorithm`](super::algorithm) is what a batch goes through.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

use super::algorithm::matching::plateau;
use super::caption_task::{self, CaptionTask};
use super::event::{EpochReport, Event, StepReport, TrainObserver};
use super::event_file::ReportTo;
use super::health::{Checks, require_spread};
use super::image_task::ImageTask;
use super::init_from::{initial_checkpoint, merged_checkpoint};
use super::log::Log;
use super::metrics::NamedMetrics;
use super::network::Network;
use super::optimisers::Optimisers;
use super::preflight::check_writable;
use super::run_lock::RunLock;
use super::sample::Sample;
use super::sampler::{Batch, epoch_batches};
use super::setup::{Origin, setup};
use super::state::{Machine, Position, RunFolder};
use super::teacher::Teacher;
use super::training_data::TrainingData;
use super::validation::{Validation, validate};
use crate::checkpoint::{Ancestor, Checkpoint};
use crate::config::{RunConfig, SelectBy, Update};
use crate::look::Phase;
use crate::look::held_encoders::hold;
use crate::model::Gxn;
use gxn_base::{Error, Remedy, Result};
use gxn_data::{Split, Vocabulary};

/// What a finished run leaves.
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
}

/// A run: data, network, optimisers and position.
#[derive(Debug)]
pub struct Trainer {
    pub(super) config: RunConfig,
    pub(super) run: RunFolder,
    /// Held as long as this may write; a rehearsal has none.
    pub(super) lock: Option<RunLock>,
    pub(super) data: TrainingData,
    pub(super) model: Network,
    /// Moving average of the weights, evaluated and saved in place of them.
    pub(super) average: Option<Gxn>,
    pub(super) optimisers: Optimisers,
    pub(super) captions: Option<CaptionTask>,
    pub(super) images: Option<ImageTask>,
    pub(super) teacher: Option<Teacher>,
    pub(super) ancestry: Vec<Ancestor>,
    pub(super) position: Position,
    pub(super) device: Device,
    report_to: ReportTo,
}

impl Trainer {
    /// Reads the data, computes missing features and makes a new network. `features` is the folder of cached features. The
    /// folder `run` is this trainer's alone until it is dropped. All that can be opened is, before features are computed.
    ///
    /// # Errors
    /// Everything that is wrong with data, weights or configuration; when `run` already holds a run;
    /// [`Kind::Busy`](gxn_base::Kind::Busy) when another trainer has it; and
    /// [`Kind::Interrupted`](gxn_base::Kind::Interrupted) when the observer cancels.
    pub fn new(config: RunConfig, run: &Path, features: &Path, observer: &dyn TrainObserver) -> Result<Self> {
        config.validate()?;
        let lock = RunLock::claim(run)?;
        let folder = RunFolder(run.to_path_buf());
        if folder.can_be_resumed() {
            return Err(Error::conflict(run.display().to_string(), "a run", "a new or empty folder")
                .with_remedy(Remedy::ResumeOrRename));
        }
        check_writable(features)?;
        let mut trainer = Self::begin(config.with_absolute_paths(), folder, None, features, observer)?;
        trainer.lock = Some(lock);
        trainer.run.create(&trainer.config)?;
        hold(&trainer.config.look, run)?;
        trainer.config.look.held_in = Some(run.to_path_buf());
        Ok(trainer)
    }

    /// A new trainer, perhaps of a sample of the data, that has written nothing.
    pub(super) fn begin(
        config: RunConfig,
        folder: RunFolder,
        sample: Option<Sample>,
        features: &Path,
        observer: &dyn TrainObserver,
    ) -> Result<Self> {
        config.train.require_generation()?;
        let device = config.train.device.open()?;
        let (first, ancestry) = initial_checkpoint(&config, &device)?.unzip();
        let merged = merged_checkpoint(&config, first.as_ref(), &device)?;
        let origin = first.as_ref().map_or(Origin::New, |first| Origin::InitFrom(first, merged.as_ref()));
        let mut trainer = Self::assemble(config, folder, origin, sample, features, observer, |data, model| {
            let others = |first: &&Checkpoint| sample.is_none() && first.card.data_sha != data.dataset.hash();
            if let Some(first) = first.as_ref().filter(others) {
                observer.note(&format!(
                    "warning: {} was trained on other captions, ids or splits than these: val and test may hold its train pairs",
                    first.card.dataset
                ));
            }
            Ok(model)
        })?;
        trainer.ancestry = ancestry.unwrap_or_default();
        Ok(trainer)
    }

    /// A trainer before its first step; `first_weights` are those of the network that the setup makes.
    pub(super) fn assemble(
        config: RunConfig,
        run: RunFolder,
        origin: Origin,
        sample: Option<Sample>,
        features: &Path,
        observer: &dyn TrainObserver,
        first_weights: impl FnOnce(&TrainingData, Gxn) -> Result<Gxn>,
    ) -> Result<Self> {
        Teacher::check(&config)?;
        let device = config.train.device.open()?;
        let (data, model) = setup(&config, origin, sample, features, &device, observer)?;
        let config = data.encoders.described(config)?;
        let model = first_weights(&data, model)?;
        Ok(Self {
            optimisers: Optimisers::new(&config),
            captions: CaptionTask::new(&data, &config),
            images: ImageTask::new(&data, &config, features, observer)?,
            teacher: Teacher::open(&config, &data, &device)?,
            position: Position {
                data_sha: data.dataset.hash(),
                machine: Machine::here(config.train.device),
                ..Position::default()
            },
            average: (config.train.ema_decay > 0.0).then(|| model.clone()),
            // Parameters track gradients from here on; the average never does.
            model: Network::new(model.train()),
            ancestry: Vec::new(),
            config,
            run,
            lock: None,
            data,
            device,
            report_to: ReportTo::default(),
        })
    }

    /// The same with curves for another program beside the log.
    #[must_use]
    pub fn reporting_to(mut self, report_to: ReportTo) -> Self {
        self.report_to = report_to;
        self
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.run.0
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.batches(0).len()
    }

    /// Trains until the last epoch. The observer is asked after every step whether to go on: if not, all that is needed to go
    /// on is saved first.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the loss is not finite; and
    /// [`Kind::Interrupted`](gxn_base::Kind::Interrupted) when the observer cancels.
    pub fn run(&mut self, observer: &dyn TrainObserver) -> Result<Outcome> {
        let mut log = Log::open(&self.run.log(), self.position.step, self.report_to)?;
        // A run that was killed in its first steps has this behind it.
        if self.position.step == 0 && !self.run.can_be_resumed() {
            self.measure_untrained(&mut log, observer)?;
        }
        while !self.is_over() {
            let start = Instant::now();
            let batches = self.batches(self.position.epoch);
            while self.position.batch < batches.len() {
                let report = self.guarded_step(&batches)?;
                log.step(&report)?;
                observer.event(&Event::Step(report));
                let in_epoch = self.position.batch < batches.len();
                let stops = observer.cancelled();
                if in_epoch && (stops || self.is_save_due()) {
                    self.save_last()?;
                }
                if in_epoch && stops {
                    return self.stopped(observer);
                }
            }
            self.finish_epoch(&batches, start, &mut log, observer)?;
            if observer.cancelled() && !self.is_over() {
                return self.stopped(observer);
            }
        }
        Ok(self.outcome())
    }

    /// [`Trainer::step`] with the next of these batches, where a device that gives up is an error: its interface panics when a
    /// result is read. Nothing of such a step is saved.
    fn guarded_step(&mut self, batches: &[Batch]) -> Result<StepReport> {
        let (device, at) = (self.config.train.device, self.position.batch);
        if device.is_cpu() {
            return self.step(&batches[at], batches.len());
        }
        // While the device computes this step, the CPU makes the images of the one behind it.
        if let Some(next) = batches.get(at + 1) {
            self.data.features.prepare(&next.images, Phase::Train { seed: self.step_seed(self.position.step + 1) });
        }
        let what = format!("step {}", self.position.step + 1);
        device.guarded(&what, batches[at].captions.len(), || self.step(&batches[at], batches.len()))?
    }

    fn stopped(&self, observer: &dyn TrainObserver) -> Result<Outcome> {
        observer.event(&Event::Stopped { step: self.position.step });
        Err(Error::interrupted())
    }

    fn is_save_due(&self) -> bool {
        let every = self.config.train.save_every as u64;
        every > 0 && self.position.step.is_multiple_of(every)
    }

    /// Epoch 0: the untrained network is validated and saved.
    fn measure_untrained(&mut self, log: &mut Log, observer: &dyn TrainObserver) -> Result<()> {
        let start = Instant::now();
        let validation = self.validate()?;
        self.position.health.begin(&validation);
        let report = EpochReport {
            step: 0,
            epoch: 0,
            loss: None,
            metrics: NamedMetrics::default(),
            validation,
            best: false,
            seconds: start.elapsed().as_secs_f64(),
        };
        log.epoch(&report)?;
        self.save(&report.validation, true)?;
        observer.event(&Event::Epoch(report));
        Ok(())
    }

    fn finish_epoch(
        &mut self,
        batches: &[Batch],
        start: Instant,
        log: &mut Log,
        observer: &dyn TrainObserver,
    ) -> Result<()> {
        let loss = self.position.loss_sum / batches.len().max(1) as f64;
        let metrics = std::mem::take(&mut self.position.sums).over(batches.len());
        let [images, captions] = batches.first().map_or([0; 2], |batch| [batch.images.len(), batch.captions.len()]);
        let plateau = plateau(&self.config.matching, self.negatives(), images, captions);
        self.position.epoch += 1;
        self.position.batch = 0;
        self.position.loss_sum = 0.0;
        let validation = self.validate()?;
        let score = self.selection_score(&validation);
        let best = self.position.best_score.is_none_or(|best| score > best);
        let (step, epoch) = (self.position.step, self.position.epoch);
        let seconds = start.elapsed().as_secs_f64();
        let report = EpochReport { step, epoch, loss: Some(loss), metrics, validation, best, seconds };
        let equal_captions = self.data.texts.equal_captions(batches);
        let checks = Checks { updates: &self.checked_updates(), plateau, equal_captions };
        for alarm in self.position.health.check(&report, checks) {
            log.alarm(step, &alarm)?;
            observer.event(&Event::Alarm(alarm));
        }
        log.epoch(&report)?;
        self.save(&report.validation, best)?;
        observer.event(&Event::Epoch(report));
        Ok(())
    }

    /// The updates of the stage that must show an effect after the finished epochs: the generators' first epoch ends before a
    /// decoder can tell images apart.
    pub(super) fn checked_updates(&self) -> Vec<Update> {
        let (t, epoch) = (&self.config.train, self.position.epoch);
        let has_generated = epoch > t.match_epochs;
        let is_checked = |update: &Update| match update {
            Update::Match => true,
            Update::Caption => has_generated && (epoch > 1 || t.stage.is_rewarded()),
            Update::Discriminator | Update::Generator => has_generated && epoch > 1,
        };
        // Match may be there twice.
        let mut checked: Vec<Update> = t.stage.updates().iter().copied().filter(is_checked).collect();
        checked.sort_unstable();
        checked.dedup();
        checked
    }

    /// What the best epoch is chosen by: higher is better.
    pub(super) fn selection_score(&self, validation: &Validation) -> f64 {
        match self.config.train.select_by {
            // Without Match nothing moves it.
            SelectBy::Rsum if self.config.train.stage.has(Update::Match) => validation.rsum,
            SelectBy::Cider => validation.generated.get(caption_task::CIDER).unwrap_or(0.0),
            SelectBy::Rsum | SelectBy::Last => self.position.epoch as f64,
        }
    }

    fn batches(&self, epoch: usize) -> Vec<Batch> {
        let (t, data) = (&self.config.train, &self.data);
        let sizes = [t.batch_size, t.captions_per_image];
        epoch_batches(&data.train_captions, &data.caption_image, sizes, t.seed, epoch)
    }

    /// Whether no epoch is left.
    pub fn is_over(&self) -> bool {
        let (epoch, patience) = (self.position.epoch, self.config.train.patience);
        epoch >= self.config.train.epochs || (patience > 0 && epoch >= self.position.best_epoch + patience)
    }

    /// The network that is evaluated and saved: the average of the weights, or the weights.
    pub(super) fn evaluated(&self) -> Gxn {
        self.average.clone().unwrap_or_else(|| self.model.valid())
    }

    fn validate(&self) -> Result<Validation> {
        let model = self.evaluated();
        let (features, width) = self.data.split_features(&model, Split::Val)?;
        let images = model.embed_features(&features, width, &self.device);
        let captions = self.data.embed_captions(&model, Split::Val);
        // The untrained network is what it is.
        if self.position.step > 0 {
            let tokens = self.data.dataset.captions_in(Split::Val).map(|at| self.data.tokens[at].as_slice());
            let inputs_differ = [differ(features.chunks_exact(width.max(1))), differ(tokens)];
            require_spread(
                [&images, &captions],
                inputs_differ,
                self.position.step,
                self.config.rate_of(Update::Match),
            )?;
        }
        let scoring = crate::evaluate::encode::scoring(&self.config);
        let mut validation = validate(&images, &captions, &self.data.caption_rows(Split::Val), scoring)?;
        if let Some(task) = &self.captions {
            let found = task.validate(&model, &self.data, &self.config, (&features, width), &self.device)?;
            validation.generated.extend(found);
        }
        if let Some(task) = &self.images {
            let (found, sheet) = task.validate(&model, &self.data, &self.config, &images, &self.device)?;
            validation.generated.extend(found);
            self.run.save_sheet(self.position.epoch, &sheet)?;
        }
        Ok(validation)
    }

    /// The words of the train captions.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.data.vocabulary
    }

    /// Does the first `steps` steps and saves nothing.
    pub(super) fn first_steps(&mut self, steps: usize) -> Result<Vec<StepReport>> {
        let batches = self.batches(self.position.epoch);
        (0..steps.min(batches.len())).map(|_| self.guarded_step(&batches)).collect()
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            step: self.position.step,
            epoch: self.position.epoch,
            best_epoch: self.position.best_epoch,
            best_rsum: self.position.best_rsum,
        }
    }
}

/// Whether rows are not all the same.
fn differ<'a, T: PartialEq + 'a>(mut rows: impl Iterator<Item = &'a [T]>) -> bool {
    rows.next().is_some_and(|first| rows.any(|row| row != first))
}
