//! The command line.

mod device;
#[cfg(test)]
mod documented_tests;
mod explain;
mod index;
mod serve;
mod train;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use gxn::retrieve::IndexPlace;
use gxn_base::Modality;
use gxn_data::{DecodeCommand, SourceOptions};

/// Reads a folder, or the address of an index in a Milvus server.
pub(crate) fn index_place() -> impl TypedValueParser<Value = IndexPlace> {
    OsStringValueParser::new().try_map(|text| IndexPlace::parse(&text))
}

pub use device::DeviceArgs;
pub use explain::ExplainArgs;
pub use index::{CopyArgs, ExportArgs, IndexArgs, IndexCommand, MergeArgs, OneIndex, ReindexArgs, RepairArgs};
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
    /// Turn scores into probabilities of relevance, fitted on a split with known pairs
    Calibrate(CalibrateArgs),
    /// Make or refresh the index of a folder of images or of a dataset; only what is new or changed is encoded
    ///
    /// The index stores its model, its source and the options of what is indexed (--include-hidden, --exclude-dir,
    /// --images-only, --images and so on), and a later call goes on with them. An option you pass overrides the stored one;
    /// the change is reported. --other-source starts without stored options. An image that the source no longer has is
    /// deleted from the index; one that cannot be read, or lies in a folder or behind a link that cannot, stays and is
    /// named. An index of a dataset stays one, and so does an index of images without captions.
    Index(Box<IndexArgs>),
    /// Search an index with words and images
    Search(SearchArgs),
    /// Say which words and which parts of an image their score rests on
    ///
    /// A word's number is what the score loses without it, that of a part of the image what it loses where that part is painted
    /// over. The numbers need not add up to the score.
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
    /// Pretrained encoders of others: CLIP, SigLIP, DINOv2, sentence encoders
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
    /// A run, a checkpoint, or the folder of a pretrained encoder. Several with commas between them are an ensemble: the mean of
    /// their scores
    #[arg(required_unless_present = "image_embeddings")]
    pub model: Option<PathBuf>,
    /// The dataset
    #[arg(required_unless_present = "image_embeddings")]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Split to measure
    #[arg(long, default_value = "val", value_parser = ["train", "val", "test"])]
    pub split: String,
    /// How to score; every protocol except full requires the size of its published test set
    #[arg(long, default_value = "full", value_parser = ["full", "coco1k-5fold", "coco5k", "f30k1k", "flickr8k1k"])]
    pub protocol: String,
    /// Weight of the abstract level, 0 to 1, in place of the model's λ
    #[arg(long)]
    pub lambda: Option<f32>,
    /// Image embeddings of another model, npy [N, D]
    #[arg(long, value_name = "NPY", requires = "caption_embeddings", conflicts_with_all = ["model", "source", "lambda"])]
    pub image_embeddings: Option<PathBuf>,
    /// Caption embeddings of another model, npy [M, D]
    #[arg(long, value_name = "NPY", requires = "image_embeddings")]
    pub caption_embeddings: Option<PathBuf>,
    /// Which images and captions belong together: own, verbatim (also equal captions of other images), or a file with an image's
    /// id, a tab and a caption's id on each line (also these pairs; captions of other models' embeddings are rows from 0)
    #[arg(long, default_value = "own", value_name = "RULE")]
    pub relevance: String,
    /// How an equal score of a wrong item counts: worst, it stands before the right one; best, behind; mean, half of them before
    #[arg(long, default_value = "worst", value_parser = ["worst", "best", "mean"])]
    pub ties: String,
    /// Leave images without a caption out of the gallery; otherwise captions must be found among them too
    #[arg(long)]
    pub drop_unpaired: bool,
    /// Also measure plausible-match R-Precision (PMRP) by the objects in the images: a file of COCO's instances
    #[arg(long, value_name = "JSON", conflicts_with = "image_embeddings")]
    pub object_labels: Option<PathBuf>,
    /// Measure agreement with judgements of people instead: Kendall's tau of the model's score of each judged pair. A file with an
    /// image's id, a caption's id and ratings, or a share with its two counts, on each line, with tabs between them. Images of
    /// the split train are left out
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image_embeddings", "split", "protocol", "relevance", "ties", "drop_unpaired", "object_labels", "captions", "imagine", "html"])]
    pub judgements: Option<PathBuf>,
    /// Rank the N best images of each caption once more, by score + W · ln p(caption | image) of the caption decoder
    #[arg(long, value_name = "N", conflicts_with_all = ["image_embeddings", "judgements"], value_parser = clap::value_parser!(u32).range(1..))]
    pub rerank: Option<u32>,
    /// W of --rerank; without it the best one on these queries is taken, which is right for val only
    #[arg(long, value_name = "W", requires = "rerank")]
    pub rerank_weight: Option<f32>,
    /// Put each caption into this template before a pretrained encoder reads it, such as "a photo of {}"; with several, the mean
    /// of their embeddings counts
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "image_embeddings")]
    pub prompt: Vec<String>,
    /// Ids of the image rows, one per line
    #[arg(long, value_name = "TXT", requires = "caption_image_ids")]
    pub image_ids: Option<PathBuf>,
    /// Image id of each caption row, one per line
    #[arg(long, value_name = "TXT", requires = "image_ids")]
    pub caption_image_ids: Option<PathBuf>,
    /// How to compare embeddings of another model
    #[arg(long, default_value = "cosine", value_parser = ["cosine", "order"])]
    pub similarity: String,
    /// Also generate a caption for every image, score the captions, and write them into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "image_embeddings")]
    pub captions: Option<PathBuf>,
    /// Also generate an image for the first caption of every image, measure the images, and write them into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "image_embeddings")]
    pub imagine: Option<PathBuf>,
    /// Beam width for --captions
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub beam: u16,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Also write the JSON to this file
    #[arg(short, long, value_name = "JSON")]
    pub output: Option<PathBuf>,
    /// Also write a page with table and charts to this file
    #[arg(long, value_name = "HTML")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Result files of `gxn evaluate`; the others are compared with the first. Several runs of one setting are one argument
    /// with commas: a1.json,a2.json,a3.json
    #[arg(required = true, num_args = 2..)]
    pub results: Vec<PathBuf>,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct ScoreCaptionsArgs {
    /// The captions, one per image: [{"image_id": 42, "caption": "two dogs"}, ...]
    pub results: PathBuf,
    /// Captions that people wrote: COCO captions JSON or Karpathy's JSON
    #[arg(long, value_name = "JSON")]
    pub references: PathBuf,
    /// Corpus for document frequencies, usually the training captions; adds cider_d. Of a file with splits, train and restval
    /// are used
    #[arg(long, value_name = "JSON")]
    pub df: Option<PathBuf>,
    /// Also write ..._eval.json and ..._evalImgs.json, with the keys of coco-caption, into this folder
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CaptionFormat {
    /// Path and caption
    #[default]
    Text,
    /// One JSON object per line
    Jsonl,
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
pub struct CalibrateArgs {
    /// A run or checkpoint; the calibration is stored in it, and search finds it there
    pub model: PathBuf,
    /// The dataset
    pub source: PathBuf,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Split to fit on
    #[arg(long, default_value = "val", value_parser = ["train", "val", "test"])]
    pub split: String,
    /// Captions that count as an image's: its own, also equal ones of other images (verbatim), or also those that differ in the
    /// order of words or in words like "the" (near)
    #[arg(long, default_value = "verbatim", value_parser = ["own", "verbatim", "near"])]
    pub relevance: String,
    /// Measure the model's calibration on this split instead of fitting one
    #[arg(long, value_parser = ["train", "val", "test"], conflicts_with_all = ["split", "relevance"])]
    pub measure: Option<String>,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
#[command(override_usage = "gxn search [OPTIONS] <QUERY>... [DIR | DATA]")]
pub struct SearchArgs {
    /// Words and images: "two dogs", ./photo.jpg, horse + stripes, "2:golden retriever" - ./pool.jpg; then, if you like, the
    /// folder or dataset to search, whose index is there or above [default: .]
    ///
    /// A number and a colon before words are a weight, unless a digit follows: 10:30 is words. Double quotes of the text's
    /// own make words of everything in them.
    #[arg(required = true, allow_hyphen_values = false, value_name = "QUERY")]
    pub query: Vec<String>,
    /// Add to the query
    #[arg(short, long, value_name = "PART")]
    pub add: Vec<String>,
    /// Subtract from the query
    #[arg(short, long, value_name = "PART")]
    pub subtract: Vec<String>,
    /// Folder or dataset to search; then every argument belongs to the query
    #[arg(long, short = 'C', value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The index, if it is elsewhere, also milvus://HOST:PORT/COLLECTION; then, too, every argument belongs to the query
    #[arg(long, value_name = "INDEX", value_parser = index_place())]
    pub index: Option<IndexPlace>,
    /// The run or checkpoint, if it is no longer where it was when it made the index
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Program for image formats that are not decoded here, such as 'heif-convert {in} {out}.png'; run without a shell
    #[arg(long, value_name = "COMMAND")]
    pub decode_cmd: Option<DecodeCommand>,
    /// Number of hits
    #[arg(short, long, default_value_t = 10, value_name = "N")]
    pub top: usize,
    /// Skip N hits; the second page is --offset 10
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub offset: usize,
    /// What to search for
    #[arg(long, default_value = "image", value_parser = modality())]
    pub target: Modality,
    /// Only items that pass, such as 'folder=2024/** and width>=1000 and not name=*.gif'
    ///
    /// Fields: id path folder name sha256 size mtime width height and every column of the dataset; captions also have text
    /// and image_id, and image.id is their image's. Operators: = != < <= > >=, and, or, not, parentheses; a field alone tests
    /// whether it exists. * and ? are wildcards that stop at / in paths; ** does not. mtime is compared with dates such as
    /// 2024-05-31 (UTC). Paths are relative to the source. Of a dataset, split is train, val or test.
    #[arg(long = "where", visible_alias = "filter", value_name = "FILTER")]
    pub filter: Option<String>,
    /// Weight of the abstract level, 0 to 1, in place of the model's λ
    #[arg(long)]
    pub lambda: Option<f32>,
    /// Score every embedding; otherwise a large index is searched for candidates, which are scored exactly
    #[arg(long)]
    pub exact: bool,
    /// Only hits that are relevant with at least probability P, 0 to 1; needs a calibrated model (gxn calibrate), and one text
    /// that searches images or one image that searches captions
    #[arg(long, value_name = "P")]
    pub min_relevance: Option<f32>,
    /// Put each text of the query into this template before a pretrained encoder reads it, such as "a photo of {}"; with several, the mean
    /// of their embeddings counts
    #[arg(long, value_name = "TEMPLATE")]
    pub prompt: Vec<String>,
    /// Order the N best images of one text by score + W · ln p(text | image) of the model's caption decoder
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rerank: Option<u32>,
    /// W of --rerank; choose it on val with `gxn evaluate --rerank`
    #[arg(long, value_name = "W", default_value_t = gxn::retrieve::RERANK_WEIGHT)]
    pub rerank_weight: f32,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: HitFormat,
    /// The same as --format paths
    #[arg(short = 'f', long)]
    pub filepath_only: bool,
    /// Paths ended by zero bytes instead of line ends, for xargs -0
    #[arg(short = '0', long)]
    pub null: bool,
}

fn modality() -> impl TypedValueParser<Value = Modality> {
    let value = |name, help| PossibleValue::new(name).help(help);
    PossibleValuesParser::new([value("image", "Images"), value("text", "Captions")])
        .map(|name| if name == "text" { Modality::Text } else { Modality::Image })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum HitFormat {
    /// Score and path
    #[default]
    Text,
    /// One path per line
    Paths,
    /// One JSON object per line
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
