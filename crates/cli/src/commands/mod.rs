//! One module for each command; each reads its arguments, calls the library and prints.

pub mod ablate;
pub mod calibrate;
pub mod caption;
pub mod config;
pub mod data;
pub mod demo;
pub mod encode;
pub mod evaluate;
pub mod imagine;
pub mod index;
pub mod index_options;
pub mod info;
pub mod manual;
pub mod score_captions;
pub mod search;
pub mod train;

use std::path::Path;

use anyhow::{Context, Result};
use gxn::encoder::Encoder;
use gxn_data::{CsvColumns, Dataset, Dropped, OpenOptions, Split};

use crate::args::SourceArgs;

/// The library's reading options for the command line's.
pub fn open_options(args: &SourceArgs) -> Result<OpenOptions> {
    Ok(OpenOptions {
        images: args.images.clone(),
        texts: args.texts.clone(),
        split_by: args.split_by.as_deref().map(str::parse).transpose().context("--split-by")?,
        use_restval: !args.no_restval,
        csv: CsvColumns {
            image: args.csv_img_key.clone(),
            caption: args.csv_caption_key.clone(),
            separator: args.csv_separator,
        },
        strict: args.strict,
    })
}

/// Opens a data set and says on stderr what it is and what was left out.
pub fn open_dataset(source: &Path, args: &SourceArgs) -> Result<Dataset> {
    let dataset = Dataset::open(source, &open_options(args)?)?;
    eprintln!(
        "{}: {} ({} images, {} captions)",
        dataset.name,
        dataset.format,
        dataset.images.len(),
        dataset.captions.len()
    );
    report_dropped(&dataset.dropped);
    Ok(dataset)
}

/// Counts what a data set leaves out and names the first few.
pub fn report_dropped(dropped: &[Dropped]) {
    const NAMED: usize = 5;
    name_dropped(dropped, NAMED);
    if dropped.len() > NAMED {
        eprintln!("  and {} more; `gxn data check --full --format json` lists them all", dropped.len() - NAMED);
    }
}

/// Opens the data for a model: split as in its training, unless the command line says otherwise. Another split could
/// hold pictures that the model was trained on.
pub fn open_for(encoder: &Encoder, source: &Path, args: &SourceArgs) -> Result<Dataset> {
    let mut reading = args.clone();
    if let (None, Some(rule)) = (&reading.split_by, encoder.config().data.split_by) {
        eprintln!("split by {rule}, as in training");
        reading.split_by = Some(rule.to_string());
    }
    open_dataset(source, &reading)
}

/// Counts what was left out and names the first `named`.
pub fn name_dropped(dropped: &[Dropped], named: usize) {
    if !dropped.is_empty() {
        eprintln!("left out: {}", dropped.len());
    }
    for Dropped { what, reason } in dropped.iter().take(named) {
        // Most reasons begin with the whole path.
        if reason.contains(what.as_str()) { eprintln!("  {reason}") } else { eprintln!("  {what}: {reason}") }
    }
}

/// `train`, `val` or `test`, as the command line has checked.
pub fn split_of(name: &str) -> Split {
    match name {
        "train" => Split::Train,
        "test" => Split::Test,
        _ => Split::Val,
    }
}
