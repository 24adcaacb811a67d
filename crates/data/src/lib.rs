//! DATA: from any supported source to a [`Dataset`], its vocabulary and its decoded pictures.

mod coco;
pub mod convert;
pub mod dataset;
pub mod doctor;
pub mod folder;
pub mod image;
mod jsonl;
mod karpathy;
mod options;
pub mod preprocess;
mod record;
mod roots;
mod rows;
pub mod sample;
pub mod source;
pub mod split;
mod table;
pub mod tokenizer;
pub mod vocabulary;
mod webdataset;
pub mod word_vectors;

pub use convert::{DataFormat, Pictures, convert};
pub use dataset::{Caption, Dataset, Dropped, Image, ImageSource, Split};
pub use doctor::{CheckOptions, DoctorReport, check};
pub use gxn_base::{Error, Kind, Remedy, Result};
pub use image::{ContentHash, ImageLimits, decode_image, image_size, load_image, read_limited};
pub use options::{CsvColumns, SourceOptions};
pub use preprocess::{Filter, Preprocess, ResizeRule, View};
pub use split::SplitBy;
pub use tokenizer::tokenize;
pub use vocabulary::{END, PAD, START, UNKNOWN, UnknownWords, Vocabulary};
pub use word_vectors::WordVectors;
