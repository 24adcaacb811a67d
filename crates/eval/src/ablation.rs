//! [`AblationTable`]: the arms of an ablation beside their controls, in the form of the paper's Table 1.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::report::Report;
use super::{Comparison, compare_groups, mean_and_deviation};
use crate::metrics::{Bootstrap, METRIC_KEYS};
use gxn_base::Result;

/// The columns of the paper's Table 1, and the metric of each.
const COLUMNS: [(&str, &str); 7] = [
    ("i→t R@1", "i2t_r1"),
    ("i→t R@10", "i2t_r10"),
    ("i→t Med r", "i2t_medr"),
    ("t→i R@1", "t2i_r1"),
    ("t→i R@10", "t2i_r10"),
    ("t→i Med r", "t2i_medr"),
    ("Sum", "paper_sum"),
];

/// The reports of one arm, a run a seed.
#[derive(Debug, Clone)]
pub struct ArmReports {
    /// The arm's name.
    pub name: String,
    /// Match steps behind the first stage along its longest ancestry.
    pub match_steps: u64,
    /// Place of its control; itself where it does not generate.
    pub control: usize,
    /// One report a seed, under the model's own λ.
    pub reports: Vec<Report>,
    /// R@1 of both directions by the abstract level alone, by the grounded level alone, and the λ of highest rsum on val, for
    /// each seed.
    pub split_scores: Vec<SplitScore>,
}

/// Retrieval by one level alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplitScore {
    /// R@1 image→text and text→image by (v_h, t_h).
    pub abstract_r1: [f64; 2],
    /// R@1 image→text and text→image by (v_l, t_l).
    pub grounded_r1: [f64; 2],
    /// The λ of highest rsum on val.
    pub best_lambda: f64,
}

/// Every arm with mean, deviation and difference to its control.
#[derive(Debug, Clone, Serialize)]
pub struct AblationTable {
    /// The data set, split and protocol of the reports.
    pub about: String,
    /// Seeds of each arm.
    pub seeds: usize,
    /// The arms.
    pub rows: Vec<AblationRow>,
}

/// One arm.
#[derive(Debug, Clone, Serialize)]
pub struct AblationRow {
    /// Its name.
    pub name: String,
    /// Match steps behind the first stage.
    pub match_steps: u64,
    /// Mean of every metric over the seeds, in the order of [`METRIC_KEYS`].
    pub mean: Vec<f64>,
    /// Standard deviation over the seeds.
    pub deviation: Vec<f64>,
    /// Mean over seeds of retrieval by one level alone.
    pub split: Option<SplitScore>,
    /// The control and the paired differences to it; none where the arm is its own.
    pub against: Option<Against>,
}

/// A comparison with the control.
#[derive(Debug, Clone, Serialize)]
pub struct Against {
    /// The control's name.
    pub control: String,
    /// The arm minus its control.
    pub comparison: Comparison,
    /// Standard deviation of that difference over the seeds, of every metric in the order of [`METRIC_KEYS`]: what the
    /// comparison's bootstrap over images does not see.
    pub deviation: Vec<f64>,
}

impl Against {
    fn of(control: &ArmReports, arm: &ArmReports, bootstrap: Bootstrap) -> Result<Self> {
        let comparison = compare_groups(&[control.reports.clone(), arm.reports.clone()], bootstrap)?;
        let deviation_of = |metric: usize| {
            let pairs = arm.reports.iter().zip(&control.reports);
            let value = |report: &Report| report.metrics.values()[metric];
            mean_and_deviation(pairs.map(|(arm, control)| value(arm) - value(control))).1
        };
        let deviation = (0..METRIC_KEYS.len()).map(deviation_of).collect();
        Ok(Self { control: control.name.clone(), comparison, deviation })
    }
}

impl AblationTable {
    /// Sets every arm beside its control.
    ///
    /// # Errors
    /// When an arm has no report, or reports of different queries.
    pub fn of(arms: &[ArmReports], bootstrap: Bootstrap) -> Result<Self> {
        let mut rows = Vec::with_capacity(arms.len());
        for (at, arm) in arms.iter().enumerate() {
            let statistics = |metric: usize| mean_and_deviation(arm.reports.iter().map(|r| r.metrics.values()[metric]));
            let (mean, deviation) = (0..METRIC_KEYS.len()).map(statistics).unzip();
            let against = match arm.control {
                control if control == at => None,
                control => Some(Against::of(&arms[control], arm, bootstrap)?),
            };
            rows.push(AblationRow {
                name: arm.name.clone(),
                match_steps: arm.match_steps,
                mean,
                deviation,
                split: mean_split(&arm.split_scores),
                against,
            });
        }
        let about = arms.iter().find_map(|arm| arm.reports.first()).map_or(String::new(), |report| {
            format!("{} {}, protocol {}, {} images", report.dataset, report.split, report.protocol, report.n_images)
        });
        Ok(Self { about, seeds: arms.iter().map(|arm| arm.reports.len()).max().unwrap_or(0), rows })
    }

