//! `gxn search`.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use gxn::retrieve::IndexPlace;
use gxn_base::Modality;
use gxn_data::DecodeCommand;

use super::{DeviceArgs, index_place};

#[derive(Debug, Args)]
#[command(override_usage = "gxn search [OPTIONS] <QUERY>... [DIR | DATA]")]
pub struct SearchArgs {
    /// Words and images: "two dogs", ./photo.jpg, horse + stripes, "2:golden retriever" - ./pool.jpg; then, if you like, the
    /// folder or dataset to search, whose index is there or above [default: .]
    ///
    /// A number and a colon before words are a weight, unless a digit follows: 10:30 is words. A text that begins and ends
    /// with double quotes of its own is always words: '"2:dogs"'.
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
    /// The run, checkpoint or encoder's folder, if it is no longer where it was when it made the index
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
    /// 2024-05-31 (UTC). Paths are relative to the source, and whole where its images lie elsewhere. Of a dataset, split is train, val or test.
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
    /// Do not correct hubs, and show no relevance. Otherwise, where one text searches images or one image searches captions, a
    /// calibrated model subtracts from each score what the item scores with most queries
    #[arg(long)]
    pub keep_hubs: bool,
    /// Order the N best images of one text by score + W · ln p(text | image) of the model's caption decoder, or with a calibrated
    /// model the N best captions of one image by score + W · (ln p(text | image) − ln p(text))
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rerank: Option<u32>,
    /// W of --rerank; choose it on val with `gxn evaluate --rerank`
    #[arg(long, value_name = "W", default_value_t = gxn::retrieve::RERANK_WEIGHT, requires = "rerank")]
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
