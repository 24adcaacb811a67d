//! `gxn caption` and `gxn imagine`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gxn_data::DecodeCommand;

use super::DeviceArgs;

#[derive(Debug, Args)]
pub struct CaptionArgs {
    /// A run or checkpoint of a stage that trains the caption decoder
    pub model: PathBuf,
    /// Image files
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Program for image formats that are not decoded here, such as 'heif-convert {in} {out}.png'; run without a shell
    #[arg(long, value_name = "COMMAND")]
    pub decode_cmd: Option<DecodeCommand>,
    /// Beam width; 1 takes the most likely word each time [default: 3, or as many as --count]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub beam: Option<u16>,
    /// Captions per image, the most likely first; a beam finds as many as it is wide
    #[arg(short = 'n', long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub count: u16,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: CaptionFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CaptionFormat {
    /// Path and caption
    #[default]
    Text,
    /// One JSON object per line
    Jsonl,
}

#[derive(Debug, Args)]
pub struct ImagineArgs {
    /// A run or checkpoint of a stage that trains the image generator
    pub model: PathBuf,
    /// Texts to generate images from
    #[arg(required = true, value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Images per text, each from its own noise
    #[arg(short = 'n', long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub count: u16,
    /// Seed of the first noise; every text gets the same seeds
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Folder for the images
    #[arg(short, long, default_value = "imagined", value_name = "DIR")]
    pub output: PathBuf,
    #[command(flatten)]
    pub device: DeviceArgs,
}
