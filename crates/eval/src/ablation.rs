//! [`AblationTable`]: the variants of an ablation beside their controls, in the form of the paper's Table 1.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::compare::{ReportComparison, compare_groups, mean_and_deviation};
use crate::html::{escape, fill};
use crate::metrics::{Bootstrap, METRIC_KEYS};
use crate::report::Report;
use gxn_base::fs::write_text;
use gxn_base::{Error, Result};

const PAGE: &str = include_str!("ablation.html");

/// The columns of the paper's Table 1 and mean recall: the metric of each, and by what it is divided.
const COLUMNS: [(&str, &str, f64); 8] = [
    ("i→t R@1", "i2t_r1", 1.0),
    ("i→t R@10", "i2t_r10", 1.0),
    ("i→t Med r", "i2t_medr", 1.0),
    ("t→i R@1", "t2i_r1", 1.0),
    ("t→i R@10", "t2i_r10", 1.0),
    ("t→i Med r", "t2i_medr", 1.0),
    ("Sum", "paper_sum", 1.0),
    ("mR", "rsum", 6.0),
];

/// Retrieval by one level alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LevelRecall {
    /// R@1 image→text and text→image by (v_h, t_h).
    pub abstract_r1: [f64; 2],
    /// R@1 image→text and text→image by (v_l, t_l).
    pub grounded_r1: [f64; 2],
    /// The λ of highest rsum on val.
    pub best_lambda: f64,
}

/// One run of a variant, measured: the file `ablation_SPLIT.json` in the run's folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantResult {
    /// The report under the model's own λ.
    pub report: Report,
    /// Retrieval by each level alone; none where the model has one level.
    #[serde(rename = "split_score")]
    pub level_scores: Option<LevelRecall>,
    /// Match steps behind the first stage along the longest ancestry.
    pub match_steps: u64,
}

impl VariantResult {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is not what [`VariantResult::write`] writes.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            report: serde_json::Value,
            split_score: Option<LevelRecall>,
            #[serde(default)]
            match_steps: u64,
        }
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("cannot read", path, error))?;
        let file: File = serde_json::from_str(&text)
            .map_err(|error| Error::damaged(&name, error.to_string(), "the JSON of a measured variant"))?;
        let report = Report::from_value(file.report, &name)?;
        Ok(Self { report, level_scores: file.split_score, match_steps: file.match_steps })
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string(self)
            .map_err(|error| Error::invalid("variant", error.to_string(), "numbers fit for JSON"))?;
        write_text(path, &format!("{json}\n"))
    }
}

/// The runs of one variant, one per seed.
#[derive(Debug, Clone)]
pub struct VariantResults {
    /// The variant's name.
    pub name: String,
    /// Place of its control among the variants; its own where it does not generate.
    pub control: usize,
    /// One result per seed.
    pub runs: Vec<VariantResult>,
}

impl VariantResults {
    fn reports(&self) -> Vec<Report> {
        self.runs.iter().map(|run| run.report.clone()).collect()
    }

    fn values(&self, metric: usize) -> impl Iterator<Item = f64> + Clone {
        self.runs.iter().map(move |run| run.report.metrics.values()[metric])
    }
}

/// Every variant with mean, deviation and difference to its control.
#[derive(Debug, Clone, Serialize)]
pub struct AblationTable {
    /// The dataset, split and protocol of the reports.
    pub about: String,
    /// Seeds of each variant.
    pub seeds: usize,
    /// The variants.
    pub rows: Vec<AblationRow>,
}

/// One variant.
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
    #[serde(rename = "split")]
    pub level_scores: Option<LevelRecall>,
    /// The control and the paired differences to it; none where the variant is its own.
    pub against: Option<ControlComparison>,
}

/// A variant beside its control.
#[derive(Debug, Clone, Serialize)]
pub struct ControlComparison {
    /// The control's name.
    pub control: String,
    /// The variant minus its control.
    pub comparison: ReportComparison,
    /// Standard deviation of that difference over the seeds, of every metric in the order of [`METRIC_KEYS`]: what the
    /// comparison's bootstrap over images does not see.
    pub deviation: Vec<f64>,
}

impl ControlComparison {
    fn new(control: &VariantResults, variant: &VariantResults, bootstrap: Bootstrap) -> Result<Self> {
        let comparison = compare_groups(&[control.reports(), variant.reports()], bootstrap)?;
        let deviation_of = |metric| {
            let pairs = variant.values(metric).zip(control.values(metric));
            mean_and_deviation(pairs.map(|(variant, control)| variant - control)).1
        };
        let deviation = (0..METRIC_KEYS.len()).map(deviation_of).collect();
        Ok(Self { control: control.name.clone(), comparison, deviation })
    }
}

