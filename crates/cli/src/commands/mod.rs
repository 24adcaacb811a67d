//! One module for each command; each reads its arguments, calls the library and prints.

pub mod ablate;
pub mod calibrate;
pub mod caption;
pub mod config;
pub mod data;
pub mod demo;
pub mod encode;
pub mod encoder;
pub mod evaluate;
pub mod explain;
pub mod imagine;
pub mod index;
pub mod index_options;
pub mod info;
pub mod manual;
pub mod report;
pub mod score_captions;
pub mod search;
pub mod serve;
pub mod train;

use std::path::Path;

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn_data::{Account, Dataset, Dropped, SourceOptions, Split};

use gxn_base::Remedy;
use gxn_base::unicode::printable;
use gxn_base::words::{counted, first_few};

use crate::hints::flags;

/// What is left out that is named before the rest is only counted.
const NAMED: usize = 5;

/// Opens a dataset and reports on stderr what it is and what was left out.
pub fn open_dataset(source: &Path, options: &SourceOptions) -> Result<Dataset> {
    Dataset::open(source, options).map(reported).map_err(Into::into)
}

/// A dataset, once it is said what it holds.
fn reported(dataset: Dataset) -> Dataset {
    eprintln!(
        "{}: {} ({}, {})",
        dataset.name,
        dataset.format,
        counted(dataset.images.len(), "image"),
        counted(dataset.captions.len(), "caption")
    );
    report_account(&dataset.account);
    dataset
}

/// Prints what reading a dataset left out, what is doubtful, and how images of other formats become usable.
pub fn report_account(account: &Account) {
    account.lines(NAMED).iter().for_each(|line| eprintln!("{line}"));
    hint_at_decoding(account.undecoded);
}

/// Says how images of other formats become usable, if there are any.
pub fn hint_at_decoding(images: usize) {
    if images > 0 {
        eprintln!("hint: {}", flags(&Remedy::GiveDecodeCommand));
    }
}

/// Names the words of a query that the model does not know.
pub fn note_unknown_words(words: &[String]) {
    if !words.is_empty() {
        eprintln!("note: the model has never seen: {}", printable(&first_few(words)));
    }
}

/// Counts what was left out and names the first few.
pub fn report_dropped(dropped: &[Dropped]) {
    name_dropped(dropped, NAMED);
}

/// Opens the data for a model, unless the command line says how to split them: those that it was trained on as in its training,
/// others by their own splits, or by the rule of its training where they have none. Another split could hold images that the model
/// was trained on.
pub fn open_for(encoder: &Encoder, source: &Path, options: &SourceOptions) -> Result<Dataset> {
    let (None, Some(rule)) = (options.split_by, encoder.config().data.options.split_by) else {
        return open_dataset(source, options);
    };
    let as_in_training = SourceOptions { split_by: Some(rule), ..options.clone() };
    if let (Ok(data), Ok(trained)) = (Dataset::open(source, &as_in_training), encoder.trained())
        && trained.card().data_sha == data.hash()
    {
        eprintln!("split by {rule}, as in training");
        return Ok(reported(data));
    }
    let others = SourceOptions { split_rest_by: Some(rule), ..options.clone() };
    open_dataset(source, &others)
}

/// Counts what was left out and names the first `named`.
pub fn name_dropped(dropped: &[Dropped], named: usize) {
    Dropped::lines(dropped, named).iter().for_each(|line| eprintln!("{}", printable(line)));
}

/// `train`, `val` or `test`, as the command line has checked.
pub fn split_of(name: &str) -> Split {
    match name {
        "train" => Split::Train,
        "test" => Split::Test,
        _ => Split::Val,
    }
}
