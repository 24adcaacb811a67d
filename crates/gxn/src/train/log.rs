//! `log.jsonl`: one line a step, one an epoch and one an alarm; the numbers also go into event files where that is asked for.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::event::{EpochReport, StepReport};
use super::event_file::{EventFile, ReportTo};
use super::health::Alarm;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};

/// The log of a run. Lines hold no times of day, so that a resumed run's step lines equal an uninterrupted run's.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    events: Option<EventFile>,
}

impl Log {
    /// Opens the log for the run to go on after `step` steps: later lines, of a run that was killed, are removed. Event files lie
    /// beside it.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open(path: &Path, step: u64, report_to: ReportTo) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io("cannot read", path, e)),
        };
        let kept: Vec<&str> = text.lines().filter(|line| step_of(line).is_some_and(|at| at <= step)).collect();
        if kept.len() != text.lines().count() || !text.ends_with('\n') {
            write_atomically(path, |file| kept.iter().try_for_each(|line| writeln!(file, "{line}")))?;
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(|e| Error::io("cannot open", path, e))?;
        let events = EventFile::begin(path.parent().unwrap_or(Path::new(".")), step, report_to)?;
        Ok(Self { path: path.to_path_buf(), file, events })
    }

    /// Adds a step's line.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn step(&mut self, report: &StepReport) -> Result<()> {
        let StepReport { step, epoch, loss, grad_norm, learning_rate, metrics, .. } = report;
        let mut line = json!({"step": step, "epoch": epoch, "loss": loss, "grad_norm": grad_norm, "lr": learning_rate});
        // `caption.loss` is `loss` in the object `caption`.
        for (name, value) in metrics.without_times().iter() {
            match name.split_once('.') {
                Some((group, name)) => line[group][name] = value.into(),
                None => line[name] = value.into(),
            }
        }
        self.line(&line)
    }

    /// Adds an epoch's line.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn epoch(&mut self, report: &EpochReport) -> Result<()> {
        let EpochReport { step, epoch, loss, validation, seconds, .. } = report;
        let val = validation.by_name();
        self.line(&json!({"step": step, "finished_epoch": epoch, "mean_loss": loss, "val": val, "seconds": seconds}))
    }

    /// Adds the line of an alarm that the epoch which ended with `step` raised.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn alarm(&mut self, step: u64, alarm: &Alarm) -> Result<()> {
        self.line(&json!({"step": step, "alarm": alarm.to_string()}))
    }

    fn line(&mut self, value: &Value) -> Result<()> {
        writeln!(self.file, "{value}").map_err(|e| Error::io("cannot write", &self.path, e))?;
        match (&mut self.events, value) {
            (Some(events), Value::Object(line)) => events.line(line),
            _ => Ok(()),
        }
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?.get("step")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64, loss: f64) -> StepReport {
        let metrics = [("caption.loss", 2.0), ("caption.reward_seconds", 7.0), ("caption.reward", 0.5)].into();
        StepReport { step, total: 9, epoch: 1, loss, grad_norm: 1.0, learning_rate: 1e-3, metrics, seconds: 3.0 }
    }

    #[test]
    fn lines_after_the_resumed_step_and_torn_lines_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut log = Log::open(&path, 0, ReportTo::Nothing).unwrap();
        for step in 1..=4 {
            log.step(&report(step, 0.5)).unwrap();
        }
        log.file.write_all(b"{\"step\": 5, \"lo").unwrap();
        drop(log);
        let mut log = Log::open(&path, 2, ReportTo::Nothing).unwrap();
        log.step(&report(3, 0.25)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<_> = text.lines().map(|line| step_of(line).unwrap()).collect();
        assert_eq!(steps, [1, 2, 3]);
        let expected =
            r#"{"step":3,"epoch":1,"loss":0.25,"grad_norm":1.0,"lr":0.001,"caption":{"loss":2.0,"reward":0.5}}"#;
        assert_eq!(text.lines().last(), Some(expected));
        log.alarm(3, &Alarm::Plateau { loss: 0.2, plateau: 0.2 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let last = text.lines().last().unwrap();
        assert!(last.starts_with(r#"{"step":3,"alarm":"the loss 0.2000 stands at 0.2000"#), "{last}");
    }
}
