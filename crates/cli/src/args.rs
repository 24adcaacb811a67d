//! The command line.

mod data;
mod device;
#[cfg(test)]
mod documented_tests;
mod evaluate;
mod explain;
mod generate;
mod index;
mod search;
mod serve;
mod train;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use gxn::retrieve::IndexPlace;
use gxn_data::SourceOptions;

pub use data::{CheckArgs, ConvertArgs, DataCommand};
pub use device::DeviceArgs;
pub use evaluate::{CalibrateArgs, CompareArgs, EvaluateArgs, ScoreCaptionsArgs};
pub use explain::ExplainArgs;
pub use generate::{CaptionArgs, CaptionFormat, ImagineArgs};
pub use index::{CopyArgs, ExportArgs, IndexArgs, IndexCommand, MergeArgs, OneIndex, ReindexArgs, RepairArgs};
pub use search::{HitFormat, SearchArgs};
pub use serve::ServeArgs;
pub use train::{AblateArgs, TrainArgs};

/// Look, Imagine and Match: train an image–text retrieval model on your own captioned images, measure it, and search with
/// words or images.
#[derive(Debug, Parser)]
#[command(name = "gxn", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check, convert or scaffold a dataset
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Train a model
    Train(Box<TrainArgs>),
    /// Train all stages of the paper with their controls and compare them
    Ablate(AblateArgs),
    /// Measure retrieval: recall and ranks with confidence intervals
    Evaluate(Box<EvaluateArgs>),
    /// Compare result files with a paired bootstrap over images
    Compare(CompareArgs),
    /// Score captions against references: BLEU-1 to 4, ROUGE-L, CIDEr
    ///
    /// The numbers equal those of the coco-caption package (PyPI pycocoevalcap), its tokeniser included, without Java.
    /// METEOR is not computed: it needs WordNet and tables of paraphrases.
    ScoreCaptions(ScoreCaptionsArgs),
    /// Generate captions for images
    Caption(CaptionArgs),
    /// Generate 64×64 images from text
    Imagine(ImagineArgs),
    /// Write the embeddings of a dataset as npy files
    Encode(EncodeArgs),
    /// Find hubs and turn scores into probabilities, by a split with known pairs
    Calibrate(CalibrateArgs),
    /// Make or refresh the index of a folder of images or of a dataset; only what is new or changed is encoded
    ///
    /// The index stores its model, its source and the options of what is indexed (--include-hidden, --exclude-dir,
    /// --images-only, --images and so on), and a later call goes on with them. An option you pass overrides the stored one;
    /// the change is reported. --other-source starts without stored options. An image that the source no longer has is
    /// deleted from the index; one that cannot be read, or lies in a folder or behind a link that cannot, stays and is
    /// named. An index of a dataset never becomes one of images without captions by itself, nor the other way round.
    Index(Box<IndexArgs>),
    /// Search an index with words and images
    Search(SearchArgs),
    /// Say which words and which parts of an image their score rests on
    ///
    /// A word's number is how much the score drops without the word, a cell's how much it drops when that cell of the image is
    /// painted over. The numbers need not add up to the score.
    Explain(ExplainArgs),
    /// Serve an index over HTTP: a search page and an API
    ///
    /// Only this machine can reach it unless --listen says otherwise, which needs a key. The page is at /, the API's description
    /// at /openapi.json.
    Serve(ServeArgs),
    /// Describe a run, a checkpoint, a pretrained encoder or an index
    Info(InfoArgs),
    /// Write one HTML page of a run: curves, alarms, samples, the sweep of λ, and where the model comes from
    ///
    /// The page loads nothing and can be sent as it is. The best checkpoint is measured on up to a thousand images of val and as many
    /// of train: recall under every λ, and captions where the model generates some.
    Report(ReportArgs),
    /// Pretrained encoders: CLIP, SigLIP, DINOv2, sentence encoders
    Encoder {
        #[command(subcommand)]
        command: EncoderCommand,
    },
    /// List and print the recipes: configurations that the program contains
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Render a small dataset, then check, train, evaluate, index and search
    Demo(DemoArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Write a man page for each command
    Man(ManArgs),
}

#[derive(Debug, Subcommand)]
pub enum EncoderCommand {
    /// Say what a folder holds, encode a sample and measure the speed
    ///
    /// The folder has the files of an encoder as its publisher's page on a model hub lists them: config.json,
    /// model.safetensors, preprocessor_config.json, tokenizer.json. Nothing is downloaded.
    Check(EncoderCheckArgs),
}

#[derive(Debug, Args)]
pub struct EncoderCheckArgs {
    /// The folder of the encoder
    pub folder: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Name and describe each recipe
    List,
    /// Print a recipe (TOML), as a start for a configuration of your own
    Show(RecipeArgs),
}

#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// Name of the recipe
    pub name: String,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// A new or empty folder
    pub dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReportFormat {
    /// A table for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

#[derive(Debug, Args)]
pub struct EncodeArgs {
    /// A run, a checkpoint, or the folder of a pretrained encoder
    pub model: PathBuf,
    /// The dataset
    pub source: PathBuf,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Encode one split only
    #[arg(long, value_parser = ["train", "val", "test"])]
    pub split: Option<String>,
    /// Put each caption into this template before a pretrained encoder reads it, such as "a photo of {}"; with several, the mean
    /// of their embeddings counts
    #[arg(long, value_name = "TEMPLATE")]
    pub prompt: Vec<String>,
    /// Where to write; must not exist
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// A run, a checkpoint, the folder of a pretrained encoder, or an index
    pub path: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The folder of a run, or one of its checkpoints
    pub run: PathBuf,
    /// The file to write [default: report.html in the run's folder]
    #[arg(short, long, value_name = "HTML")]
    pub output: Option<PathBuf>,
    /// The run's data, if they are no longer where they were
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Measure nothing: only what the run has stored
    #[arg(long, conflicts_with = "data")]
    pub stored_only: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for everything that is written
    #[arg(default_value = "demo")]
    pub dir: PathBuf,
    /// Seed of images and training
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Images to render
    #[arg(long, alias = "pictures", default_value_t = 4000, value_name = "N")]
    pub images: usize,
    /// Replace an earlier demo in DIR
    #[arg(long)]
    pub force: bool,
}

/// Reads a folder, or the address of an index in a Milvus server.
pub(crate) fn index_place() -> impl TypedValueParser<Value = IndexPlace> {
    OsStringValueParser::new().try_map(|text| IndexPlace::parse(&text))
}
