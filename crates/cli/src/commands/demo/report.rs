//! The demo's report: searches, generated captions and the curves of training, as one HTML page.

use std::path::Path;

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn::evaluate::caption_page::{captioned_figure, figure, thumbnail};
use gxn::retrieve::RankedHit;
use gxn::train::training_charts;
use gxn_data::{Dataset, ImageLimits, ImageSource, Split, load_image};
use gxn_eval::html::{escape, page};

const PAGE: &str = include_str!("report.html");
/// Test images that are shown with a generated caption.
const SHOWN: usize = 8;
/// Beam width of the captions.
const BEAM: usize = 3;

/// A search and what it found.
pub struct Searched<'a> {
    /// The query.
    pub words: &'a str,
    /// Its best hits.
    pub hits: Vec<RankedHit>,
    /// The first caption of each.
    pub captions: Vec<String>,
}

/// The page. `summary` is a sentence on what was trained and how good it is; `runs` are shown with their curves.
pub fn report(
    summary: &str,
    searches: &[Searched<'_>],
    encoder: &Encoder,
    dataset: &Dataset,
    runs: &[&Path],
) -> Result<String> {
    let searches = searches.iter().map(searched).collect::<Result<String>>()?;
    let shown: Vec<usize> = dataset.split_indices(Split::Test).into_iter().take(SHOWN).collect();
    let captions =
        shown.iter().map(|&at| captioned_figure(encoder, dataset, at, BEAM)).collect::<gxn::Result<String>>()?;
    let mut charts = String::new();
    for run in runs {
        let name = run.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        charts += &format!("<h3>{}</h3>\n{}", escape(&name), training_charts(run)?);
    }
    let values = [
        ("title", "gxn demo"),
        ("summary", &escape(summary)),
        ("searches", &searches),
        ("captions", &captions),
        ("charts", &charts),
    ];
    Ok(page(PAGE, &values))
}

fn searched(search: &Searched<'_>) -> Result<String> {
    let hits = search.hits.iter().zip(&search.captions).map(|(hit, caption)| {
        let pixels = load_image(&ImageSource::File(hit.path.clone().into()), &ImageLimits::default())?;
        let relevance = hit.relevance.map_or(String::new(), |p| format!("{:.0} %: ", 100.0 * p));
        Ok(figure(&thumbnail(&pixels, &hit.id)?, &hit.id, &escape(&(relevance + caption))))
    });
    let hits = hits.collect::<Result<String>>()?;
    Ok(format!("<h3>“{}”</h3>\n<div class=\"row\">{hits}</div>\n", escape(search.words)))
}
