//! [`RunMeasurements`]: what a page shows that a run has not stored.

use std::path::Path;

use burn::tensor::Device;

use crate::encoder::Encoder;
use crate::evaluate::caption_page::captioned_figure;
use crate::evaluate::encode::scoring;
use crate::evaluate::{EncodeOptions, EncodedDataset, LambdaSweep, encode_dataset, lambda_sweep};
use crate::retrieve::calibration::evenly_spread;
use crate::train::training_data::open_configured;
use gxn_base::{Progress, Result};
use gxn_data::{Dataset, Dropped, Split};
use gxn_eval::metrics::Metrics;
use gxn_eval::{Line, line_chart};

/// Images of a split that are measured, at most.
const MOST_IMAGES: usize = 1000;
/// Validation images that are shown with a generated caption.
const CAPTIONED: usize = 8;
/// Beam width of the captions.
const BEAM: usize = 3;

/// What is measured of a run's best checkpoint on its own data.
#[derive(Debug, Clone, PartialEq)]
pub struct RunMeasurements {
    /// Of val, and of as many train images.
    pub recalls: Vec<SplitRecall>,
    /// The model's λ, and recall on val under others; none for a model of one level.
    pub sweep: Option<(f32, LambdaSweep)>,
    /// Validation images with a generated caption, as HTML; empty for a model that generates none.
    figures: String,
}

/// Recall of some images of a split and their captions among themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitRecall {
    /// The split.
    pub split: Split,
    /// Images.
    pub images: usize,
    /// Recall and ranks.
    pub metrics: Metrics,
}

impl RunMeasurements {
    /// Measures the best checkpoint of `run` on up to a thousand images of val, and on as many of train. `source` says where the data
    /// are, if they are no longer where they were.
    ///
    /// # Errors
    /// When the checkpoint or the data cannot be read, and [`Kind::Interrupted`](gxn_base::Kind::Interrupted) when `progress` is
    /// cancelled.
    pub fn of(run: &Path, source: Option<&str>, device: &Device, progress: &dyn Progress) -> Result<Self> {
        let encoder = Encoder::load_on(run, device)?.with_feature_cache()?;
        let trained = encoder.trained()?;
        let mut data = trained.config().data.clone().located(&trained.card().data_from_run, run);
        if let Some(source) = source {
            data.source = source.to_owned();
        }
        let dataset = open_configured(&data)?;
        let val = part(&dataset, Split::Val, MOST_IMAGES);
        let train = part(&dataset, Split::Train, val.images.len());
        let scoring = scoring(encoder.config());
        let mut recalls = Vec::new();
        let mut recall_of = |part: &Dataset, split| -> Result<EncodedDataset> {
            let encoded = encode_dataset(&encoder, part, EncodeOptions::default(), progress)?;
            note_dropped(&encoded.dropped, progress);
            let metrics = encoded.metrics(scoring)?;
            recalls.push(SplitRecall { split, images: encoded.images.count, metrics });
            Ok(encoded)
        };
        recall_of(&train, Split::Train)?;
        let encoded = recall_of(&val, Split::Val)?;
        let sweep = match encoder.has_grounded_level() {
            true => Some((scoring.lambda, lambda_sweep(&encoded, scoring)?)),
            false => None,
        };
        let figures = match encoder.can_caption() && trained.image_files().is_none() {
            true => captioned(&encoder, &val, progress),
            false => String::new(),
        };
        Ok(Self { recalls, sweep, figures })
    }

    /// As a part of a page.
    pub(super) fn html(&self) -> Result<String> {
        Ok([self.table(), self.sweep_chart()?, self.captions()].concat())
    }

    fn table(&self) -> String {
        let row = |recall: &SplitRecall| {
            let SplitRecall { split, images, metrics } = recall;
            let (i2t, t2i) = (metrics.image_to_text, metrics.text_to_image);
            let numbers = [i2t.r1, i2t.r5, i2t.r10, t2i.r1, t2i.r5, t2i.r10, metrics.rsum()];
            let cells: String = numbers.iter().map(|number| format!("<td>{number:.1}</td>")).collect();
            format!("<tr><td>{split}</td><td>{images}</td>{cells}</tr>\n")
        };
        let rows: String = self.recalls.iter().map(row).collect();
        format!(
            "<p>The best checkpoint on as many images of train as of val. Where train is far better than val, the model has learned \
             the train pairs themselves: more pairs or more dropout help.</p>\n<table>\n<tr><th>split</th><th>images</th><th \
             colspan=\"3\">image to text R@1, 5, 10</th><th colspan=\"3\">text to image R@1, 5, 10</th><th>rsum</th></tr>\n{rows}\
             </table>\n"
        )
    }

    fn sweep_chart(&self) -> Result<String> {
        let Some((own, sweep)) = &self.sweep else {
            return Ok("<p>The model has one level: there is no λ to choose.</p>\n".into());
        };
        let line = |name: &str, of: fn(&Metrics) -> f64| {
            let points = sweep.0.iter().map(|(lambda, metrics)| (*lambda, of(metrics))).collect();
            Line { name: name.into(), points }
        };
        let lines = [
            line("image to text R@1", |metrics| metrics.image_to_text.r1),
            line("text to image R@1", |metrics| metrics.text_to_image.r1),
            line("mean recall (mR)", Metrics::mean_recall),
        ];
        let chart = line_chart("Recall on val by λ, percent", "λ: weight of the abstract level", "", &lines)?;
        let best = sweep.best().map_or(String::new(), |(lambda, metrics)| {
            format!("; the highest rsum on val is {:.1}, at λ = {lambda:.2}", metrics.rsum())
        });
        Ok(format!("<h3>Sweep of λ</h3>\n<p>The model's own λ is {own:.2}{best}.</p>\n{chart}\n"))
    }

    fn captions(&self) -> String {
        if self.figures.is_empty() {
            return String::new();
        }
        format!(
            "<h3>Generated captions</h3>\n<p>Images of val, not selected; below each generated caption, one that \
             belongs to the image.</p>\n<div class=\"row\">{}</div>\n",
            self.figures
        )
    }
}

/// The first images with generated captions; one that can no longer be read is left out.
fn captioned(encoder: &Encoder, dataset: &Dataset, progress: &dyn Progress) -> String {
    let mut figures = String::new();
    for (at, image) in dataset.images.iter().enumerate().take(CAPTIONED) {
        match captioned_figure(encoder, dataset, at, BEAM) {
            Ok(figure) => figures += &figure,
            Err(error) => progress.note(&format!("left out {}: {}", image.id, error.in_full())),
        }
    }
    figures
}

fn note_dropped(dropped: &[Dropped], progress: &dyn Progress) {
    dropped.iter().for_each(|image| progress.note(&format!("left out {}: {}", image.what, image.reason)));
}

/// At most `most` images of a split that have captions, evenly spread.
fn part(dataset: &Dataset, split: Split, most: usize) -> Dataset {
    let mut all = dataset.split_indices(split);
    all.retain(|&at| !dataset.captions_of(at).is_empty());
    let kept: Vec<usize> = evenly_spread(all.len(), most).into_iter().map(|at| all[at]).collect();
    dataset.subset(&kept)
}