    /// The table as markdown: means ± deviations, and under each arm the difference to its control with p.
    pub fn markdown(&self) -> String {
        let mut out = format!("{}; {}\n\n| |", self.about, self.of_what());
        COLUMNS.iter().for_each(|(title, _)| out += &format!(" {title} |"));
        out += " Match steps |\n|---|";
        out += &"---|".repeat(COLUMNS.len() + 1);
        out.push('\n');
        for row in &self.rows {
            let _ = write!(out, "| **{}** |", row.name);
            for metric in metrics() {
                let _ = write!(out, " {} |", self.value(row, metric));
            }
            let _ = writeln!(out, " {} |", row.match_steps);
            if let Some(against) = &row.against {
                let _ = write!(out, "| − {} |", against.control);
                for metric in metrics() {
                    let _ = write!(out, " {} |", self.difference(against, metric));
                }
                out += " |\n";
            }
        }
        out += "\n| one level alone, R@1 | (v_h, t_h) i→t / t→i | (v_l, t_l) i→t / t→i | best λ on val |\n|---|---|---|---|\n";
        for (name, cells) in self.split_cells() {
            let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
        }
        out
    }

    /// The table as a page with a bar for each mean.
    pub fn html(&self) -> String {
        const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}\
            table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #ddd}\
            td:first-child,th:first-child{text-align:left}.bar{background:#9bbfe0;height:.5rem;display:block}\
            .against td{color:#666;font-size:.85rem}.clear{color:#060;font-weight:600}";
        let largest: Vec<f64> =
            metrics().map(|metric| self.rows.iter().map(|row| row.mean[metric]).fold(1e-9, f64::max)).collect();
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Ablation</title><style>{STYLE}</style>\n\
             <h1>Ablation</h1>\n<p>{}; {}. Below each arm its difference to the control that \
             took as many Match steps without generating; p from a paired bootstrap over images.</p>\n<table><tr><th></th>",
            self.about,
            self.of_what()
        );
        COLUMNS.iter().for_each(|(title, _)| out += &format!("<th>{title}</th>"));
        out += "<th>Match steps</th></tr>\n";
        for row in &self.rows {
            let _ = write!(out, "<tr><td>{}</td>", row.name);
            for (metric, largest) in metrics().zip(&largest) {
                let width = 100.0 * row.mean[metric] / largest;
                let _ = write!(
                    out,
                    "<td>{}<span class=\"bar\" style=\"width:{width:.1}%\"></span></td>",
                    self.value(row, metric)
                );
            }
            let _ = writeln!(out, "<td>{}</td></tr>", row.match_steps);
            if let Some(against) = &row.against {
                let _ = write!(out, "<tr class=\"against\"><td>minus {}</td>", against.control);
                for metric in metrics() {
                    let clear = against.comparison.metrics[metric].differences[0].p < 0.05;
                    let class = if clear { " class=\"clear\"" } else { "" };
                    let _ = write!(out, "<td{class}>{}</td>", self.difference(against, metric));
                }
                out += "<td></td></tr>\n";
            }
        }
        out += "</table>\n<h2>R@1 by one level alone</h2>\n<table><tr><th></th><th>(v_h, t_h) i→t / t→i</th>\
            <th>(v_l, t_l) i→t / t→i</th><th>best λ on val</th></tr>\n";
        for (name, cells) in self.split_cells() {
            let _ = writeln!(out, "<tr><td>{name}</td><td>{}</td></tr>", cells.join("</td><td>"));
        }
        out += "</table>\n</html>\n";
        out
    }

    fn of_what(&self) -> String {
        match self.seeds {
            1 => "one seed".into(),
            seeds => format!("mean ± standard deviation of {seeds} seeds"),
        }
    }

    /// Name and cells of every arm's retrieval by one level alone.
    fn split_cells(&self) -> impl Iterator<Item = (&str, [String; 3])> {
        self.rows.iter().filter_map(|row| {
            let SplitScore { abstract_r1, grounded_r1, best_lambda } = row.split?;
            let directions = |[i2t, t2i]: [f64; 2]| format!("{i2t:.1} / {t2i:.1}");
            Some((row.name.as_str(), [directions(abstract_r1), directions(grounded_r1), format!("{best_lambda:.2}")]))
        })
    }

