//! [`training_page`]: a run's log as a self-contained HTML page with curves.

use std::path::Path;

use serde_json::{Map, Value};

use gxn_base::text::read_text;
use gxn_base::{Error, Result};
use gxn_eval::html::{escape, page};
use gxn_eval::{Line, line_chart};

const PAGE: &str = include_str!("page.html");
/// Points of a curve at most; more are averaged, so that a page stays small.
const MOST_POINTS: usize = 400;
const RECALLS: [&str; 6] = ["i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10"];

/// What the log of a run tells.
#[derive(Debug, Default)]
struct History {
    /// Lines of steps and of epochs.
    steps: Vec<Map<String, Value>>,
    epochs: Vec<Map<String, Value>>,
    unreadable: usize,
}

impl History {
    /// # Errors
    /// When the log cannot be read or has no step.
    fn read(run: &Path) -> Result<Self> {
        let log = run.join("log.jsonl");
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
                // The program said it when it happened.
                Ok(Value::Object(line)) if line.contains_key("alarm") => {}
                Ok(Value::Object(line)) => history.steps.push(line),
                _ => history.unreadable += 1,
            }
        }
        history
    }

    /// A number of every step that has it.
    fn by_step(&self, get: impl Fn(&Map<String, Value>) -> Option<f64>) -> Vec<(f64, f64)> {
        averaged(&self.steps.iter().filter_map(|line| Some((number(line, "step")?, get(line)?))).collect::<Vec<_>>())
    }

    /// A number of the validation after every epoch.
    fn by_epoch(&self, name: &str) -> Vec<(f64, f64)> {
        let point = |line: &Map<String, Value>| Some((number(line, "finished_epoch")?, validated(line, name)?));
        self.epochs.iter().filter_map(point).collect()
    }
}

/// The page of the run in the folder `run`: curves of its losses and of its validation, and its configuration.
///
/// # Errors
/// When the log cannot be read or has no step.
pub fn training_page(run: &Path) -> Result<String> {
    let history = History::read(run)?;
    let name = run.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned());
    let values = [
        ("title", escape(&format!("Training of {name}"))),
        ("summary", escape(&summary(&history))),
        ("charts", charts(&history)?),
        ("rows", rows(&history)),
        ("config", escape(&read_text(&run.join("config.toml")).unwrap_or_default())),
    ];
    Ok(page(PAGE, &values.each_ref().map(|(name, value)| (*name, value.as_str()))))
}

/// The curves of [`training_page`] alone, as SVG.
///
/// # Errors
/// When the log cannot be read or has no step.
pub fn training_charts(run: &Path) -> Result<String> {
    charts(&History::read(run)?)
}

fn number(line: &Map<String, Value>, name: &str) -> Option<f64> {
    line.get(name)?.as_f64()
}

fn validated(line: &Map<String, Value>, name: &str) -> Option<f64> {
    line.get("val")?.get(name)?.as_f64()
}

/// The epoch with the highest rsum, the first of equals.
fn best(history: &History) -> Option<(f64, f64)> {
    let better = |best: Option<(f64, f64)>, point: (f64, f64)| match best {
        Some(best) if best.1 >= point.1 => Some(best),
        _ => Some(point),
    };
    history.by_epoch("rsum").into_iter().fold(None, better)
}

fn summary(history: &History) -> String {
    let best = best(history).map_or_else(
        || "no epoch is finished".into(),
        |(epoch, rsum)| format!("best epoch {epoch} with val rsum {rsum:.1}, mean recall (mR) {:.1}", rsum / 6.0),
    );
    let unreadable = match history.unreadable {
        0 => String::new(),
        count => format!("; {count} lines of the log cannot be read"),
    };
    format!("{} steps, {} epochs; {best}{unreadable}", history.steps.len(), history.epochs.len())
}