impl AblationTable {
    /// Sets every variant beside its control.
    ///
    /// # Errors
    /// When a variant has no result, or results of different queries.
    pub fn new(variants: &[VariantResults], bootstrap: Bootstrap) -> Result<Self> {
        let mut rows = Vec::with_capacity(variants.len());
        for (at, variant) in variants.iter().enumerate() {
            let statistics = |metric: usize| mean_and_deviation(variant.values(metric));
            let (mean, deviation) = (0..METRIC_KEYS.len()).map(statistics).unzip();
            let against = match variant.control {
                control if control == at => None,
                control => Some(ControlComparison::new(&variants[control], variant, bootstrap)?),
            };
            let level_scores: Vec<LevelRecall> = variant.runs.iter().filter_map(|run| run.level_scores).collect();
            rows.push(AblationRow {
                name: variant.name.clone(),
                match_steps: variant.runs.last().map_or(0, |run| run.match_steps),
                mean,
                deviation,
                level_scores: mean_scores(&level_scores),
                against,
            });
        }
        let about = variants.iter().find_map(|variant| variant.runs.first()).map_or(String::new(), |run| {
            let report = &run.report;
            format!("{} {}, protocol {}, {} images", report.dataset, report.split, report.protocol, report.n_images)
        });
        Ok(Self { about, seeds: variants.iter().map(|variant| variant.runs.len()).max().unwrap_or(0), rows })
    }

    /// The table as markdown: means ± deviations, and under each variant the difference to its control with p over images and
    /// over seeds.
    pub fn markdown(&self) -> String {
        let mut out = format!("{}; {}\n\n| |", self.about, self.seeds_in_words());
        COLUMNS.iter().for_each(|(title, ..)| out += &format!(" {title} |"));
        out += " Match steps |\n|---|";
        out += &"---|".repeat(COLUMNS.len() + 1);
        out.push('\n');
        for row in &self.rows {
            let _ = write!(out, "| **{}** |", row.name);
            for column in columns() {
                let _ = write!(out, " {} |", self.value(row, column));
            }
            let _ = writeln!(out, " {} |", row.match_steps);
            if let Some(against) = &row.against {
                let _ = write!(out, "| − {} |", against.control);
                for column in columns() {
                    let _ = write!(out, " {} |", self.difference(against, column));
                }
                out += " |\n";
            }
        }
        out += "\n| one level alone, R@1 | (v_h, t_h) i→t / t→i | (v_l, t_l) i→t / t→i | best λ on val |\n|---|---|---|---|\n";
        for (name, cells) in self.level_cells() {
            let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
        }
        out
    }

    /// The table as a self-contained page with a bar for each mean.
    pub fn html(&self) -> String {
        let largest: Vec<f64> =
            columns().map(|(metric, _)| self.rows.iter().map(|row| row.mean[metric]).fold(1e-9, f64::max)).collect();
        let titles: String = COLUMNS.iter().map(|(title, ..)| format!("<th>{title}</th>")).collect();
        let mut rows = String::new();
        for row in &self.rows {
            let _ = write!(rows, "<tr><td>{}</td>", escape(&row.name));
            for (column, largest) in columns().zip(&largest) {
                let (value, width) = (self.value(row, column), 100.0 * row.mean[column.0] / largest);
                let _ = write!(rows, "<td>{value}<span class=\"bar\" style=\"width:{width:.1}%\"></span></td>");
            }
            let _ = writeln!(rows, "<td>{}</td></tr>", row.match_steps);
            let Some(against) = &row.against else { continue };
            let _ = write!(rows, "<tr class=\"control\"><td>minus {}</td>", escape(&against.control));
            for column in columns() {
                let found = against.comparison.metrics[column.0].differences[0];
                let clear = found.p < 0.05 && found.p_over_seeds.is_none_or(|p| p < 0.05);
                let class = if clear { " class=\"clear\"" } else { "" };
                let _ = write!(rows, "<td{class}>{}</td>", self.difference(against, column));
            }
            rows += "<td></td></tr>\n";
        }
        let levels: String = (self.level_cells())
            .map(|(name, cells)| format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), cells.join("</td><td>")))
            .collect();
        let seeds = self.seeds_in_words();
        let about = escape(&self.about);
        fill(PAGE, &[("about", &about), ("seeds", &seeds), ("columns", &titles), ("rows", &rows), ("levels", &levels)])
    }

    fn seeds_in_words(&self) -> String {
        match self.seeds {
            1 => "one seed".into(),
            seeds => format!("mean ± standard deviation of {seeds} seeds"),
        }
    }

    /// Name and cells of every variant's retrieval by one level alone.
    fn level_cells(&self) -> impl Iterator<Item = (&str, [String; 3])> {
        self.rows.iter().filter_map(|row| {
            let LevelRecall { abstract_r1, grounded_r1, best_lambda } = row.level_scores?;
            let directions = |[i2t, t2i]: [f64; 2]| format!("{i2t:.1} / {t2i:.1}");
            Some((row.name.as_str(), [directions(abstract_r1), directions(grounded_r1), format!("{best_lambda:.2}")]))
        })
    }

    /// The difference to the control, how it varies, its p over images and, where several seeds scatter, over seeds.
    fn difference(&self, against: &ControlComparison, (metric, by): (usize, f64)) -> String {
        let found = against.comparison.metrics[metric].differences[0];
        let over_seeds = found.p_over_seeds.map_or(String::new(), |p| format!(", over seeds {p:.3}"));
        let (value, spread) = (signed(found.difference / by), self.spread(against.deviation[metric] / by));
        format!("{value}{spread} (p {:.3}{over_seeds})", found.p)
    }

    /// The mean and how it varies.
    fn value(&self, row: &AblationRow, (metric, by): (usize, f64)) -> String {
        format!("{:.1}{}", row.mean[metric] / by, self.spread(row.deviation[metric] / by))
    }

    /// A deviation behind its mean; one seed has none.
    fn spread(&self, deviation: f64) -> String {
        if self.seeds == 1 { String::new() } else { format!(" ± {deviation:.1}") }
    }
}