    /// The difference to the control, how it varies, and its p.
    fn difference(&self, against: &Against, metric: usize) -> String {
        let found = against.comparison.metrics[metric].differences[0];
        format!("{}{} (p {:.3})", signed(found.difference), self.spread(against.deviation[metric]), found.p)
    }

    /// The mean and how it varies.
    fn value(&self, row: &AblationRow, metric: usize) -> String {
        format!("{:.1}{}", row.mean[metric], self.spread(row.deviation[metric]))
    }

    /// A deviation behind its mean; one seed has none to tell.
    fn spread(&self, deviation: f64) -> String {
        if self.seeds == 1 { String::new() } else { format!(" ± {deviation:.1}") }
    }
}

/// With its sign and one digit; what rounds to nothing has no sign.
fn signed(difference: f64) -> String {
    let text = format!("{difference:+.1}");
    if text == "-0.0" || text == "+0.0" { "0.0".into() } else { text }
}

/// Places of [`COLUMNS`] among [`METRIC_KEYS`].
fn metrics() -> impl Iterator<Item = usize> {
    COLUMNS.iter().filter_map(|(_, key)| METRIC_KEYS.iter().position(|known| known == key))
}

fn mean_split(scores: &[SplitScore]) -> Option<SplitScore> {
    if scores.is_empty() {
        return None;
    }
    let mean = |of: &dyn Fn(&SplitScore) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
    Some(SplitScore {
        abstract_r1: [mean(&|s| s.abstract_r1[0]), mean(&|s| s.abstract_r1[1])],
        grounded_r1: [mean(&|s| s.grounded_r1[0]), mean(&|s| s.grounded_r1[1])],
        best_lambda: mean(&|s| s.best_lambda),
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn arms_stand_beside_their_controls() {
        let arm = |name: &str, control, tilts: [f64; 2]| ArmReports {
            name: name.into(),
            match_steps: 10,
            control,
            reports: tilts.map(|tilt| report(name, tilt as f32)).into(),
            split_scores: vec![
                SplitScore { abstract_r1: [1.0, 2.0], grounded_r1: [3.0, 4.0], best_lambda: 0.4 },
                SplitScore { abstract_r1: [3.0, 2.0], grounded_r1: [3.0, 4.0], best_lambda: 0.6 },
            ],
        };
        let arms = [arm("look", 0, [0.1, 0.1]), arm("xe", 2, [0.1, 3.0]), arm("xe-control", 2, [3.0, 3.0])];
        let table = AblationTable::of(&arms, Bootstrap { resamples: 100, seed: 1 }).unwrap();
        assert!(table.rows[0].against.is_none() && table.rows[2].against.is_none());
        let against = table.rows[1].against.as_ref().unwrap();
        assert_eq!(against.control, "xe-control");
        let t2i_r1 = &against.comparison.metrics[5];
        assert!(t2i_r1.differences[0].difference > 0.0, "{t2i_r1:?}");
        assert!((table.rows[1].mean[5] - t2i_r1.values[1]).abs() < 1e-9);
        // The first seed differs from its control, the second does not: d and 0 lie d/√2 about their mean.
        let (mean, deviation) = (t2i_r1.differences[0].difference, against.deviation[5]);
        assert!((deviation - 2.0 * mean.abs() / 2f64.sqrt()).abs() < 1e-9, "{mean} {deviation}");
        let markdown = table.markdown();
        assert!(markdown.contains("| **xe** |") && markdown.contains("| − xe-control |"), "{markdown}");
        assert!(markdown.contains("| look | 2.0 / 2.0 | 3.0 / 4.0 | 0.50 |"), "{markdown}");
        assert_eq!(table.html().matches("class=\"bar\"").count(), 3 * COLUMNS.len());
        assert!(table.html().contains("<td>2.0 / 2.0</td><td>3.0 / 4.0</td><td>0.50</td>"), "{}", table.html());
        assert!(serde_json::to_value(&table).unwrap()["rows"][1]["against"]["comparison"].is_object());

        let alone = arms.map(|arm| ArmReports { reports: arm.reports[..1].to_vec(), ..arm });
        let markdown = AblationTable::of(&alone, Bootstrap { resamples: 100, seed: 1 }).unwrap().markdown();
        assert!(markdown.contains("; one seed\n") && !markdown.contains('±'), "{markdown}");
        assert_eq!([-0.04, 0.0, -0.05, 1.26].map(signed), ["0.0", "0.0", "-0.1", "+1.3"]);
    }
}
