//! Differences between reports on the same queries, with a paired bootstrap.

use std::fmt::Write;

use serde::Serialize;

use crate::metrics::{Bootstrap, METRIC_KEYS, PairedDifference, RankedQueries};
use crate::report::Report;
use gxn_base::words::first_few;
use gxn_base::{Error, Result};

/// Several results on the same queries; differences are against the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportComparison {
    /// The dataset's name.
    pub dataset: String,
    /// The split's name.
    pub split: String,
    /// The protocol's name.
    pub protocol: String,
    /// Images that are queries.
    pub n_images: usize,
    /// Captions that are queries.
    pub n_captions: usize,
    /// Resamples of the bootstrap.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// The compared models; the first is the base.
    pub models: Vec<String>,
    /// A row for every metric of [`METRIC_KEYS`], and `mr`, the mean recall.
    pub metrics: Vec<MetricComparison>,
    /// What a reader should know before believing the table.
    pub notes: Vec<String>,
}

/// One metric of all models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricComparison {
    /// The metric's key.
    pub metric: String,
    /// Its value for every model; the mean over seeds where a model stands for several runs.
    pub values: Vec<f64>,
    /// The standard deviation over seeds for every model; 0 for a single run.
    pub deviations: Vec<f64>,
    /// Every further model minus the first.
    pub differences: Vec<PairedDifference>,
}

impl MetricComparison {
    /// mR of the rsum that this is: a sixth of it.
    fn mean_recall(&self) -> Self {
        let sixth = |values: &[f64]| values.iter().map(|value| value / 6.0).collect();
        let difference = |found: &PairedDifference| PairedDifference {
            difference: found.difference / 6.0,
            ci95: found.ci95.map(|end| end / 6.0),
            ..*found
        };
        Self {
            metric: "mr".into(),
            values: sixth(&self.values),
            deviations: sixth(&self.deviations),
            differences: self.differences.iter().map(difference).collect(),
        }
    }
}

/// Compares reports with the first of them.
///
/// # Errors
/// When there are fewer than two, or their queries differ: the error says in what.
pub fn compare(reports: &[Report], bootstrap: Bootstrap) -> Result<ReportComparison> {
    let groups: Vec<Vec<Report>> = reports.iter().map(|report| vec![report.clone()]).collect();
    compare_groups(&groups, bootstrap)
}

/// Compares groups of reports, each the runs of one setting with several seeds, with the first group. Intervals and p are of the
/// difference of the groups' means under draws of images; the standard deviations show how much seeds scatter, and the p over
/// seeds whether other seeds would differ, too. Its pairs are the reports at the same place of two groups.
///
/// # Errors
/// As [`compare`], and when a group is empty.
pub fn compare_groups(groups: &[Vec<Report>], bootstrap: Bootstrap) -> Result<ReportComparison> {
    let [first, others @ ..] = groups else {
        return Err(Error::invalid("comparison", "no report", "at least two"));
    };
    if others.is_empty() {
        return Err(Error::invalid("comparison", "one report", "at least two"));
    }
    let Some(base) = first.first().filter(|_| others.iter().all(|group| !group.is_empty())) else {
        return Err(Error::invalid("comparison", "a group without report", "at least one in each"));
    };
    let mut metrics: Vec<MetricComparison> = (METRIC_KEYS.iter())
        .map(|key| MetricComparison {
            metric: key.to_string(),
            values: Vec::new(),
            deviations: Vec::new(),
            differences: Vec::new(),
        })
        .collect();
    for group in groups {
        group.iter().try_for_each(|report| same_queries(base, report))?;
        for (at, row) in metrics.iter_mut().enumerate() {
            let (mean, deviation) = mean_and_deviation(group.iter().map(|report| report.metrics.values()[at]));
            row.values.push(mean);
            row.deviations.push(deviation);
        }
    }
    let folds = base.folds();
    let mut notes = Vec::new();
    for group in others {
        // Equal queries have equal folds.
        let [before, after] = [first, group]
            .map(|group| group.iter().map(|report| report.queries(&folds)).collect::<Vec<RankedQueries>>());
        let differences = bootstrap.paired_means(&before, &after)?;
        metrics.iter_mut().zip(differences).for_each(|(row, difference)| row.differences.push(difference));
    }
    let mean_recall = metrics.iter().find(|row| row.metric == "rsum").map(MetricComparison::mean_recall);
    metrics.extend(mean_recall);
    for other in groups.iter().flatten().skip(1) {
        if let (Some(first), Some(second)) = (&base.data_sha, &other.data_sha)
            && first != second
        {
            notes.push(format!(
                "{}: made from data with another hash than {}; the images are the same, the captions' texts may not be",
                other.model, base.model
            ));
        }
    }
    for report in groups.iter().flatten().filter(|report| report.reranked.is_some_and(|found| found.chosen_here)) {
        notes.push(format!("{}: the weight of re-ranking was chosen on these very queries", label(report)));
    }
    Ok(ReportComparison {
        dataset: base.dataset.clone(),
        split: base.split.clone(),
        protocol: base.protocol.clone(),
        n_images: base.n_images,
        n_captions: base.n_captions,
        resamples: bootstrap.resamples,
        seed: bootstrap.seed,
        models: groups.iter().map(|group| name_of(group)).collect(),
        metrics,
        notes,
    })
}

