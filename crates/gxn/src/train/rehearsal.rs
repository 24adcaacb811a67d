//! [`rehearse`]: what a run will take, told by a few steps on a sample of its data.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;

use super::event::{StepReport, TrainObserver};
use super::init_from::initial_checkpoint;
use super::preflight::check_writable;
use super::sample::Sample;
use super::sampler::epoch_batches;
use super::state::RunFolder;
use super::trainer::Trainer;
use super::training_data::{
    backbone_for, check_dataset, feature_network, input_for, open_configured, used_train_images,
};
use crate::config::{RunConfig, TrainConfig};
use crate::look::PretrainedEncoders;
use crate::look::features::FeatureStore;
use gxn_base::{Error, Progress, Result};
use gxn_data::{Dataset, ImageSource};

/// Train images of the sample, at least; and those of val.
const TRAIN_IMAGES: usize = 64;
const VAL_IMAGES: usize = 16;

/// What a rehearsal found.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// The steps that were done.
    pub steps: Vec<StepReport>,
    /// Steps of an epoch of the whole data.
    pub steps_per_epoch: usize,
    /// The features of a network that is not trained, which come before the first step.
    pub features: Option<FeatureEstimate>,
}

/// How long the features of all images will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureEstimate {
    /// Images of the whole data.
    pub images: usize,
    /// Share of the sample that is cached.
    pub cached: f64,
    /// Seconds for an image that is not.
    pub seconds_per_image: f64,
}

impl FeatureEstimate {
    /// Images that are probably not cached.
    pub fn missing(&self) -> f64 {
        self.images as f64 * (1.0 - self.cached)
    }

    /// Seconds for these.
    pub fn seconds(&self) -> f64 {
        self.missing() * self.seconds_per_image
    }
}

/// Does the first `steps` steps of a run on a sample of its data, in a folder that is removed again. `features` is the folder
/// of cached features of the run; nothing is written there.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::run`].
pub fn rehearse(config: RunConfig, steps: usize, features: &Path, observer: &dyn TrainObserver) -> Result<Rehearsal> {
    config.validate()?;
    config.train.require_generation()?;
    check_writable(features)?;
    let scratch = tempfile::tempdir().map_err(|e| Error::io("cannot make a folder in", &std::env::temp_dir(), e))?;
    let dataset = open_configured(&config.data)?;
    check_dataset(&dataset, &config)?;
    let sample = Sample { train: sample_images(&config, &dataset, steps), val: VAL_IMAGES };
    let estimate = feature_estimate(&config, &dataset, sample, [features, scratch.path()], observer)?;
    let steps_per_epoch = steps_per_epoch(&dataset, &config);
    let folder = RunFolder(scratch.path().join("run"));
    // Every epoch takes as long as one with all updates.
    let config = RunConfig { train: TrainConfig { match_epochs: 0, ..config.train.clone() }, ..config };
    let mut trainer = Trainer::begin(config, folder, Some(sample), scratch.path(), observer)?;
    Ok(Rehearsal { steps: trainer.first_steps(steps)?, steps_per_epoch, features: estimate })
}

/// Train images that have captions for this many steps: one batch, where a step shows one of several captions of an image.
fn sample_images(config: &RunConfig, dataset: &Dataset, steps: usize) -> usize {
    let (t, images) = (&config.train, dataset.images.len());
    let batches = if t.captions_per_image == 1 && dataset.captions.len() >= steps * images { 1 } else { steps };
    (batches * t.batch_size).max(TRAIN_IMAGES)
}

fn steps_per_epoch(dataset: &Dataset, config: &RunConfig) -> usize {
    let used = used_train_images(dataset, config);
    let image_of: Vec<usize> = dataset.captions.iter().map(|caption| caption.image).collect();
    let captions: Vec<usize> = (0..image_of.len()).filter(|&at| used.binary_search(&image_of[at]).is_ok()).collect();
    let t = &config.train;
    epoch_batches(&captions, &image_of, [t.batch_size, t.captions_per_image], t.seed, 0).len()
}

/// Computes the features of a sample in the folder `scratch`; none where a CNN is trained or features are given.
fn feature_estimate(
    config: &RunConfig,
    dataset: &Dataset,
    sample: Sample,
    [features, scratch]: [&Path; 2],
    progress: &dyn Progress,
) -> Result<Option<FeatureEstimate>> {
    let encoders = PretrainedEncoders::open(config)?;
    if config.look.finetune || encoders.images.as_ref().is_some_and(|tower| tower.files().is_some()) {
        return Ok(None);
    }
    let device = Device::flex();
    let first = initial_checkpoint(config, &device)?.map(|(first, _)| first);
    let backbone = backbone_for(config, first.as_ref(), &device)?;
    let network = feature_network(
        &encoders,
        backbone.as_ref(),
        &input_for(config, first.as_ref()),
        &config.train.device.open()?,
    )?;
    network.load()?; // no part of an image's time
    let chosen = sample.of(dataset, config);
    let sources: Vec<ImageSource> = chosen.into_iter().map(|at| dataset.images[at].source.clone()).collect();
    let begun = Instant::now();
    let (_, contents, _) = FeatureStore::build(scratch, &network, &sources, &mut |state| {
        progress.update("images", state.done, state.total);
        if progress.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let computed: HashSet<_> = contents.iter().flatten().collect();
    let seconds_per_image = begun.elapsed().as_secs_f64() / computed.len().max(1) as f64;
    let known = FeatureStore::cached(features, &network)?;
    let cached = contents.iter().flatten().filter(|content| known.contains(content)).count();
    let cached = cached as f64 / contents.len().max(1) as f64;
    Ok(Some(FeatureEstimate { images: dataset.images.len(), cached, seconds_per_image }))
}
