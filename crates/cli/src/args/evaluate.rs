//! What measures: `gxn evaluate`, `compare`, `score-captions` and `calibrate`.

use std::path::PathBuf;

use clap::Args;
use gxn_data::SourceOptions;

use super::{DeviceArgs, ReportFormat};

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
    /// With --rerank: the N best captions of each image, too, by score + W · (ln p(caption | image) − ln p(caption)). Train images of
    /// the data tell p(caption), how likely a caption is with any image
    #[arg(long, requires = "rerank")]
    pub rerank_captions: bool,
    /// Subtract from each score what its image and its caption score with most others, so that items which are near to everything
    /// no longer stand before the right ones. The train split of the data shows which they are (at most 6,000 images)
    #[arg(long, conflicts_with_all = ["image_embeddings", "judgements"])]
    pub correct_hubs: bool,
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
    /// with commas: a1.json,a2.json,a3.json; a1 and b1 are a pair then, and so on
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
pub struct CalibrateArgs {
    /// A run, a checkpoint, or the folder of a pretrained encoder; the calibration is stored in it, and search finds it there
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