/// The model of a report, or how many runs a group has and which is the first.
fn name_of(group: &[Report]) -> String {
    match group {
        [one] => label(one),
        [first, ..] => format!("mean of {} runs, the first {}", group.len(), label(first)),
        [] => String::new(),
    }
}

/// The model, and what ranked the items beside its scores.
fn label(report: &Report) -> String {
    report.beyond_scores().iter().fold(report.model.clone(), |label, (what, _)| format!("{label}, {what}"))
}

/// Mean and standard deviation (n − 1); the latter 0 for one value.
pub(crate) fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count();
    let mean = values.clone().sum::<f64>() / count.max(1) as f64;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 })
}

/// Refuses results of different queries and names the difference.
fn same_queries(base: &Report, other: &Report) -> Result<()> {
    let pair = format!("{} and {}", base.model, other.model);
    let hint = "a paired comparison needs the same images with the same numbers of captions under one protocol";
    let differ = |what: &str, found: String, expected: String| {
        Err(Error::conflict(format!("{what} of {pair}"), found, expected).with_hint(hint))
    };
    if base.protocol != other.protocol {
        return differ("protocols", other.protocol.clone(), base.protocol.clone());
    }
    if base.positives_rule != other.positives_rule {
        return differ("rules of what is right", other.positives_rule.clone(), base.positives_rule.clone());
    }
    if base.tie_rule != other.tie_rule {
        return differ("rules for ties", other.tie_rule.clone(), base.tie_rule.clone());
    }
    if base.distractors.len() != other.distractors.len() {
        let count = |report: &Report| format!("{} without a caption", report.distractors.len());
        return differ("galleries", count(other), count(base));
    }
    if base.n_images != other.n_images {
        return differ("images", other.n_images.to_string(), base.n_images.to_string());
    }
    if base.image_ids != other.image_ids {
        let known: std::collections::HashSet<&String> = base.image_ids.iter().collect();
        let unknown: Vec<String> = other.image_ids.iter().filter(|id| !known.contains(id)).cloned().collect();
        if unknown.is_empty() {
            return differ("image ids", "the same images in another order".into(), "one order".into());
        }
        let found = format!("{} that the first does not have ({})", unknown.len(), first_few(&unknown));
        return differ("image ids", found, "the same ids".into());
    }
    if base.caption_image != other.caption_image || base.fold_images != other.fold_images {
        let count = |report: &Report, image| report.caption_image.iter().filter(|&&owner| owner == image).count();
        let image = (0..base.n_images).find(|&image| count(base, image) != count(other, image));
        let Some(image) = image else {
            return differ("captions or folds", "another order".into(), "one order".into());
        };
        let found = format!("{} captions of image {}", count(other, image), base.image_ids[image]);
        return differ("captions", found, count(base, image).to_string());
    }
    Ok(())
}

impl ReportComparison {
    /// The table for people.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} {}, protocol {}: {} images, {} captions\n{} paired resamples of images with all their captions, seed {}\n\n",
            self.dataset, self.split, self.protocol, self.n_images, self.n_captions, self.resamples, self.seed
        );
        for (place, model) in self.models.iter().enumerate() {
            let _ = writeln!(out, "{}  {model}", letter(place));
        }
        let _ = write!(out, "\n{:10}{:>9}", "", letter(0));
        let over_seeds = self.metrics.iter().flat_map(|row| &row.differences).any(|found| found.p_over_seeds.is_some());
        for place in 1..self.models.len() {
            let name = letter(place);
            let _ = write!(out, "  |{name:>8}{:>9}{:>21}{:>8}", format!("{name} - {}", letter(0)), "95%", "p");
            if over_seeds {
                let _ = write!(out, "{:>9}", "p seeds");
            }
        }
        out.push('\n');
        for row in &self.metrics {
            let _ = write!(out, "{:10}{:9.2}", row.metric, row.values[0]);
            for (value, found) in row.values[1..].iter().zip(&row.differences) {
                let ends = format!("[{:+.2}, {:+.2}]", found.ci95[0], found.ci95[1]);
                let _ = write!(out, "  |{value:8.2}{:+9.2}{ends:>21}{:8.4}", found.difference, found.p);
                if over_seeds {
                    let p = found.p_over_seeds.map_or("-".into(), |p| format!("{p:.4}"));
                    let _ = write!(out, "{p:>9}");
                }
            }
            out.push('\n');
        }
        if over_seeds {
            out += "\np: these very runs on other images. p seeds: runs with other seeds, from a t-test over the pairs in the order given\n";
        }
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        out
    }

    /// The comparison as JSON.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Error::invalid("comparison", error.to_string(), "numbers fit for JSON"))
    }
}

