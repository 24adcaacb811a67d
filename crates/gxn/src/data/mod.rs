//! DATA: from any supported source to a [`Dataset`], its vocabulary and its decoded pictures.

pub(crate) mod atomic;
pub mod dataset;
pub mod image;
mod karpathy;
pub mod preprocess;
mod record;
mod roots;
pub mod source;
pub mod split;
mod text_file;
pub mod tokenizer;
pub mod vocabulary;
pub mod word_vectors;

pub use dataset::{Caption, Dataset, Dropped, Image, ImageSource, Split};
pub use image::{ContentHash, ImageLimits, decode_image, image_size, load_image, read_limited};
pub use preprocess::{Filter, Preprocess, ResizeRule, View};
pub use source::{CsvColumns, OpenOptions};
pub use split::SplitBy;
pub use tokenizer::tokenize;
pub use vocabulary::{END, PAD, START, UNKNOWN, UnknownWords, Vocabulary};
pub use word_vectors::WordVectors;
