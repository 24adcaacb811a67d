//! `gxn data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gxn_data::SourceOptions;

use super::ReportFormat;

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Recognise the format and report pairs, splits, unreadable images, duplicates, leaks between splits and unknown words
    Check(CheckArgs),
    /// Write a dataset in another format
    Convert(ConvertArgs),
    /// Print a commented sample of each format
    Init,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The dataset: a file or folder of any supported format
    pub source: PathBuf,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Decode every image completely instead of reading its header only
    #[arg(long)]
    pub full: bool,
    /// Count captions with more than N words, as training cuts them (data.max_tokens)
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub max_tokens: usize,
    /// What the data are for: training, evaluation on val or test, or an index
    #[arg(long = "for", default_value = "train", value_name = "PURPOSE", value_parser = ["train", "val", "test", "index"])]
    pub purpose: String,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The dataset
    pub source: PathBuf,
    /// Where to write; must not exist
    pub out: PathBuf,
    /// Format to write
    #[arg(long, value_name = "FORMAT", value_parser = ["jsonl", "karpathy", "csv", "wds", "webdataset", "parquet"])]
    pub to: String,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Copy the images beside the table instead of referring to them
    #[arg(long)]
    pub copy_images: bool,
}
