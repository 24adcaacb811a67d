//! [`History`]: what the log of a run tells.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use gxn_base::text::read_text;
use gxn_base::words::counted;
use gxn_base::{Error, Result};

/// Points of a curve at most; more are averaged, so that a page stays small.
const MOST_POINTS: usize = 400;
/// Recalls by name, query first.
pub(super) const RECALLS: [&str; 6] = ["i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10"];

/// What the log of a run tells.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Lines of steps, of epochs and of alarms.
    pub steps: Vec<Map<String, Value>>,
    pub epochs: Vec<Map<String, Value>>,
    pub alarms: Vec<Map<String, Value>>,
    unreadable: usize,
}

/// Where the log of a run lies.
pub(super) fn log_of(run: &Path) -> PathBuf {
    run.join("log.jsonl")
}

impl History {
    /// # Errors
    /// When the log cannot be read or has no step.
    pub fn read(run: &Path) -> Result<Self> {
        let log = log_of(run);
        let history = Self::of(&read_text(&log)?);
        if history.steps.is_empty() && history.epochs.is_empty() {
            return Err(Error::invalid(log.display().to_string(), "no step", "the log of a run that trained"));
        }
        Ok(history)
    }

    fn of(log: &str) -> Self {
        let mut history = Self::default();
        for line in log.lines() {
            match serde_json::from_str(line) {
                Ok(Value::Object(line)) if line.contains_key("finished_epoch") => history.epochs.push(line),
                Ok(Value::Object(line)) if line.contains_key("alarm") => history.alarms.push(line),
                Ok(Value::Object(line)) => history.steps.push(line),
                _ => history.unreadable += 1,
            }
        }
        history
    }

    /// A number of every step that has it.
    pub fn by_step(&self, get: impl Fn(&Map<String, Value>) -> Option<f64>) -> Vec<(f64, f64)> {
        averaged(&self.steps.iter().filter_map(|line| Some((number(line, "step")?, get(line)?))).collect::<Vec<_>>())
    }

    /// A number of the validation after every epoch.
    pub fn by_epoch(&self, name: &str) -> Vec<(f64, f64)> {
        let point = |line: &Map<String, Value>| Some((number(line, "finished_epoch")?, validated(line, name)?));
        self.epochs.iter().filter_map(point).collect()
    }

    /// The epoch with the highest rsum, the first of equals.
    fn best(&self) -> Option<(f64, f64)> {
        let better = |best: Option<(f64, f64)>, point: (f64, f64)| match best {
            Some(best) if best.1 >= point.1 => Some(best),
            _ => Some(point),
        };
        self.by_epoch("rsum").into_iter().fold(None, better)
    }

    /// Steps, epochs and the best epoch in a sentence.
    pub fn summary(&self) -> String {
        let best = self.best().map_or_else(
            || "no epoch is finished".into(),
            |(epoch, rsum)| {
                format!("highest val rsum {rsum:.1}, mean recall (mR) {:.1}, after epoch {epoch}", rsum / 6.0)
            },
        );
        let unreadable = match self.unreadable {
            0 => String::new(),
            count => format!("; {} of the log cannot be read", counted(count, "line")),
        };
        // The first line may be of epoch 0, the start.
        let finished = self.epochs.iter().filter_map(|line| number(line, "finished_epoch")).fold(0.0, f64::max);
        format!("{}, {finished} epochs; {best}{unreadable}", counted(self.steps.len(), "step"))
    }

    /// The validation after every epoch as rows of a table.
    pub fn rows(&self) -> String {
        let best = self.best().map(|(epoch, _)| epoch);
        let cell = |value: Option<f64>, digits: usize| {
            format!("<td>{}</td>", value.map_or("–".into(), |v| format!("{v:.digits$}")))
        };
        let row = |line: &Map<String, Value>| {
            let epoch = number(line, "finished_epoch");
            let class = if epoch.is_some() && epoch == best { " class=\"best\"" } else { "" };
            let recalls: String = RECALLS.iter().map(|name| cell(validated(line, name), 1)).collect();
            let first = [cell(epoch, 0), cell(number(line, "step"), 0), cell(number(line, "mean_loss"), 4)].concat();
            format!("<tr{class}>{first}{recalls}{}</tr>\n", cell(validated(line, "rsum"), 1))
        };
        self.epochs.iter().map(row).collect()
    }
}

/// A number of a line.
pub(super) fn number(line: &Map<String, Value>, name: &str) -> Option<f64> {
    line.get(name)?.as_f64()
}

fn validated(line: &Map<String, Value>, name: &str) -> Option<f64> {
    line.get("val")?.get(name)?.as_f64()
}

/// At most [`MOST_POINTS`] points, each the mean of neighbours.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let sum = chunk.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / chunk.len() as f64, sum.1 / chunk.len() as f64)
    };
    points.chunks(each).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_points_are_averaged() {
        let points: Vec<(f64, f64)> = (0..1000).map(|at| (f64::from(at), f64::from(at % 2))).collect();
        let found = averaged(&points);
        assert_eq!(found.len(), 334);
        assert_eq!(found[0], (1.0, 1.0 / 3.0));
        assert_eq!(averaged(&points[..3]), points[..3]);
        assert!(averaged(&[]).is_empty());
    }
}
