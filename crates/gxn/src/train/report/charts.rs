//! [`charts`]: the curves of a run.

use serde_json::{Map, Value};

use super::history::{History, RECALLS, number};
use gxn_base::Result;
use gxn_eval::{Line, line_chart};

/// A chart for all that the log has numbers of.
pub(super) fn charts(history: &History) -> Result<String> {
    let line = |name: &str, points| Line { name: name.into(), points };
    let step = |name: &'static str| line(name, history.by_step(|line| number(line, name)));
    let epochs = |names: &[&str]| names.iter().map(|name| line(name, history.by_epoch(name))).collect::<Vec<_>>();
    let mut charts = vec![
        ("Loss on train", "step", vec![step("loss")]),
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
