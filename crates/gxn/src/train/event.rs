//! What the loop tells its caller while it works.

use super::alarms::Alarm;
use super::picture_steps::PictureFigures;
use super::steps::CaptionFigures;
use super::validation::Validation;

/// Progress of a run; the program prints it, tests count it.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something worth a line, such as what was read or left out.
    Note(String),
    /// Pictures through the frozen CNN.
    Features {
        /// Pictures done.
        done: usize,
        /// Pictures in all.
        total: usize,
        /// Pictures a second.
        rate: f64,
    },
    /// A finished step.
    Step {
        /// Steps done since the beginning of the run.
        step: u64,
        /// Steps of the whole run.
        total: u64,
        /// Epoch, from 1.
        epoch: usize,
        /// The batch's loss.
        loss: f64,
        /// Global norm of the gradient before clipping.
        grad_norm: f64,
        /// Learning rate.
        learning_rate: f64,
        /// What the caption loss of the step found, where the stage has one.
        captions: Option<CaptionFigures>,
        /// What the picture losses of the step found, where the stage has them.
        pictures: Option<PictureFigures>,
        /// Seconds the step took.
        seconds: f64,
    },
    /// A finished epoch; epoch 0 is the untrained network.
    Epoch {
        /// Number of finished epochs.
        epoch: usize,
        /// Mean loss of its steps; none for epoch 0.
        loss: Option<f64>,
        /// Means of its caption losses, where the stage has them.
        captions: Option<CaptionFigures>,
        /// Means of its picture losses, where the stage has them.
        pictures: Option<PictureFigures>,
        /// The validation result.
        validation: Validation,
        /// Whether it is the best so far.
        best: bool,
        /// Seconds it took, validation included.
        seconds: f64,
    },
    /// Something is wrong.
    Alarm(Alarm),
}
