//! What the loop reports while it works, and who listens.

use std::sync::atomic::AtomicBool;

use super::health::Alarm;
use super::metrics::NamedMetrics;
use super::validation::Validation;
use gxn_base::{Error, Progress};

/// Watches a run: reads its progress and its [events](Event), and decides whether it goes on. `()` does not watch; an
/// [`AtomicBool`] that is set stops the run.
pub trait TrainObserver: Progress {
    /// Something happened.
    fn event(&self, event: &Event) {
        let _ = event;
    }
}

impl TrainObserver for () {}

impl TrainObserver for AtomicBool {}

/// What happens in a run; the program prints it, tests count it.
#[derive(Debug)]
pub enum Event {
    /// A step is done.
    Step(StepReport),
    /// An epoch is done; epoch 0 is the untrained network.
    Epoch(EpochReport),
    /// Something is wrong.
    Alarm(Alarm),
    /// The run is whole, but its best checkpoint could not be calibrated.
    NotCalibrated(Error),
    /// The run was asked to stop: all that is needed to go on after this step is saved.
    Stopped {
        /// Steps done.
        step: u64,
    },
}

/// A finished step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Steps done since the beginning of the run.
    pub step: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// Epoch, from 1.
    pub epoch: usize,
    /// The ranking loss of the last Match; the generator's loss where a stage has no Match.
    pub loss: f64,
    /// Global norm of its gradient before clipping, without the CNN's part where `look.encode_once` counts; 0 where a stage has no Match.
    pub grad_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// What the other updates found.
    pub metrics: NamedMetrics,
    /// Seconds the step took.
    pub seconds: f64,
}

/// A finished epoch.
#[derive(Debug, Clone)]
pub struct EpochReport {
    /// Steps done since the beginning of the run.
    pub step: u64,
    /// Number of finished epochs.
    pub epoch: usize,
    /// Mean loss of its steps; none for epoch 0.
    pub loss: Option<f64>,
    /// Means of what the other updates found.
    pub metrics: NamedMetrics,
    /// The validation result.
    pub validation: Validation,
    /// Whether it is the best so far.
    pub best: bool,
    /// Seconds it took, validation included.
    pub seconds: f64,
}
