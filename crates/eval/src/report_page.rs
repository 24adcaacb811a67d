//! [`report_page`]: a report as a self-contained HTML page with a chart.

use crate::chart::{Line, line_chart};
use crate::html::{escape, page};
use crate::metrics::METRIC_KEYS;
use crate::report::Report;
use gxn_base::Result;

const PAGE: &str = include_str!("report_page.html");
/// Ranks that the chart reaches to.
const MOST_RANKS: u32 = 50;
/// Images in the list of those that are found last.
const LAST: usize = 20;

/// The page: table with intervals, recall over K, what was measured, and the images that are found last.
///
/// # Errors
/// When the chart cannot be drawn.
pub fn report_page(report: &Report) -> Result<String> {
    let title = format!("{} {}, protocol {}", report.dataset, report.split, report.protocol);
    let model = format!("{}, similarity {}, λ {}", report.model, report.similarity, report.lambda);
    let values = [
        ("title", escape(&title)),
        ("model", escape(&model)),
        ("rows", rows(report)),
        ("sums", sums(report)),
        ("chart", recall_chart(report)?),
        ("facts", facts(report)),
        ("last", found_last(report)),
    ];
    Ok(page(PAGE, &values.each_ref().map(|(name, value)| (*name, value.as_str()))))
}

fn rows(report: &Report) -> String {
    let values = report.metrics.values();
    let cell = |at: usize| {
        let interval = report.ci95.get(METRIC_KEYS[at]);
        let interval =
            interval.map_or(String::new(), |[low, high]| format!("<br><small>{low:.1} to {high:.1}</small>"));
        format!("<td>{:.1}{interval}</td>", values[at])
    };
    let row = |(name, first): (&str, usize)| {
        format!("<tr><td>{name}</td>{}</tr>\n", (first..first + 5).map(cell).collect::<String>())
    };
    [("image to text", 0), ("text to image", 5)].map(row).concat()
}

fn sums(report: &Report) -> String {
    let metrics = &report.metrics;
    let interval =
        report.ci95.get("rsum").map_or(String::new(), |[low, high]| format!(" (95 % {low:.1} to {high:.1})"));
    format!(
        "rsum {:.1}{interval}, mean recall (mR) {:.1}, the paper's Sum {:.1}. Small numbers: 95 % intervals.",
        metrics.rsum(),
        metrics.mean_recall(),
        metrics.paper_sum()
    )
}

/// Share of queries found among the first K, in percent.
fn recall_chart(report: &Report) -> Result<String> {
    let line = |name: &str, ranks: &[u32]| {
        let at = |k: u32| 100.0 * ranks.iter().filter(|&&rank| rank < k).count() as f64 / ranks.len().max(1) as f64;
        Line { name: name.into(), points: (1..=MOST_RANKS).map(|k| (f64::from(k), at(k))).collect() }
    };
    let lines =
        [line("image to text", &report.ranks.image_to_text), line("text to image", &report.ranks.text_to_image)];
    line_chart("Recall at K", "K", "R@K, percent of queries", &lines)
}

fn facts(report: &Report) -> String {
    let gallery = match (report.distractors.len(), report.left_out.len()) {
        (0, 0) => String::new(),
        (0, left_out) => format!(", {left_out} without a caption left out"),
        (distractors, _) => format!(", and {distractors} without a caption in the gallery"),
    };
    let bootstrap = format!("{} draws of images, seed {}", report.resamples, report.seed);
    [
        ("images", format!("{}{gallery}", report.n_images)),
        ("captions", report.n_captions.to_string()),
        ("right", report.positives_rule.clone()),
        ("ties", report.tie_rule.clone()),
        ("intervals", bootstrap),
        ("data", report.data_sha.clone().unwrap_or_else(|| "hash unknown".into())),
        ("made", report.created.clone()),
    ]
    .into_iter()
    .chain(report.beyond_scores())
    .map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(&text)))
    .collect()
}

/// The images with the largest ranks, ranks from 1.
fn found_last(report: &Report) -> String {
    let mut of_captions = vec![(0.0, 0.0); report.image_ids.len()];
    for (&image, &rank) in report.caption_image.iter().zip(&report.ranks.text_to_image) {
        let (sum, count) = &mut of_captions[image];
        *sum += f64::from(rank) + 1.0;
        *count += 1.0;
    }
    let mut order: Vec<usize> = (0..report.image_ids.len()).collect();
    order.sort_by_key(|&image| std::cmp::Reverse(report.ranks.image_to_text[image]));
    let row = |&image: &usize| {
        let (sum, count) = of_captions[image];
        let (name, rank) = (escape(&report.image_ids[image]), report.ranks.image_to_text[image] + 1);
        format!("<tr><td>{name}</td><td>{rank}</td><td>{:.1}</td></tr>\n", sum / f64::max(count, 1.0))
    };
    order.iter().take(LAST).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_page_holds_table_chart_and_conditions_and_loads_nothing() {
        let mut report = report("<model>", 0.1);
        report.image_ids[0] = "<a>.jpg".into();
        report.ranks.image_to_text = vec![7, 0, 3];
        report.hubness_bank = Some(crate::Bank { images: 60, captions: 120 });
        report.reranked =
            Some(crate::Reranked { candidates: 20, weight: 0.5, chosen_here: true, image_to_text: false });
        let page = report_page(&report).unwrap();
        for part in [
            "<svg",
            "Recall at K",
            "mean recall (mR)",
            "pessimistic",
            "1 without a caption in the gallery",
            "&lt;model&gt;",
            "<dt>hubs corrected</dt><dd>by 60 images and 120 captions of other data</dd>",
            "<dt>re-ranked</dt><dd>the 20 best images of a caption, weight 0.5, chosen on these queries</dd>",
        ] {
            assert!(page.contains(part), "{part} not in {page}");
        }
        assert!(!page.contains("{{") && !page.contains("<script") && !page.contains("<model>"), "{page}");
        assert!(!page.contains("src=") && !page.contains("url("), "{page}");
        let [first, second] = ["&lt;a&gt;.jpg</td><td>8<", "d.jpg</td><td>4<"].map(|part| page.find(part).unwrap());
        assert!(first < second);
    }
}
