//! [`run_page`]: a run as a self-contained HTML page: curves, samples, alarms, where its model comes from, and what is measured
//! of it.

mod charts;
mod history;
mod measured;
mod stored;

use std::path::{Path, PathBuf};

use gxn_base::text::read_text;
use gxn_base::{Error, Remedy, Result};
use gxn_eval::html::{escape, page};

use charts::charts;
use history::History;
pub use measured::{RunMeasurements, SplitRecall};

const PAGE: &str = include_str!("page.html");

/// The page of the run in the folder `run`: what is stored of it, and what was measured of its best checkpoint, or why nothing was,
/// as a sentence for the reader.
///
/// # Errors
/// When the log cannot be read or has no step, or a sample cannot be read.
pub fn run_page(run: &Path, measured: std::result::Result<&RunMeasurements, &str>) -> Result<String> {
    let history = History::read(run)?;
    let name = run.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned());
    let measured = match measured {
        Ok(measured) => measured.html()?,
        Err(reason) => format!("<p>{}</p>\n", escape(reason)),
    };
    let values = [
        ("title", escape(&format!("Training of {name}"))),
        ("summary", escape(&history.summary())),
        ("alarms", stored::alarms(&history)),
        ("charts", charts(&history)?),
        ("rows", history.rows()),
        ("measured", measured),
        ("samples", stored::samples(run)?),
        ("card", stored::card(run)),
        ("config", escape(&read_text(&run.join("config.toml")).unwrap_or_default())),
    ];
    Ok(page(PAGE, &values.each_ref().map(|(name, value)| (*name, value.as_str()))))
}

/// The curves of [`run_page`] alone, as SVG.
///
/// # Errors
/// When the log cannot be read or has no step.
pub fn training_charts(run: &Path) -> Result<String> {
    charts(&History::read(run)?)
}

/// The folder of the run that `path` is, or is a checkpoint of.
///
/// # Errors
/// When neither has a log.
pub fn run_folder(path: &Path) -> Result<PathBuf> {
    let whole = path.canonicalize().ok();
    // A checkpoint lies in `checkpoints/`; a copy that followed links has one in `best`, too.
    let above = whole.iter().flat_map(|whole| whole.ancestors().take(3));
    let mut places = std::iter::once(path).chain(above);
    let found = if path.exists() { "no log.jsonl" } else { "nothing" };
    places.find(|place| history::log_of(place).is_file()).map(Path::to_path_buf).ok_or_else(|| {
        Error::not_found(path.display().to_string(), found, "the folder of a run").with_remedy(Remedy::NameRun)
    })
}

#[cfg(test)]
mod tests;
