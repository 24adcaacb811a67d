//! DATA: from any supported source to a [`Dataset`], its vocabulary and its decoded pictures.

pub(crate) mod atomic;
mod coco;
pub mod convert;
pub mod dataset;
pub mod doctor;
pub(crate) mod folder;
pub mod image;
mod jsonl;
mod karpathy;
pub mod preprocess;
mod record;
mod roots;
mod rows;
pub mod sample;
pub mod source;
pub mod split;
pub mod synthetic;
mod table;
pub(crate) mod text_file;
pub mod tokenizer;
pub mod vocabulary;
mod webdataset;
pub mod word_vectors;

pub use atomic::write_text;
pub use convert::{DataFormat, Pictures, convert};
pub use dataset::{Caption, Dataset, Dropped, Image, ImageSource, Split};
pub use doctor::{CheckOptions, DoctorReport, check};
pub use image::{ContentHash, ImageLimits, decode_image, image_size, load_image, read_limited};
pub use preprocess::{Filter, Preprocess, ResizeRule, View};
pub use source::{CsvColumns, OpenOptions};
pub use split::SplitBy;
pub use tokenizer::tokenize;
pub use vocabulary::{END, PAD, START, UNKNOWN, UnknownWords, Vocabulary};
pub use word_vectors::WordVectors;
