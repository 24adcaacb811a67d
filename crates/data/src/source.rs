//! [`Dataset::open`]: recognises a source's format by looking at it.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::dataset::Dataset;
use super::options::SourceOptions;
use super::record::Reading;
use super::table::Header;
use super::{coco, folder, jsonl, karpathy, table, webdataset};
use gxn_base::text::read_text;
use gxn_base::{Error, Result};

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
    pub fn open(source: &Path, options: &SourceOptions) -> Result<Self> {
        if source.is_dir() {
            return read_folder(source, options)?.into_dataset(stem(source), options);
        }
        if source.exists() {
            return read_file(source, options)?.into_dataset(stem(source), options);
        }
        let text = source.to_string_lossy();
        if text.contains("::") {
            return join(text.split("::").map(|part| Self::open(Path::new(part), options)).collect::<Result<_>>()?);
        }
        if text.contains('{') {
            let name = Path::new(text.split('{').next().unwrap_or_default()).file_name();
            let name =
                name.map_or("shards".into(), |name| name.to_string_lossy().trim_end_matches(['-', '_']).to_owned());
            return webdataset::read(&webdataset::expand(&text)?)?.into_dataset(name, options);
        }
        Err(Error::io("cannot open the data", source, std::io::ErrorKind::NotFound.into()))
    }
}

/// The formats of a single file, told by its content.
enum Format {
    Karpathy(String),
    Coco(String),
    List(String),
    Lines(String),
    Token(String),
    Table(String, Header),
    Tar,
}

/// Reads a file of any format.
fn read_file(path: &Path, options: &SourceOptions) -> Result<Reading> {
    match Format::of(path, options)? {
        Format::Karpathy(text) => karpathy::read(path, &text, options),
        Format::Coco(text) => coco::read(path, &text, options),
        Format::List(text) => jsonl::read_list(path, &text, options),
        Format::Lines(text) => jsonl::read_lines(path, &text, options),
        Format::Token(text) => table::read_token(path, &text, options),
        Format::Table(text, header) => table::read_table(path, &text, header, options),
        Format::Tar => webdataset::read(&[path.to_path_buf()]),
    }
}

const EXPECTED: &str = "Karpathy JSON, COCO captions JSON, JSONL, a Flickr token file, CSV or TSV with a header, a tar";

impl Format {
    fn of(path: &Path, options: &SourceOptions) -> Result<Self> {
        let unknown = |found: String| {
            Error::invalid(path.display().to_string(), found, EXPECTED)
                .with_hint("`gxn data init` prints a sample of each format")
        };
        let mut start = Vec::new();
        let file = File::open(path).map_err(|error| Error::io("cannot open", path, error))?;
        file.take(4096).read_to_end(&mut start).map_err(|error| Error::io("cannot read", path, error))?;
        if webdataset::is_tar(path, &start) {
            return Ok(Self::Tar);
        }
        match start {
            _ if start.is_empty() => return Err(unknown("an empty file".into())),
            _ if start.starts_with(&[0x1f, 0x8b]) => return Err(unknown("gzip data; unpack it first".into())),
            _ if start.starts_with(b"PK\x03\x04") => return Err(unknown("a zip archive; unpack it first".into())),
            _ if start.contains(&0) || start.starts_with(&[0xff, 0xd8, 0xff]) => {
                return Err(unknown("a binary file".into()));
            }
            _ => {}
        }
        let text = read_text(path)?;
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if table::is_token_line(first) {
            return Ok(Self::Token(text));
        }
        if text.trim_start().starts_with('[') {
            return Ok(Self::List(text));
        }
        if text.trim_start().starts_with('{') {
            if let Ok(Value::Object(object)) = serde_json::from_str(first)
                && jsonl::is_row(&object)
            {
                return Ok(Self::Lines(text));
            }
            let outline: Outline = match serde_json::from_str(&text) {
                Ok(outline) => outline,
                // Several objects one after the other: lines, whose faults the reader names one by one.
                Err(_) if serde_json::from_str::<Map<String, Value>>(first).is_ok() => return Ok(Self::Lines(text)),
                Err(error) => return Err(unknown(format!("damaged JSON ({error})"))),
            };
            return match outline {
                Outline { images: Some(_), annotations: Some(_), .. } => Ok(Self::Coco(text)),
                Outline { images: Some(images), .. }
                    if images.is_empty() || images.iter().any(|image| image.sentences.is_some()) =>
                {
                    Ok(Self::Karpathy(text))
                }
                Outline { images: Some(_), .. } => {
                    Err(unknown("JSON whose images have no `sentences`, and no `annotations` beside them".into()))
                }
                Outline { rest, .. } => {
                    let keys = rest.keys().take(8).cloned().collect::<Vec<_>>().join(", ");
                    Err(unknown(format!("JSON with the keys {keys}")))
                }
            };
        }
        match Header::find(path, first, &options.csv)? {
            Some(header) => Ok(Self::Table(text, header)),
            None => Err(unknown(format!("text beginning {:?}", first.chars().take(60).collect::<String>()))),
        }
    }
}

/// As much of a JSON file as tells its layout; what is skipped costs no memory.
#[derive(Deserialize)]
struct Outline {
    images: Option<Vec<OutlineImage>>,
    annotations: Option<IgnoredAny>,
    #[serde(flatten)]
    rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct OutlineImage {
    sentences: Option<IgnoredAny>,
}

/// Reads a folder: two folders of equal stems, one table or JSON with its pictures, tar shards, or pairs.
fn read_folder(folder: &Path, options: &SourceOptions) -> Result<Reading> {
    if let Some(texts) = &options.texts {
        return folder::read(options.images.as_deref().unwrap_or(folder), texts);
    }
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    files.retain(|path| !name(path).starts_with('.'));
    let tables: Vec<&PathBuf> =
        files.iter().filter(|path| may_be_table(&name(path), path) && Format::of(path, options).is_ok()).collect();
    match tables[..] {
        [] => {}
        [table] => return read_file(table, options),
        _ => {
            let names = tables.iter().take(5).map(|path| name(path)).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(folder.display().to_string(), format!("several tables: {names}"), "one")
                .with_hint("name the file itself"));
        }
    }
    let shards: Vec<PathBuf> = files.iter().filter(|path| name(path).ends_with(".tar")).cloned().collect();
    if !shards.is_empty() {
        return webdataset::read(&shards);
    }
    match folder::two_inside(folder) {
        Some((images, texts)) => folder::read(&images, &texts),
        None => folder::read(folder, folder),
    }
}

/// Whether the name promises a table of the whole data set rather than a file that goes with one picture.
fn may_be_table(name: &str, path: &Path) -> bool {
    let beside_picture = || ["jpg", "jpeg", "png", "webp"].iter().any(|end| path.with_extension(end).exists());
    [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".token", ".token.txt"].iter().any(|end| name.ends_with(end))
        && !beside_picture()
        || ["captions.txt", "results.txt"].contains(&name)
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
        part.unread.iter_mut().for_each(|id| id.insert_str(0, &prefix));
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
        whole.unread.append(&mut part.unread);
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

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
