//! [`Format`]: tells the format of a single file by its content.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::options::{CsvColumns, SourceOptions};
use super::parsed_source::ParsedSource;
use super::table::Header;
use super::{coco, conceptual, hugging_face, jsonl, karpathy, parquet, table, webdataset};
use gxn_base::text::{is_utf16, read_text};
use gxn_base::{Error, Kind, Remedy, Result};

const EXPECTED: &str = "Karpathy JSON, COCO captions JSON, JSONL, a Flickr token file, CSV or TSV with a header, TSV of caption and file, Parquet, a tar";

/// The formats of a single file, told by its content.
pub(super) enum Format {
    Karpathy(String),
    Coco(String),
    List(String),
    Lines(String),
    Token(String),
    Table(String, Header),
    Headerless(String, conceptual::Columns),
    Parquet,
    Tar,
    /// JSON for another purpose: what reading it would give.
    Foreign(Error),
}

impl Format {
    /// Recognises the format of a file.
    ///
    /// # Errors
    /// Why it is none: the message that a user gets who names this file alone.
    pub(super) fn of(path: &Path, options: &SourceOptions) -> Result<Self> {
        let other = |kind: Kind, found: String| {
            Error::new(kind, path.display().to_string(), found, EXPECTED).with_remedy(Remedy::ShowFormats)
        };
        let unknown = |found| other(Kind::Invalid, found);
        let unsupported = |found: &str| other(Kind::Unsupported, found.to_owned());
        let mut start = Vec::new();
        let file = File::open(path).map_err(|error| Error::io("cannot open", path, error))?;
        file.take(4096).read_to_end(&mut start).map_err(|error| Error::io("cannot read", path, error))?;
        if webdataset::is_tar(path, &start) {
            return Ok(Self::Tar);
        }
        match start {
            _ if is_utf16(&start) => {}
            _ if start.is_empty() => return Err(unknown("an empty file".into())),
            _ if start.starts_with(b"PAR1") => return Ok(Self::Parquet),
            _ if let Some(packing) = compression(&start) => {
                return Err(unsupported(&format!("{packing} data; decompress it first")));
            }
            _ if is_workbook(path) => return Err(unsupported("a spreadsheet; save it as CSV or as text with tabs")),
            _ if start.starts_with(b"PK\x03\x04") => return Err(unsupported("a zip archive; unpack it first")),
            _ if is_unmarked_utf16(&start) => {
                let found = "UTF-16 without a byte-order mark".to_owned();
                return Err(unknown(found).with_hint("convert it, for example with: iconv -f utf-16le -t utf-8"));
            }
            _ if start.contains(&0) || start.starts_with(&[0xff, 0xd8, 0xff]) => {
                return Err(unsupported("a binary file"));
            }
            _ => {}
        }
        let (text, separator) = without_separator_line(read_text(path)?);
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if table::is_token_line(first) {
            return Ok(Self::Token(text));
        }
        if text.trim_start().starts_with('[') {
            return Ok(match list_of_no_rows(&text) {
                Some(found) => Self::Foreign(unknown(found)),
                None => Self::List(text),
            });
        }
        if text.trim_start().starts_with('{') {
            return Self::of_object(text, &unknown);
        }
        let columns = CsvColumns { separator: options.csv.separator.or(separator), ..options.csv.clone() };
        if let Some(header) = Header::find(path, first, &columns)? {
            return Ok(Self::Table(text, header));
        }
        match conceptual::Columns::find(path, &text)? {
            Some(columns) => Ok(Self::Headerless(text, columns)),
            None => {
                let error = unknown(format!("text beginning {:?}", first.chars().take(60).collect::<String>()));
                let is_table =
                    path.extension().is_some_and(|end| ["csv", "tsv"].iter().any(|it| end.eq_ignore_ascii_case(it)));
                Err(if is_table { error.with_remedy(Remedy::NameColumns) } else { error })
            }
        }
    }

