//! Arguments of `gxn explain`.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceArgs, ReportFormat};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Words
    pub query: String,
    /// An image file
    pub image: PathBuf,
    /// The run or checkpoint [default: the one that made the index in the image's folder or above]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Divide the image into N × N cells
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub grid: u32,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}
