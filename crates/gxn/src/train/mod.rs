//! TRAIN: [Algorithm 1](algorithm), and the loop around it, written out once.
//!
//! | module | holds |
//! |---|---|
//! | [`run`], [`resume`] | a run from its configuration to a calibrated model |
//! | [`algorithm`] | Algorithm 1: one batch, update by update |
//! | [`trainer`] | the loop over batches and epochs; `save` and `resume_run` are the other parts of [`Trainer`] |
//! | [`event`] | what the loop reports, and who listens |
//! | [`metrics`] | what updates and validation find, by name |
//! | [`optimisers`] | one Adam for each update |
//! | [`sampler`] | which pairs a batch has |
//! | [`schedule`] | the learning rate of a step |
//! | [`preflight`], [`rehearsal`] | what is tried before a run: its files; its time |
//! | [`setup`], [`init_from`] | first weights: drawn, from another run, or resumed |
//! | [`training_data`], [`feature_source`], [`train_images`] | data, vocabulary, features, pixels |
//! | [`caption_texts`] | which captions are the same |
//! | [`caption_task`] | what the caption update needs beside the network |
//! | `teacher` | models that Match learns from beside its pairs |
//! | [`image_task`], [`pixel_cache`] | what the updates of discriminator and generator need beside it |
//! | [`validation`] | recall, spread and generated captions and images on the validation split |
//! | [`health`] | what goes wrong in training, recognised, with its cause |
//! | [`report`] | a run as a page: curves, samples, alarms, what is measured of it |
//! | [`state`], [`log`] | what resuming needs, and what is written for people |
//! | [`ReportTo`] | the same for TensorBoard |

pub mod algorithm;
mod augmentation;
pub mod caption_task;
pub mod caption_texts;
#[cfg(test)]
mod device_tests;
pub mod event;
mod event_file;
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
pub mod pixel_cache;
pub mod preflight;
#[cfg(test)]
mod prior_tests;
pub mod rehearsal;
pub mod report;
mod resume_run;
mod run_lock;
pub mod sample;
pub mod sampler;
mod save;
mod scale;
pub mod schedule;
pub mod setup;
pub mod state;
mod teacher;
#[cfg(test)]
mod tests;
pub mod train_images;
pub mod trainer;
pub mod training_data;
pub mod validation;

use std::path::Path;

pub use event::{Event, TrainObserver};
pub use event_file::ReportTo;
pub use health::Alarm;
pub use init_from::configuration;
pub use rehearsal::{FeatureEstimate, Rehearsal, rehearse};
pub use report::{run_page, training_charts};
pub use resume_run::ResumeOptions;
pub use run_lock::is_training;
pub use trainer::{Outcome, Trainer};

use crate::config::RunConfig;
use crate::retrieve::calibration::{ENOUGH_IMAGES, calibrate_run};
use gxn_base::Result;

/// Trains a new run in the folder `run` and calibrates its best checkpoint. `features` is the folder of cached features.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::run`].
pub fn run(config: RunConfig, run: &Path, features: &Path, observer: &dyn TrainObserver) -> Result<Outcome> {
    complete(Trainer::new(config, run, features, observer)?, observer)
}

/// Continues the run in the folder `run` to its end and calibrates its best checkpoint.
///
/// # Errors
/// As [`Trainer::resume`] and [`Trainer::run`].
pub fn resume(run: &Path, options: &ResumeOptions, features: &Path, observer: &dyn TrainObserver) -> Result<Outcome> {
    complete(Trainer::resume_with(run, options, features, observer)?, observer)
}

/// Trains to the end and calibrates the best checkpoint.
///
/// # Errors
/// As [`Trainer::run`].
pub fn complete(mut trainer: Trainer, observer: &dyn TrainObserver) -> Result<Outcome> {
    let outcome = trainer.run(observer)?;
    let (run, device) = (trainer.folder().to_path_buf(), trainer.device.clone());
    // Its memory is needed no more.
    drop(trainer);
    match calibrate_run(&run, &device, observer) {
        Ok(Some(_)) => {}
        Ok(None) => observer.note(&format!(
            "relevance is not calibrated: val has fewer than {ENOUGH_IMAGES} images, so searches give scores without it"
        )),
        // The run is whole without it, also where it was cancelled here.
        Err(error) => observer.event(&Event::NotCalibrated(error)),
    }
    Ok(outcome)
}
