//! [`SourceOptions`] as an index stores them: by the names of their flags, so that older indexes are still read.

use std::path::PathBuf;

use gxn_data::{CsvColumns, SourceOptions, SplitBy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    images: Option<PathBuf>,
    texts: Option<PathBuf>,
    split_by: Option<SplitBy>,
    no_restval: bool,
    csv_img_key: Option<String>,
    csv_caption_key: Option<String>,
    csv_separator: Option<char>,
    strict: bool,
}

pub fn serialize<S: Serializer>(options: &SourceOptions, to: S) -> Result<S::Ok, S::Error> {
    let SourceOptions { images, texts, split_by, use_restval, csv, strict } = options.clone();
    let CsvColumns { image: csv_img_key, caption: csv_caption_key, separator: csv_separator } = csv;
    let no_restval = !use_restval;
    Stored { images, texts, split_by, no_restval, csv_img_key, csv_caption_key, csv_separator, strict }.serialize(to)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SourceOptions, D::Error> {
    let Stored { images, texts, split_by, no_restval, csv_img_key, csv_caption_key, csv_separator, strict } =
        Stored::deserialize(from)?;
    let csv = CsvColumns { image: csv_img_key, caption: csv_caption_key, separator: csv_separator };
    Ok(SourceOptions { images, texts, split_by, use_restval: !no_restval, csv, strict })
}
