//! `gxn.train`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gxn::train::{Event, ResumeOptions, TrainObserver, configuration};
use gxn_base::{Kind, Progress};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};

use crate::errors::{check_interrupt, exception};

/// Trains or resumes the run in the folder `run`; see `gxn.train`.
#[pyfunction]
pub fn train<'py>(
    py: Python<'py>,
    recipe: Option<PathBuf>,
    pairs: Vec<String>,
    run: PathBuf,
    features: PathBuf,
    resume: bool,
    listener: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let listener = Listener { callback: listener, stop: AtomicBool::new(false), raised: Mutex::default() };
    let outcome = py.detach(|| {
        if resume {
            return gxn::train::resume(&run, &ResumeOptions::default(), &features, &listener);
        }
        let text = recipe.as_deref().map(gxn_cli::config_text).transpose()?;
        gxn::train::run(configuration(text.as_ref(), &pairs)?, &run, &features, &listener)
    });
    if let Some(error) = listener.raised.into_inner().ok().flatten() {
        return Err(error);
    }
    let found = PyDict::new(py);
    found.set_item("run", run)?;
    match outcome {
        Ok(outcome) => {
            found.set_item("finished", true)?;
            found.set_item("step", outcome.step)?;
            found.set_item("epoch", outcome.epoch)?;
            found.set_item("best_epoch", outcome.best_epoch)?;
            found.set_item("best_rsum", outcome.best_rsum)?;
        }
        Err(error) if error.kind() == Kind::Interrupted => found.set_item("finished", false)?,
        Err(error) => return Err(exception(error)),
    }
    Ok(found)
}

/// Tells a callback of Python what happens.
struct Listener {
    callback: Option<Py<PyAny>>,
    stop: AtomicBool,
    /// What the callback raised, or Ctrl-C.
    raised: Mutex<Option<PyErr>>,
}

impl Listener {
    fn stop(&self, error: Option<PyErr>) {
        self.stop.store(true, Ordering::Relaxed);
        if let (Some(error), Ok(mut raised)) = (error, self.raised.lock()) {
            raised.get_or_insert(error);
        }
    }
}

impl Progress for Listener {
    fn cancelled(&self) -> bool {
        if let Err(error) = check_interrupt() {
            self.stop(Some(error));
        }
        self.stop.load(Ordering::Relaxed)
    }
}

impl TrainObserver for Listener {
    fn event(&self, event: &Event) {
        let (Some(callback), Some(event)) = (&self.callback, described(event)) else { return };
        let goes_on = Python::attach(|py| callback.call1(py, (event.to_string(),))?.extract::<bool>(py));
        match goes_on {
            Ok(true) => {}
            Ok(false) => self.stop(None),
            Err(error) => self.stop(Some(error)),
        }
    }
}

/// An event for a callback.
fn described(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Step(report) => json!({
            "event": "step", "step": report.step, "steps": report.total, "epoch": report.epoch, "loss": report.loss,
            "learning_rate": report.learning_rate, "seconds": report.seconds, "metrics": report.metrics,
        }),
        Event::Epoch(report) => json!({
            "event": "epoch", "step": report.step, "epoch": report.epoch, "loss": report.loss, "best": report.best,
            "rsum": report.validation.rsum, "validation": report.validation.by_name(), "seconds": report.seconds,
        }),
        Event::Alarm(alarm) => json!({"event": "alarm", "message": alarm.to_string()}),
        Event::NotCalibrated(error) => json!({"event": "alarm", "message": format!("not calibrated: {error}")}),
        Event::Stopped { step } => json!({"event": "stopped", "step": step}),
    })
}
