//! The command line.

mod index;
mod train;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gxn_data::SourceOptions;

pub use index::{ExportArgs, IndexArgs, IndexCommand, MergeArgs, OneIndexArgs, ReindexArgs};
pub use train::{AblateArgs, TrainArgs};

/// Look, Imagine and Match: train a retrieval model on your own captioned pictures, know how good it is, search with
/// words or pictures.
#[derive(Debug, Parser)]
#[command(name = "gxn", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at, convert or begin a data set
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Train a model
    Train(Box<TrainArgs>),
    /// Run all stages of the paper with their controls and set them side by side
    Ablate(AblateArgs),
    /// Measure retrieval: recall, ranks, confidence intervals
    Evaluate(Box<EvaluateArgs>),
    /// Compare result files, with a paired bootstrap over images
    Compare(CompareArgs),
    /// Score captions against references: BLEU-1..4, ROUGE-L, CIDEr
    ///
    /// The numbers are those of the coco-caption package (PyPI pycocoevalcap), its tokeniser included, without Java. METEOR
    /// is not computed: it needs WordNet and tables of paraphrases, and anything less would not be METEOR.
    ScoreCaptions(ScoreCaptionsArgs),
    /// Say what the model imagines a picture's caption to be
    Caption(CaptionArgs),
    /// Draw what the model imagines a sentence's picture to be, 64×64
    Imagine(ImagineArgs),
    /// Write embeddings of a data set as npy files
    Encode(EncodeArgs),
    /// Learn from a split with known pairs what scores mean: the probability that a hit is relevant
    Calibrate(CalibrateArgs),
    /// Make or refresh the index of a folder of images or of a dataset; only what is new or changed is encoded
    ///
    /// The index stores its model, its source and the options of what is indexed (--include-hidden, --exclude-dir,
    /// --images-only, --images and so on), and a later call goes on with them. An option you pass overrides the stored one;
    /// the change is reported. --other-source starts without stored options. An image that the source no longer has is
    /// deleted from the index; one that cannot be read, or lies in a folder or behind a link that cannot, stays and is
    /// named. An index of a dataset stays one, and so does an index of images without captions.
    Index(Box<IndexArgs>),
    /// Search an index with words and pictures
    Search(SearchArgs),
    /// Describe a checkpoint, a run or an index
    Info(InfoArgs),
    /// Render a small data set and do everything with it: check, train, evaluate, index, search
    Demo(DemoArgs),
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Recognise the format and report pairs, splits, bad pictures, duplicates, leaks and unknown words
    Check(CheckArgs),
    /// Write the data set in another format
    Convert(ConvertArgs),
    /// Print a commented sample of each format
    Init,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The data: a file or folder of any supported format
    pub source: PathBuf,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Decode every picture completely instead of reading its header
    #[arg(long)]
    pub full: bool,
    /// Captions with more words than this are counted
    #[arg(long, default_value_t = 50)]
    pub max_tokens: usize,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The data
    pub source: PathBuf,
    /// Where to write it; must not exist
    pub out: PathBuf,
    /// The format to write
    #[arg(long, value_name = "FORMAT", value_parser = ["jsonl", "karpathy", "csv", "wds", "webdataset"])]
    pub to: String,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Copy the pictures beside the table instead of referring to them
    #[arg(long)]
    pub copy_images: bool,
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
pub struct EvaluateArgs {
    /// A run or checkpoint
    #[arg(required_unless_present = "image_embeddings")]
    pub model: Option<PathBuf>,
    /// The data
    #[arg(required_unless_present = "image_embeddings")]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Which split is measured
    #[arg(long, default_value = "val", value_parser = ["train", "val", "test"])]
    pub split: String,
    /// How it is scored; all but full ask for the counts of a published test set
    #[arg(long, default_value = "full", value_parser = ["full", "coco1k-5fold", "coco5k", "f30k1k", "flickr8k1k"])]
    pub protocol: String,
    /// Weight of the abstract level, in place of the model's own
    #[arg(long)]
    pub lambda: Option<f32>,
    /// Image embeddings of another model, npy [N, D]
    #[arg(long, value_name = "NPY", requires = "caption_embeddings", conflicts_with_all = ["model", "source", "lambda"])]
    pub image_embeddings: Option<PathBuf>,
    /// Caption embeddings of another model, npy [M, D]
    #[arg(long, value_name = "NPY", requires = "image_embeddings")]
    pub caption_embeddings: Option<PathBuf>,
    /// Ids of the image rows, one a line
    #[arg(long, value_name = "TXT", requires = "caption_image_ids")]
    pub image_ids: Option<PathBuf>,
    /// Image id of each caption row, one a line
    #[arg(long, value_name = "TXT", requires = "image_ids")]
    pub caption_image_ids: Option<PathBuf>,
    /// How foreign embeddings are compared: cosine or order
    #[arg(long, default_value = "cosine", value_parser = ["cosine", "order"])]
    pub similarity: String,
    /// Also describe every picture, score the captions, and write them into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "image_embeddings")]
    pub captions: Option<PathBuf>,
    /// Also imagine a picture for every image's first caption, measure the pictures, and write them into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "image_embeddings")]
    pub imagine: Option<PathBuf>,
    /// Width of the beam for --captions
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub beam: u16,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Also write the JSON to this file
    #[arg(short, long, value_name = "JSON")]
    pub output: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Result files of `gxn evaluate`; the first is what the others are compared with. Several runs of one setting are one
    /// argument with commas: a1.json,a2.json,a3.json
    #[arg(required = true, num_args = 2..)]
    pub results: Vec<PathBuf>,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct ScoreCaptionsArgs {
    /// The captions: [{"image_id": 42, "caption": "two dogs"}, ...], one an image
    pub results: PathBuf,
    /// What people wrote: COCO captions JSON or Karpathy's JSON
    #[arg(long, value_name = "JSON")]
    pub references: PathBuf,
    /// A corpus for document frequencies, usually the training captions (of a file with splits, train and restval are
    /// taken); adds cider_d
    #[arg(long, value_name = "JSON")]
    pub df: Option<PathBuf>,
    /// Also write ..._eval.json and ..._evalImgs.json, with the package's keys, into this folder
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct CaptionArgs {
    /// A run or checkpoint of a stage that makes captions
    pub model: PathBuf,
    /// Pictures
    #[arg(required = true, value_name = "IMG")]
    pub pictures: Vec<PathBuf>,
    /// Width of the beam; 1 takes the likeliest word each time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub beam: u16,
    /// Captions a picture, the likeliest first; at most the width of the beam
    #[arg(short = 'n', long, default_value_t = 1)]
    pub count: u16,
    #[arg(long, value_enum, default_value_t)]
    pub format: CaptionFormat,
}

#[derive(Debug, Args)]
pub struct ImagineArgs {
    /// A run or checkpoint of a stage that makes pictures
    pub model: PathBuf,
    /// Sentences
    #[arg(required = true, value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Pictures a sentence, each with a noise of its own
    #[arg(short = 'n', long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub count: u16,
    /// Seed of the first noise; the same seeds are used for every sentence
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the pictures are written
    #[arg(short, long, default_value = "imagined", value_name = "DIR")]
    pub output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CaptionFormat {
    /// Path and caption
    #[default]
    Text,
    /// One JSON object a line
    Jsonl,
}

#[derive(Debug, Args)]
pub struct EncodeArgs {
    /// A run or checkpoint
    pub model: PathBuf,
    /// The data
    pub source: PathBuf,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// One split instead of everything
    #[arg(long, value_parser = ["train", "val", "test"])]
    pub split: Option<String>,
    /// Where to write; must not exist
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// A run or checkpoint; the calibration is kept in it, and search finds it there
    pub model: PathBuf,
    /// The data
    pub source: PathBuf,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Which split it is fitted on
    #[arg(long, default_value = "val", value_parser = ["train", "val", "test"])]
    pub split: String,
    /// Measure the calibration that the model has on this split instead of making one
    #[arg(long, value_parser = ["train", "val", "test"], conflicts_with = "split")]
    pub measure: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Words and pictures: "two dogs", ./photo.jpg, horse + stripes, "2:golden retriever" - ./pool.jpg
    #[arg(required = true, allow_hyphen_values = false, value_name = "QUERY")]
    pub query: Vec<String>,
    /// Add to the query
    #[arg(short, long, value_name = "PART")]
    pub add: Vec<String>,
    /// Subtract from the query
    #[arg(short, long, value_name = "PART")]
    pub subtract: Vec<String>,
    /// Where to look for the index, here and above
    #[arg(long, short = 'C', default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The index itself
    #[arg(long, value_name = "DIR")]
    pub index: Option<PathBuf>,
    /// The run or checkpoint, if it is no longer where it was when it made the index
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Hits
    #[arg(short, long, default_value_t = 10)]
    pub top: usize,
    /// Skip so many hits: the next page is --offset 10
    #[arg(long, default_value_t = 0)]
    pub offset: usize,
    /// What is searched
    #[arg(long, value_enum, default_value_t)]
    pub target: Target,
    /// Only items that pass, such as 'folder=2024/** and width>=1000 and not name=*.gif'
    ///
    /// Fields: id path folder name sha256 size mtime width height, every column of the data set, and of captions text and
    /// image_id (there image.id is the picture's). = != < <= > >=, and, or, not, parentheses; a field alone asks whether it
    /// is there. * and ? are wildcards, which in paths stop at /, ** does not. mtime is compared with dates such as
    /// 2024-05-31 (UTC). Paths are those below the source.
    #[arg(long = "where", visible_alias = "filter", value_name = "FILTER")]
    pub filter: Option<String>,
    /// Weight of the abstract level, 0 to 1, instead of the model's λ
    #[arg(long)]
    pub lambda: Option<f32>,
    /// Read every embedding; without it a large index is searched by candidates, which are scored exactly
    #[arg(long)]
    pub exact: bool,
    /// Only hits that are relevant with at least this probability, 0 to 1; the model must be calibrated (gxn calibrate). One
    /// sentence that looks for pictures, or one picture that looks for captions
    #[arg(long, value_name = "P")]
    pub min_relevance: Option<f32>,
    #[arg(long, value_enum, default_value_t)]
    pub format: HitFormat,
    /// The same as --format paths
    #[arg(short = 'f', long)]
    pub filepath_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Target {
    /// Pictures
    #[default]
    Image,
    /// Captions
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum HitFormat {
    /// Score and path
    #[default]
    Text,
    /// One path a line
    Paths,
    /// One JSON object a line
    Jsonl,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// A run, checkpoint or index
    pub path: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where everything is written
    #[arg(default_value = "demo")]
    pub dir: PathBuf,
    /// Seed of pictures and training
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Pictures to render
    #[arg(long, default_value_t = 800)]
    pub pictures: usize,
    /// Begin anew if DIR holds an earlier demo
    #[arg(long)]
    pub force: bool,
}
