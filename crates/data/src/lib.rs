//! Image–text datasets: from any supported source to images, captions and splits, and from these to tokens and pixels.
//!
//! | module | what it holds |
//! |---|---|
//! | [`Dataset`] | images, captions and splits, whatever format they came from; [`Dataset::open`] recognises it |
//! | [`SourceOptions`] | how a source is read; the same type in configurations and, with feature `clap`, on command lines |
//! | [`Account`] | what reading found, what was left out and why |
//! | [`check()`] | what is wrong with a dataset before hours are spent on it |
//! | [`convert()`] | the dataset in another format |
//! | [`Vocabulary`], [`tokenize()`], [`WordVectors`] | from captions to tokens and ready-made word vectors |
//! | [`load_image`], [`Preprocess`] | from encoded bytes to upright RGB pixels and the network's input |
//! | [`SAMPLES`] | a commented sample of each format |
//!
//! ```
//! use gxn_data::{Dataset, SourceOptions, Split};
//!
//! let folder = tempfile::tempdir()?;
//! image::RgbImage::new(8, 8).save(folder.path().join("beach.png"))?;
//! let line = r#"{"image": "beach.png", "captions": ["Two dogs run.", "Dogs on a beach."], "split": "train"}"#;
//! std::fs::write(folder.path().join("captions.jsonl"), line)?;
//!
//! let data = Dataset::open(folder.path(), &SourceOptions::default())?;
//! println!("{}: {} images, {} captions", data.format, data.images.len(), data.captions.len());
//! assert_eq!((data.split_indices(Split::Train).len(), data.captions.len()), (1, 2));
//! assert!(data.account.dropped.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod account;
mod candidates;
mod check;
mod check_report;
mod coco;
mod coco_parts;
mod conceptual;
mod convert;
mod dataset;
mod decode_command;
mod duplicates;
mod file_stamp;
mod folder;
mod format;
#[cfg(test)]
mod fuzz;
mod hugging_face;
mod image;
mod image_folder;
mod image_resolver;
mod image_source;
mod jsonl;
mod karpathy;
#[cfg(test)]
mod odd_inputs;
mod options;
mod parquet;
mod parquet_cell;
mod parquet_layout;
mod parquet_writer;
mod parsed_source;
mod preprocess;
mod record_builder;
mod sample;
mod source;
mod split;
mod table;
mod table_rows;
#[cfg(test)]
mod testing;
mod tokenizer;
mod undecoded;
mod verdict;
mod vocabulary;
mod webdataset;
mod word_vectors;

pub use account::{Account, Dropped};
pub use check::{CheckOptions, check};
pub use check_report::{CaptionLengths, CheckReport, EqualCaptions, RepeatedCaption, SplitCount, WordlessCaption};
pub use convert::{DataFormat, ImageFiles, convert};
pub use dataset::{Caption, Dataset, Image};
pub use decode_command::DecodeCommand;
pub use duplicates::Duplicates;
pub use file_stamp::FileStamp;
pub use folder::unread_reason;
pub use gxn_base::{Error, Kind, Remedy, Result};
pub use image::{ImageLimits, decode_image, image_size, load_image, read_limited};
pub use image_source::{ContentHash, ImageSource, has_image_extension};
pub use options::{CsvColumns, SourceOptions};
pub use parquet_cell::ParquetCell;
pub use preprocess::{Preprocess, ResizeFilter, ResizeRule, View, resize};
pub use sample::{SAMPLES, Sample};
pub use split::{Split, SplitBy};
pub use tokenizer::{has_word, tokenize};
pub use undecoded::Undecoded;
pub use verdict::{Purpose, SplitSizes};
pub use vocabulary::{END, PAD, START, UNKNOWN, UnknownWords, Vocabulary};
pub use word_vectors::WordVectors;