/// A, B, … for the models; after Z plain numbers.
fn letter(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place @ 0..26) => char::from(b'A' + place).to_string(),
        _ => format!("#{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 200, seed: 1 };

    /// The base finds both captions of a.jpg and b.jpg; a tilt of 3 swaps them, so B's R@1 is lower.
    #[test]
    fn differences_are_against_the_first() {
        let found = compare(&[report("good", 0.1), report("bad", 3.0), report("good", 0.1)], BOOTSTRAP).unwrap();
        let row = &found.metrics[5];
        assert_eq!(row.metric, "t2i_r1");
        assert!(row.values[0] > row.values[1] && row.values[0] == row.values[2]);
        assert_eq!(row.differences[0].difference, row.values[1] - row.values[0]);
        assert_eq!((row.differences[1].difference, row.differences[1].p), (0.0, 1.0));
        let [rsum, mean_recall] = [10, 12].map(|at| &found.metrics[at]);
        assert_eq!((rsum.metric.as_str(), mean_recall.metric.as_str()), ("rsum", "mr"));
        assert_eq!(mean_recall.values[0], rsum.values[0] / 6.0);
        assert_eq!(mean_recall.differences[0].difference, rsum.differences[0].difference / 6.0);
        let text = found.text();
        assert!(text.contains("B - A") && text.contains("C - A") && text.contains("A  good\nB  bad\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
        assert_eq!(json["metrics"][5]["differences"][0]["difference"], row.differences[0].difference);
    }

    /// Else two lines of a table could be one model without a word on what differs.
    #[test]
    fn a_name_tells_what_ranked_beside_the_scores() {
        let mut reranked = report("good", 0.1);
        reranked.reranked =
            Some(crate::Reranked { candidates: 20, weight: 0.5, chosen_here: true, image_to_text: false });
        let found = compare(&[report("good", 0.1), reranked], BOOTSTRAP).unwrap();
        assert_eq!(found.models, ["good", "good, re-ranked"]);
        assert_eq!(found.notes, ["good, re-ranked: the weight of re-ranking was chosen on these very queries"]);
    }

    #[test]
    fn different_queries_are_refused_by_name() {
        let base = report("one", 0.1);
        let refused = |change: &dyn Fn(&mut Report)| {
            let mut other = report("two", 0.1);
            change(&mut other);
            let error = compare(&[base.clone(), other], BOOTSTRAP).unwrap_err();
            assert!(error.hint().is_some());
            error.to_string()
        };
        assert!(refused(&|r| r.image_ids[1] = "z.jpg".into()).contains("1 that the first does not have (z.jpg)"));
        assert!(refused(&|r| r.image_ids.swap(0, 1)).contains("another order"));
        assert!(refused(&|r| r.protocol = "coco5k".into()).contains("protocols of one and two: found coco5k"));
        assert!(refused(&|r| r.n_images = 2).contains("images of one and two: found 2, expected 3"));
        let captions = refused(&|r| r.caption_image[3] = 1);
        assert!(captions.contains("found 2 captions of image b.jpg, expected 1"), "{captions}");
        assert!(compare(&[base], BOOTSTRAP).unwrap_err().to_string().contains("one report"));
        assert!(compare(&[], BOOTSTRAP).is_err());
    }

    #[test]
    fn groups_are_compared_by_their_means() {
        let (good, bad) = (report("good", 0.1), report("bad", 3.0));
        let found = compare_groups(&[vec![good.clone(), bad.clone()], vec![good.clone(), good.clone()]], BOOTSTRAP);
        let found = found.unwrap();
        let single = compare(&[good, bad], BOOTSTRAP).unwrap();
        let (row, alone) = (&found.metrics[5], &single.metrics[5]);
        assert!((row.values[0] - (alone.values[0] + alone.values[1]) / 2.0).abs() < 1e-9);
        assert!((row.differences[0].difference + alone.differences[0].difference / 2.0).abs() < 1e-9);
        assert!(row.deviations[0] > 0.0 && row.deviations[1] == 0.0);
        assert!(found.models[0].contains("mean of 2 runs"));
        assert!(compare_groups(&[vec![], vec![report("one", 0.1)]], BOOTSTRAP).is_err());
        // The differences are 0 and d: t is 1 with one degree of freedom.
        assert!((row.differences[0].p_over_seeds.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(alone.differences[0].p_over_seeds, None);
        assert!(
            found.text().contains("p seeds")
                && found.text().contains("   0.5000\n")
                && !single.text().contains("seeds")
        );
        assert_eq!(found.metrics[12].differences[0].p_over_seeds, found.metrics[10].differences[0].p_over_seeds);
    }

    /// 1, 2, 3: mean 2, standard deviation 1.
    #[test]
    fn worked_deviation() {
        assert_eq!(mean_and_deviation([1.0, 2.0, 3.0].into_iter()), (2.0, 1.0));
        assert_eq!(mean_and_deviation([4.0].into_iter()), (4.0, 0.0));
    }

    #[test]
    fn another_data_hash_gives_a_note() {
        let mut other = report("two", 0.1);
        other.data_sha = Some("beef".into());
        let found = compare(&[report("one", 0.1), other], BOOTSTRAP).unwrap();
        assert!(found.text().contains("note: two: made from data with another hash"));
    }
}
