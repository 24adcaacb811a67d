//! The native format, a JSON object a line: `{"image":"a.jpg","captions":["…"],"split":"train","id":…,"meta":{…}}`;
//! and the same objects in one JSON list, as BLIP has them (`{"image","caption","image_id"}`).

use std::path::Path;

use serde_json::{Map, Value};

use super::image_resolver::ImageResolver;
use super::options::SourceOptions;
use super::parsed_source::{ParsedCaption, ParsedSource, plain};
use super::record_builder::{RecordBuilder, Row};
use gxn_base::text::parse_json;
use gxn_base::{Error, Result};

const IMAGE: [&str; 13] = [
    "image",
    "file_name",
    "filepath",
    "image_path",
    "filename",
    "image_name",
    "img",
    "path",
    "image_file",
    "img_path",
    "img_name",
    "image_filename",
    "file",
];
const CAPTION: [&str; 11] = [
    "captions",
    "caption",
    "text",
    "title",
    "sentences",
    "sentence",
    "comment",
    "description",
    "raw",
    "prompt",
    "alt_text",
];

/// Whether the object names an image in a known way.
pub(super) fn is_row(object: &Map<String, Value>) -> bool {
    IMAGE.iter().any(|key| object.get(*key).is_some_and(Value::is_string))
}

/// Reads one object a line.
pub(super) fn read_lines(path: &Path, text: &str, options: &SourceOptions) -> Result<ParsedSource> {
    let mut builder = RecordBuilder::new("JSONL", ImageResolver::new(path, options.images.as_deref(), &[])?, options);
    let mut count = 0;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", at + 1);
        let value: Value = serde_json::from_str(line).map_err(|error| {
            Error::invalid(format!("{}, {place}", path.display()), error.to_string(), "a JSON object")
        })?;
        count += 1;
        add(&mut builder, value, place);
    }
    Ok(builder.finish(gxn_base::words::counted(count, "line")))
}

/// Reads a JSON list of objects.
pub(super) fn read_list(path: &Path, text: &str, options: &SourceOptions) -> Result<ParsedSource> {
    let values: Vec<Value> = parse_json(text, path, "a list of objects with image and caption")?;
    let mut builder =
        RecordBuilder::new("JSON list", ImageResolver::new(path, options.images.as_deref(), &[])?, options);
    let count = values.len();
    for (at, value) in values.into_iter().enumerate() {
        add(&mut builder, value, format!("entry {}", at + 1));
    }
    Ok(builder.finish(gxn_base::words::counted(count, "entry")))
}

fn add(builder: &mut RecordBuilder<'_>, value: Value, place: String) {
    let Value::Object(mut object) = value else {
        return builder.drop(place, "not a JSON object");
    };
    let key = IMAGE.iter().find(|key| object.get(**key).is_some_and(Value::is_string));
    let Some(Value::String(image)) = key.and_then(|key| object.remove(*key)) else {
        return builder.drop(place, format!("no image file under `image`; its keys are {}", keys(&object)));
    };
    let ids = object.remove("caption_ids");
    let captions = take_captions(&mut object, ids.as_ref());
    if captions.is_empty() {
        builder.unread(&image);
        return builder
            .drop(format!("{place} ({image})"), format!("no caption; its further keys are {}", keys(&object)));
    }
    let mut row = Row { image, captions, ..Row::default() };
    for key in ["id", "image_id"] {
        if let Some(id) = object.remove(key) {
            row.id.get_or_insert(plain(&id));
        }
    }
    row.split = object.remove("split").as_ref().map(plain);
    row.meta = match object.remove("meta") {
        Some(Value::Object(meta)) => meta,
        Some(other) => Map::from_iter([("meta".to_owned(), other)]),
        None => Map::new(),
    };
    row.meta.extend(object);
    builder.add(row);
}

/// The captions of an object, one string or several, with their ids where `ids` gives as many. What is in a list and is no
/// text comes as an empty caption, so that it is counted.
pub(super) fn take_captions(object: &mut Map<String, Value>, ids: Option<&Value>) -> Vec<ParsedCaption> {
    let holds_text = |key: &&&str| object.get(**key).is_some_and(|value| value.is_string() || value.is_array());
    let texts: Vec<String> = match CAPTION.iter().find(holds_text).and_then(|key| object.remove(*key)) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) => {
            texts.into_iter().map(|text| text.as_str().map(str::to_owned).unwrap_or_default()).collect()
        }
        _ => Vec::new(),
    };
    let ids = ids.and_then(Value::as_array).filter(|ids| ids.len() == texts.len());
    let id = |at: usize| ids.map(|ids| plain(&ids[at]));
    texts.into_iter().enumerate().map(|(at, text)| ParsedCaption { id: id(at), text }).collect()
}

fn keys(object: &Map<String, Value>) -> String {
    if object.is_empty() { "none".into() } else { object.keys().cloned().collect::<Vec<_>>().join(", ") }
}
