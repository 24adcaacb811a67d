//! Tables: Flickr's `.token`, and CSV or TSV with a header.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::image_resolver::ImageResolver;
use super::options::{CsvColumns, SourceOptions};
use super::parsed_source::{ParsedCaption, ParsedSource};
use super::record_builder::{RecordBuilder, Row};
use gxn_base::text::read_text;
use gxn_base::{Error, Kind, Remedy, Result};

const IMAGE: [&str; 8] = ["filepath", "image", "image_path", "file_name", "filename", "image_name", "img", "path"];
const CAPTION: [&str; 7] = ["title", "caption", "text", "comment", "sentence", "description", "raw"];
const SEPARATORS: [char; 4] = ['\t', '|', ';', ','];

/// Whether `line` reads `name.jpg#0<TAB>caption`.
pub(super) fn is_token_line(line: &str) -> bool {
    split_token_line(line).is_some()
}

fn split_token_line(line: &str) -> Option<(&str, &str, &str)> {
    let (key, caption) = line.split_once('\t')?;
    let (name, number) = key.rsplit_once('#')?;
    (!name.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        .then_some((name, number, caption))
}

/// Flickr8k's and Flickr30k's `name.jpg#0<TAB>caption`. Splits come from `…trainImages.txt`, `…devImages.txt` and
/// `…testImages.txt` beside the file, if they are there.
pub(super) fn read_token(path: &Path, text: &str, options: &SourceOptions) -> Result<ParsedSource> {
    let splits = official_splits(path)?;
    let mut builder =
        RecordBuilder::new("Flickr token file", ImageResolver::new(path, options.images.as_deref(), &[])?, options);
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((image, number, caption)) = split_token_line(line) else {
            builder.drop(format!("line {}", at + 1), "not `name.jpg#0<TAB>caption`");
            continue;
        };
        builder.add(Row {
            image: image.to_owned(),
            split: splits.get(image).map(|split| (*split).to_owned()),
            captions: vec![ParsedCaption { id: Some(format!("{image}#{number}")), text: caption.to_owned() }],
            ..Row::default()
        });
    }
    Ok(builder.finish(format!("{} lines", text.lines().count())))
}

fn official_splits(path: &Path) -> Result<HashMap<String, &'static str>> {
    let mut splits = HashMap::new();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, error))?.flatten() {
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        for (ending, split) in [("trainimages.txt", "train"), ("devimages.txt", "val"), ("testimages.txt", "test")] {
            if name.ends_with(ending) && !name.starts_with('.') {
                let list = read_text(&entry.path())?;
                splits.extend(list.lines().map(|line| (line.trim().to_owned(), split)));
            }
        }
    }
    Ok(splits)
}

/// Positions of the columns in a table, and what separates them.
#[derive(Debug)]
pub(super) struct Header {
    separator: char,
    names: Vec<String>,
    image: usize,
    caption: usize,
}

impl Header {
    /// Finds the columns in the first line; `None` when it has none of the known names.
    ///
    /// # Errors
    /// Columns named by the user are absent, or the images are given by address (`url`).
    pub fn find(path: &Path, line: &str, columns: &CsvColumns) -> Result<Option<Self>> {
        let seen = |c: &char| line.contains(*c);
        let separator = columns.separator.or_else(|| SEPARATORS.into_iter().find(seen)).unwrap_or(',');
        let names: Vec<String> =
            line.split(separator).map(|name| name.trim().trim_matches('"').trim().to_owned()).collect();
        let place = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let pick = |given: &Option<String>, usual: &[&str]| match given {
            Some(name) => place(name),
            None => usual.iter().find_map(|name| place(name)),
        };
        let (image, caption) = (pick(&columns.image, &IMAGE), pick(&columns.caption, &CAPTION));
        let complain = |kind: Kind, expected: String| {
            Error::new(kind, path.display().to_string(), format!("columns {}", names.join(", ")), expected)
        };
        if let (None, Some(_)) = (image, place("url")) {
            return Err(complain(Kind::Unsupported, "a column of image files".into())
                .with_hint("nothing is downloaded: fetch the images first, for example with img2dataset"));
        }
        if let (Some(image), Some(caption)) = (image, caption)
            && image != caption
        {
            return Ok(Some(Self { separator, names, image, caption }));
        }
        let named = columns.image.iter().chain(&columns.caption).map(String::as_str).collect::<Vec<_>>();
        if named.is_empty() && (names.len() < 2 || image.is_none() && caption.is_none()) {
            return Ok(None);
        }
        let wanted = match named[..] {
            [] => "a column for images (image, filepath, …) and one for captions (caption, title, text, …)".to_owned(),
            _ => format!("the columns {}", named.join(" and ")),
        };
        Err(complain(Kind::Invalid, wanted).with_remedy(Remedy::NameColumns))
    }
}

/// A table with a header: one caption a row; `split`, `id` (or `image_id`) and `caption_id` are understood, all other
/// columns become the image's meta.
pub(super) fn read_table(path: &Path, text: &str, header: Header, options: &SourceOptions) -> Result<ParsedSource> {
    let format = if header.separator == '\t' { "TSV" } else { "CSV" };
    let mut builder = RecordBuilder::new(format, ImageResolver::new(path, options.images.as_deref(), &[])?, options);
    let separator = u8::try_from(header.separator)
        .map_err(|_| Error::unsupported("the separator", format!("{:?}", header.separator), "one ASCII character"))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        // Flickr30k's results.csv has stray quotes; nobody quotes between bars.
        .quoting(header.separator != '|')
        .from_reader(text.as_bytes());
    let width = header.names.len();
    let mut count = 0;
    for record in reader.records() {
        let record = record.map_err(|error| Error::invalid(path.display().to_string(), error.to_string(), format))?;
        let line = record.position().map_or(0, |position| position.line());
        count += 1;
        if record.len() <= header.image.max(header.caption) {
            builder.drop(format!("line {line}"), format!("{} columns where the header has {width}", record.len()));
            continue;
        }
        let mut row = Row { image: record[header.image].trim().to_owned(), ..Row::default() };
        // An unquoted separator inside a caption in the last column.
        let caption = if header.caption + 1 == width {
            record.iter().skip(header.caption).collect::<Vec<_>>().join(&header.separator.to_string())
        } else if record.len() > width {
            builder.drop(format!("line {line}"), format!("{} columns where the header has {width}", record.len()));
            continue;
        } else {
            record[header.caption].to_owned()
        };
        let mut caption_id = None;
        for (at, name) in header.names.iter().enumerate() {
            let Some(value) = record.get(at).map(str::trim).filter(|value| !value.is_empty()) else { continue };
            match name.to_ascii_lowercase().as_str() {
                _ if at == header.image || at == header.caption => {}
                "split" => row.split = Some(value.to_owned()),
                "id" | "image_id" => row.id = Some(value.to_owned()),
                "caption_id" => caption_id = Some(value.to_owned()),
                _ => drop(row.meta.insert(name.clone(), Value::from(value))),
            }
        }
        row.captions.push(ParsedCaption { id: caption_id, text: caption });
        builder.add(row);
    }
    Ok(builder.finish(format!("{count} rows")))
}
