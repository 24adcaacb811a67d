//! Karpathy's JSON: `{"images":[{"filepath"?,"filename","split","sentences":[{"raw","tokens","sentid"}],"cocoid"?}]}`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::image_resolver::ImageResolver;
use super::image_source::ImageSource;
use super::options::{GivenSplit, SourceOptions};
use super::parsed_source::{ParsedCaption, ParsedSource, Record, plain};
use gxn_base::Result;
use gxn_base::text::parse_json;

#[derive(Deserialize)]
struct File {
    images: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Not part of Karpathy's layout: written by [`convert`](crate::convert()), so that ids survive.
    id: Option<String>,
    filename: String,
    filepath: Option<String>,
    split: Option<String>,
    cocoid: Option<u64>,
    imgid: Option<u64>,
    #[serde(default)]
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: Option<String>,
    #[serde(default)]
    tokens: Vec<String>,
    sentid: Option<Value>,
}

/// Images are called by `id`, `cocoid`, else by `filename`; `restval` becomes train or is left out, as the options say.
pub(super) fn read(path: &Path, text: &str, options: &SourceOptions) -> Result<ParsedSource> {
    let file: File = parse_json(text, path, "Karpathy's layout of images with sentences")?;
    let resolver = ImageResolver::new(path, options.images.as_deref(), &[])?;
    let mut parsed = ParsedSource::new("Karpathy JSON");
    parsed.account.found.push(format!("{} images are listed", file.images.len()));
    let mut restval = 0;
    for entry in file.images {
        let given = entry.id.or(entry.cocoid.map(|id| id.to_string()));
        let id = given.unwrap_or_else(|| entry.filename.clone());
        let split = match options.given_split(entry.split.as_deref()) {
            Ok(GivenSplit::None) => None,
            Ok(GivenSplit::Of(split)) => Some(split),
            Ok(GivenSplit::LeftOut) => {
                restval += 1;
                continue;
            }
            Err(reason) => {
                parsed.account.unread.push(id);
                parsed.account.drop(entry.filename, reason);
                continue;
            }
        };
        let folder = entry.filepath.as_ref().filter(|folder| !folder.is_empty());
        let inside = folder.map(|folder| format!("{folder}/{}", entry.filename));
        let names: Vec<&str> = inside.iter().map(String::as_str).chain([entry.filename.as_str()]).collect();
        let source = match resolver.find(&names) {
            Ok(path) => ImageSource::File(path),
            Err(reason) => {
                if resolver.may_hold(&names) {
                    parsed.account.unread.push(id);
                }
                let captions = entry.sentences.len();
                parsed.account.drop(
                    inside.unwrap_or(entry.filename),
                    format!("{reason} ({})", gxn_base::words::counted(captions, "caption")),
                );
                continue;
            }
        };
        let mut meta = Map::new();
        if entry.cocoid.is_some() {
            meta.insert("filename".into(), Value::from(entry.filename));
        }
        if let Some(number) = entry.imgid {
            meta.insert("imgid".into(), number.into());
        }
        let captions = entry.sentences.into_iter().map(|sentence| {
            let text = sentence.raw.unwrap_or_else(|| sentence.tokens.join(" "));
            ParsedCaption { id: sentence.sentid.as_ref().map(plain), text }
        });
        parsed.records.push(Record { id, source, split, captions: captions.collect(), meta });
    }
    parsed.account.exclude_restval(restval);
    Ok(parsed)
}
