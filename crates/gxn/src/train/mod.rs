//! TRAIN: [Algorithm 1](algorithm), and the loop around it, written out once.
//!
//! | module | holds |
//! |---|---|
//! | [`run`], [`resume`] | a run from its configuration to a calibrated model |
//! | [`algorithm`] | Algorithm 1: one batch, update by update |
//! | [`trainer`] | the loop over batches and epochs |
//! | [`event`] | what the loop reports, and who listens |
//! | [`metrics`] | what updates and validation find, by name |
//! | [`optimisers`] | one Adam for each update |
//! | [`sampler`] | which pairs a batch has |
//! | [`schedule`] | the learning rate of a step |
//! | [`preflight`], [`rehearsal`] | what is tried before a run: its files; its time |
//! | [`setup`], [`init_from`] | first weights: drawn, from another run, or resumed |
//! | [`training_data`], [`feature_source`] | data, vocabulary and features |
//! | [`caption_texts`] | which captions are the same |
//! | [`caption_task`] | what the caption update needs beside the network |
//! | [`image_task`], [`pixel_cache`] | what the updates of discriminator and generator need beside it |
//! | [`validation`] | recall, spread and generated captions and images on the validation split |
//! | [`health`] | what goes wrong in training, recognised, with its cause |
//! | [`training_page`] | the log as a page with curves |
//! | [`state`], [`log`] | what resuming needs, and what is written for people |

pub mod algorithm;
mod augmentation;
pub mod caption_task;
pub mod caption_texts;
#[cfg(test)]
mod device_tests;
pub mod event;
pub mod feature_source;
#[cfg(test)]
mod fixture;
pub mod health;
mod image_pipeline;
pub mod image_task;
pub mod init_from;
pub mod log;
pub mod metrics;
mod network;
pub mod optimisers;
mod page;
pub mod pixel_cache;
pub mod preflight;
#[cfg(test)]
mod prior_tests;
pub mod rehearsal;
mod run_lock;
pub mod sample;
pub mod sampler;
mod scale;
pub mod schedule;
pub mod setup;
pub mod state;
#[cfg(test)]
mod tests;
pub mod trainer;
pub mod training_data;
pub mod validation;

use std::path::Path;

pub use event::{Event, TrainObserver};
pub use health::Alarm;
pub use init_from::configuration;
pub use page::{training_charts, training_page};
pub use rehearsal::{FeatureEstimate, Rehearsal, rehearse};
pub use run_lock::is_training;
pub use trainer::{Outcome, ResumeOptions, Trainer};

use crate::config::RunConfig;
use crate::retrieve::calibration::calibrate_run;
use gxn_base::Result;

/// Trains a new run in the folder `run` and calibrates its best checkpoint. `features` is the folder of cached features.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::run`].
pub fn run(config: RunConfig, run: &Path, features: &Path, observer: &dyn TrainObserver) -> Result<Outcome> {
    finish(Trainer::new(config, run, features, observer)?, run, observer)
}

/// Continues the run in the folder `run` to its end and calibrates its best checkpoint.
///
/// # Errors
/// As [`Trainer::resume`] and [`Trainer::run`].
pub fn resume(run: &Path, options: &ResumeOptions, features: &Path, observer: &dyn TrainObserver) -> Result<Outcome> {
    finish(Trainer::resume_with(run, options, features, observer)?, run, observer)
}

fn finish(mut trainer: Trainer, run: &Path, observer: &dyn TrainObserver) -> Result<Outcome> {
    let outcome = trainer.run(observer)?;
    let device = trainer.device.clone();
    // Its memory is needed no more.
    drop(trainer);
    if let Err(error) = calibrate_run(run, &device, observer) {
        // The run is whole without it, also where it was cancelled here.
        observer.event(&Event::NotCalibrated(error));
    }
    Ok(outcome)
}
