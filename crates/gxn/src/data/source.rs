//! [`Dataset::open`]: recognises a source's format by looking at it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::karpathy;
use super::record::Reading;
use super::split::SplitBy;
use super::text_file::{parse_json, read_text};
use crate::{Error, Result};

/// How to read a source. The default lets everything be found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenOptions {
    /// Folder below which the images are; else `images/` beside the source or the source's own folder.
    pub images: Option<PathBuf>,
    /// Folder of the caption files, when images and captions lie in two folders with equal stems.
    pub texts: Option<PathBuf>,
    /// Gives splits anew, in place of those in the source. Without it a source without splits is split by
    /// [`SplitBy::DEFAULT`].
    pub split_by: Option<SplitBy>,
    /// Karpathy's `restval` images join train; else they are left out.
    pub use_restval: bool,
    /// Columns of CSV and TSV tables.
    pub csv: CsvColumns,
    /// Anything that would be dropped and counted is an error.
    pub strict: bool,
}

/// Names of a table's columns, where they are not the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvColumns {
    /// Column of the image file.
    pub image: Option<String>,
    /// Column of the caption.
    pub caption: Option<String>,
    /// The character between columns.
    pub separator: Option<char>,
}

impl Dataset {
    /// Opens a file, a folder, several sources joined by `::`, or shards `name-{0000..0042}.tar`, whose format is
    /// recognised by looking: Karpathy JSON, COCO captions JSON, Flickr `.token`, CSV, TSV, JSONL, a folder of pictures
    /// with same-named texts, or webdataset tars.
    ///
    /// Whatever cannot be used is in [`Dataset::dropped`] with its reason.
    ///
    /// # Errors
    /// No such source, no known format, text that is not UTF-8 or not well-formed (with its line), no usable pair, or in
    /// strict mode anything dropped.
    pub fn open(source: &Path, options: &OpenOptions) -> Result<Self> {
        if source.exists() {
            return read_one(source, options)?.into_dataset(stem(source), options);
        }
        let text = source.to_string_lossy();
        if text.contains("::") {
            return join(text.split("::").map(|part| Self::open(Path::new(part), options)).collect::<Result<_>>()?);
        }
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        Err(Error::io("cannot open the data", source, missing))
    }
}

fn read_one(source: &Path, options: &OpenOptions) -> Result<Reading> {
    read_file(source, options)
}

/// Reads a file of any format.
fn read_file(path: &Path, options: &OpenOptions) -> Result<Reading> {
    let text = read_text(path)?;
    match JsonShape::of(path, &text)? {
        JsonShape::Karpathy => karpathy::read(path, &text, options),
    }
}

/// The layouts that a JSON file can have.
enum JsonShape {
    Karpathy,
}

impl JsonShape {
    fn of(path: &Path, text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Outline {
            images: Option<Vec<Entry>>,
            annotations: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Entry {
            sentences: Option<IgnoredAny>,
        }
        let outline: Outline = parse_json(text, path, "JSON")?;
        match outline {
            Outline { images: Some(images), annotations: None } if images.iter().any(|i| i.sentences.is_some()) => {
                Ok(Self::Karpathy)
            }
            _ => Err(Error::unexpected(path.display().to_string(), "JSON of another layout", "Karpathy's layout")),
        }
    }
}

/// One data set of several. Ids that two of them use are qualified by the later one's name.
fn join(parts: Vec<Dataset>) -> Result<Dataset> {
    let mut whole = Dataset::default();
    for mut part in parts {
        let images: HashSet<&str> = whole.images.iter().map(|image| image.id.as_str()).collect();
        let captions: HashSet<&str> = whole.captions.iter().map(|caption| caption.id.as_str()).collect();
        let taken = |part: &Dataset, prefix: &str| {
            part.images.iter().any(|image| images.contains(format!("{prefix}{}", image.id).as_str()))
                || part.captions.iter().any(|caption| captions.contains(format!("{prefix}{}", caption.id).as_str()))
        };
        let prefixes = std::iter::once(String::new())
            .chain(std::iter::once(format!("{}:", part.name)))
            .chain((2..).map(|number| format!("{}-{number}:", part.name)));
        let prefix = prefixes.into_iter().find(|prefix| !taken(&part, prefix)).unwrap_or_default();
        let offset = whole.images.len();
        part.images.iter_mut().for_each(|image| image.id.insert_str(0, &prefix));
        for caption in &mut part.captions {
            caption.id.insert_str(0, &prefix);
            caption.image += offset;
        }
        let glue = |whole: &mut String, part: String, between: &str| {
            if whole.is_empty() {
                *whole = part;
            } else if *whole != part {
                *whole = format!("{whole}{between}{part}");
            }
        };
        glue(&mut whole.name, part.name, "+");
        glue(&mut whole.format, part.format, ", ");
        whole.images.append(&mut part.images);
        whole.captions.append(&mut part.captions);
        whole.dropped.append(&mut part.dropped);
    }
    whole.validate()?;
    Ok(whole)
}

/// The name of a data set: its file's or folder's stem.
fn stem(source: &Path) -> String {
    let real = source.canonicalize().unwrap_or_else(|_| source.to_path_buf());
    let name = if real.is_dir() { real.file_name() } else { real.file_stem() };
    name.map_or_else(|| "data".to_owned(), |name| name.to_string_lossy().into_owned())
}
