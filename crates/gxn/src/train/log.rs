//! `log.jsonl`: one line a step and one an epoch.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::picture_steps::PictureFigures;
use super::steps::CaptionFigures;
use super::validation::Validation;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};

/// The log of a run. Lines hold no times of day, so that a resumed run's step lines equal an uninterrupted run's.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log for the run to go on after `step` steps: later lines, of a run that was killed, are removed.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
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
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Adds a step's line.
    ///
    /// # Errors
    /// When the line cannot be written.
    #[allow(clippy::too_many_arguments)]
    pub fn step(
        &mut self,
        step: u64,
        epoch: usize,
        loss: f64,
        grad_norm: f64,
        learning_rate: f64,
        captions: Option<&CaptionFigures>,
        pictures: Option<&PictureFigures>,
    ) -> Result<()> {
        let mut line = json!({"step": step, "epoch": epoch, "loss": loss, "grad_norm": grad_norm, "lr": learning_rate});
        if let Some(captions) = captions {
            line["caption"] = json!(captions);
        }
        if let Some(pictures) = pictures {
            line["picture"] = json!(pictures);
        }
        self.line(&line)
    }

    /// Adds an epoch's line.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn epoch(
        &mut self,
        step: u64,
        epoch: usize,
        loss: Option<f64>,
        validation: &Validation,
        seconds: f64,
    ) -> Result<()> {
        self.line(&json!({"step": step, "finished_epoch": epoch, "mean_loss": loss, "val": validation.by_name(), "seconds": seconds}))
    }

    fn line(&mut self, value: &Value) -> Result<()> {
        writeln!(self.file, "{value}").map_err(|e| Error::io("cannot write", &self.path, e))
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?.get("step")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_the_resumed_step_and_torn_lines_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        for step in 1..=4 {
            log.step(step, 1, 0.5, 1.0, 1e-3, None, None).unwrap();
        }
        log.file.write_all(b"{\"step\": 5, \"lo").unwrap();
        drop(log);
        let mut log = Log::open(&path, 2).unwrap();
        log.step(3, 1, 0.25, 1.0, 1e-3, None, None).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<_> = text.lines().map(|line| step_of(line).unwrap()).collect();
        assert_eq!(steps, [1, 2, 3]);
        assert!(text.ends_with("\"lr\":0.001}\n") && text.contains("0.25"));
    }
}