/// A chart for all that the log has numbers of.
fn charts(history: &History) -> Result<String> {
    let line = |name: &str, points| Line { name: name.into(), points };
    let step = |name: &'static str| line(name, history.by_step(|line| number(line, name)));
    let epochs = |names: &[&str]| names.iter().map(|name| line(name, history.by_epoch(name))).collect::<Vec<_>>();
    let mut charts = vec![
        ("Loss", "step", vec![step("loss")]),
        ("Validation: rsum", "epoch", epochs(&["rsum"])),
        ("Validation: recall, percent", "epoch", epochs(&RECALLS)),
        ("Validation: spread of the embeddings", "epoch", epochs(&["image_spread", "caption_spread"])),
        ("Learning rate", "step", vec![step("lr")]),
        ("Norm of the gradient", "step", vec![step("grad_norm")]),
    ];
    let groups = groups(history);
    charts.extend(groups.iter().map(|group| (group.as_str(), "step", group_lines(history, group))));
    let drawable = |lines: &[Line]| lines.iter().any(|line| line.points.iter().any(|(_, y)| y.is_finite()));
    (charts.iter().filter(|(_, _, lines)| drawable(lines)))
        .map(|(title, x, lines)| line_chart(title, x, "", lines))
        .collect()
}

/// Names of the groups of numbers that updates report, such as `caption`.
fn groups(history: &History) -> Vec<String> {
    let names = history.steps.iter().flatten().filter(|(_, value)| value.is_object()).map(|(name, _)| name.clone());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

fn group_lines(history: &History, group: &str) -> Vec<Line> {
    let of = |line: &Map<String, Value>| line.get(group).and_then(Value::as_object).cloned();
    let mut names: Vec<String> =
        history.steps.iter().filter_map(of).flat_map(|numbers| numbers.into_iter().map(|n| n.0)).collect();
    names.sort();
    names.dedup();
    let points = |name: &str| history.by_step(|line| line.get(group)?.get(name)?.as_f64());
    names.iter().map(|name| Line { name: name.clone(), points: points(name) }).collect()
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

fn rows(history: &History) -> String {
    let best = best(history).map(|(epoch, _)| epoch);
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
    history.epochs.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"step":1,"epoch":1,"loss":0.5,"grad_norm":1.0,"lr":0.001,"caption":{"loss":2.0,"reward":0.5}}
{"step":2,"epoch":1,"loss":0.25,"grad_norm":1.5,"lr":0.001,"caption":{"loss":1.0}}
{"step":2,"finished_epoch":1,"mean_loss":0.375,"val":{"rsum":120.0,"i2t_r1":10.0,"t2i_r1":12.5},"seconds":1.0}
{"step":4,"finished_epoch":2,"mean_loss":null,"val":{"rsum":90.0,"i2t_r1":5.0,"t2i_r1":7.0},"seconds":1.0}
{"step":5,"lo"#;

    #[test]
    fn a_run_becomes_a_page_that_loads_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("<mine>");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("log.jsonl"), LOG).unwrap();
        std::fs::write(run.join("config.toml"), "seed = 1 # <b>\n").unwrap();
        let page = training_page(&run).unwrap();
        for part in [
            "Training of &lt;mine&gt;",
            "2 steps, 2 epochs; best epoch 1 with val rsum 120.0, mean recall (mR) 20.0; 1 lines of the log cannot be read",
            "<tr class=\"best\"><td>1</td><td>2</td><td>0.3750</td><td>10.0</td><td>–</td>",
            "Validation: rsum",
            "reward",
            "# &lt;b&gt;",
        ] {
            assert!(page.contains(part), "{part} not in {page}");
        }
        // Loss, rsum, recall, learning rate, gradient, captions; no spread was measured.
        assert_eq!(page.matches("<svg").count(), 6);
        assert!(!page.contains("{{") && !page.contains("<script") && !page.contains("src="), "{page}");
        std::fs::write(run.join("log.jsonl"), "").unwrap();
        assert!(training_page(&run).unwrap_err().to_string().contains("found no step"));
    }

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