    /// The format of a text that begins with an object, or lines of them; `unknown` makes the error that it is none.
    fn of_object(text: String, unknown: &dyn Fn(String) -> Error) -> Result<Self> {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
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
        match outline {
            Outline { images: Some(_), annotations: Some(_), .. } => Ok(Self::Coco(text)),
            Outline { images: Some(images), .. }
                if images.is_empty() || images.iter().any(|image| image.sentences.is_some()) =>
            {
                Ok(Self::Karpathy(text))
            }
            Outline { images: Some(_), .. } => Ok(Self::Foreign(unknown(
                "JSON whose images have no `sentences`, and no `annotations` beside them".into(),
            ))),
            Outline { rest, .. } => {
                let keys = rest.keys().take(8).cloned().collect::<Vec<_>>().join(", ");
                Ok(Self::Foreign(unknown(format!("JSON with the keys {keys}"))))
            }
        }
    }

    /// Reads the file that this was recognised from.
    pub(super) fn read(self, path: &Path, options: &SourceOptions) -> Result<ParsedSource> {
        match self {
            Self::Karpathy(text) => karpathy::read(path, &text, options),
            Self::Coco(text) => coco::read(path, &text, options),
            Self::List(text) => jsonl::read_list(path, &text, options),
            Self::Lines(text) => jsonl::read_lines(path, &text, options),
            Self::Token(text) => table::read_token(path, &text, options),
            Self::Table(text, header) => table::read_table(path, &text, header, options),
            Self::Headerless(text, columns) => conceptual::read(path, &text, columns, options),
            Self::Parquet => parquet::read(&hugging_face::shards(vec![path.to_path_buf()], path), options),
            Self::Tar => webdataset::read(&[path.to_path_buf()], options),
            Self::Foreign(error) => Err(error),
        }
    }
}

/// The name of the compression, if the bytes begin like compressed data.
pub(super) fn compression(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&str, &[u8]); 4] =
        [("gzip", &[0x1f, 0x8b]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]), ("bzip2", b"BZh"), ("xz", b"\xfd7zXZ\0")];
    KNOWN.into_iter().find(|(_, magic)| start.starts_with(magic)).map(|(name, _)| name)
}

/// What a JSON list holds that has entries, and none of them names an image. The first one nearly always does.
fn list_of_no_rows(text: &str) -> Option<String> {
    let is_image_row = |value: &Value| value.as_object().is_some_and(jsonl::is_row);
    let inside = text.trim_start().strip_prefix('[')?;
    let first = serde_json::Deserializer::from_str(inside).into_iter::<Value>().next()?.ok();
    if first.as_ref().is_some_and(is_image_row) {
        return None;
    }
    let entries = serde_json::from_str::<Vec<Value>>(text).ok().filter(|entries| !entries.is_empty())?;
    let found = format!("a JSON list of {} without an image", gxn_base::words::counted(entries.len(), "entry"));
    (!entries.iter().any(is_image_row)).then_some(found)
}

fn is_workbook(path: &Path) -> bool {
    let is = |end: &&str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(*end));
    ["xlsx", "xls", "ods"].iter().any(is)
}

/// Text without Excel's first line `sep=;`, and its separator. An empty line stays, so that the others keep their numbers.
fn without_separator_line(text: String) -> (String, Option<char>) {
    let first = text.lines().next().unwrap_or_default().trim();
    let separator = first.strip_prefix("sep=").and_then(|rest| rest.parse::<char>().ok());
    match separator {
        Some(_) => (text.split_once('\n').map(|(_, rest)| format!("\n{rest}")).unwrap_or_default(), separator),
        None => (text, None),
    }
}

/// Whether every other byte is zero in what looks like text otherwise.
fn is_unmarked_utf16(start: &[u8]) -> bool {
    let zeros = |from: usize| start.iter().skip(from).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    even.max(odd) * 4 > start.len() && even.min(odd) == 0
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