/// With its sign and one digit; what rounds to nothing has no sign.
fn signed(difference: f64) -> String {
    let text = format!("{difference:+.1}");
    if text == "-0.0" || text == "+0.0" { "0.0".into() } else { text }
}

/// Places of [`COLUMNS`] among [`METRIC_KEYS`], and by what each is divided.
fn columns() -> impl Iterator<Item = (usize, f64)> {
    COLUMNS.iter().filter_map(|(_, key, by)| Some((METRIC_KEYS.iter().position(|known| known == key)?, *by)))
}

fn mean_scores(scores: &[LevelRecall]) -> Option<LevelRecall> {
    if scores.is_empty() {
        return None;
    }
    let mean = |of: &dyn Fn(&LevelRecall) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
    Some(LevelRecall {
        abstract_r1: [mean(&|s| s.abstract_r1[0]), mean(&|s| s.abstract_r1[1])],
        grounded_r1: [mean(&|s| s.grounded_r1[0]), mean(&|s| s.grounded_r1[1])],
        best_lambda: mean(&|s| s.best_lambda),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn variants_stand_beside_their_controls() {
        let variant = |name: &str, control, tilts: [f32; 2]| VariantResults {
            name: name.into(),
            control,
            runs: (tilts.into_iter().zip([[1.0, 0.4], [3.0, 0.6]]))
                .map(|(tilt, [r1, best_lambda])| VariantResult {
                    report: report(name, tilt),
                    level_scores: Some(LevelRecall { abstract_r1: [r1, 2.0], grounded_r1: [3.0, 4.0], best_lambda }),
                    match_steps: 10,
                })
                .collect(),
        };
        let variants =
            [variant("look", 0, [0.1, 0.1]), variant("xe", 2, [0.1, 3.0]), variant("xe-control", 2, [3.0, 3.0])];
        let table = AblationTable::new(&variants, Bootstrap { resamples: 100, seed: 1 }).unwrap();
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
        let mean_recall = format!("| {:.1} ± 0.0 | 10 |", table.rows[0].mean[10] / 6.0);
        assert!(
            markdown.lines().any(|line| line.starts_with("| **look** |") && line.ends_with(&mean_recall)),
            "{markdown}"
        );
        assert!(markdown.contains("| **xe** |") && markdown.contains("| − xe-control |"), "{markdown}");
        assert!(markdown.contains(", over seeds 0.500)"), "{markdown}");
        assert!(markdown.contains("| look | 2.0 / 2.0 | 3.0 / 4.0 | 0.50 |"), "{markdown}");
        assert_eq!(table.html().matches("class=\"bar\"").count(), 3 * COLUMNS.len());
        assert!(table.html().contains("<td>2.0 / 2.0</td><td>3.0 / 4.0</td><td>0.50</td>"), "{}", table.html());
        assert!(!table.html().contains("{{"), "{}", table.html());
        assert!(serde_json::to_value(&table).unwrap()["rows"][1]["against"]["comparison"].is_object());

        let alone = variants.map(|variant| VariantResults { runs: variant.runs[..1].to_vec(), ..variant });
        let markdown = AblationTable::new(&alone, Bootstrap { resamples: 100, seed: 1 }).unwrap().markdown();
        assert!(markdown.contains("; one seed\n") && !markdown.contains('±'), "{markdown}");
        assert_eq!([-0.04, 0.0, -0.05, 1.26].map(signed), ["0.0", "0.0", "-0.1", "+1.3"]);
    }

    #[test]
    fn results_round_trip_and_damage_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ablation_test.json");
        let level_scores = Some(LevelRecall { abstract_r1: [1.0, 2.0], grounded_r1: [3.0, 4.0], best_lambda: 0.5 });
        let result = VariantResult { report: report("m", 0.1), level_scores, match_steps: 7 };
        result.write(&path).unwrap();
        assert_eq!(VariantResult::read(&path).unwrap(), result);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"split_score\":{") && text.contains("\"match_steps\":7"), "{text}");
        // Models with one level have no scores by level.
        std::fs::write(&path, text.replace("\"split_score\":{", "\"split_score\":null,\"other\":{")).unwrap();
        assert_eq!(VariantResult::read(&path).unwrap().level_scores, None);
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(VariantResult::read(&path).unwrap_err().kind(), gxn_base::Kind::Damaged);
    }
}
