//! COCO captions JSON: `{"images":[{"id","file_name"}],"annotations":[{"id"?,"image_id","caption"}]}`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::image_resolver::ImageResolver;
use super::image_source::ImageSource;
use super::options::SourceOptions;
use super::parsed_source::{ParsedCaption, ParsedSource, Record, plain};
use gxn_base::text::parse_json;
use gxn_base::{Error, Result};

#[derive(Deserialize)]
struct File {
    images: Vec<Entry>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Entry {
    id: Value,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    id: Option<Value>,
    image_id: Value,
    caption: Option<String>,
}

/// The file gives no splits: one name for each part is the custom (`captions_train2017.json`).
pub(super) fn read(path: &Path, text: &str, options: &SourceOptions) -> Result<ParsedSource> {
    let file: File = parse_json(text, path, "COCO's layout of images and annotations")?;
    if !file.annotations.is_empty() && file.annotations.iter().all(|annotation| annotation.caption.is_none()) {
        return Err(Error::invalid(path.display().to_string(), "annotations without `caption`", "COCO captions")
            .with_hint("instances_*.json and person_keypoints_*.json hold none; take captions_*.json"));
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = stem.rsplit('_').next().unwrap_or_default();
    let resolver = ImageResolver::new(path, options.images.as_deref(), &[folder])?;
    let mut parsed = ParsedSource::new("COCO captions JSON");
    parsed.account.found.push(format!(
        "{} images and {} annotations are listed",
        file.images.len(),
        file.annotations.len()
    ));
    let mut captions: HashMap<String, Vec<ParsedCaption>> = HashMap::new();
    for annotation in file.annotations {
        let text = annotation.caption.unwrap_or_default();
        captions
            .entry(plain(&annotation.image_id))
            .or_default()
            .push(ParsedCaption { id: annotation.id.as_ref().map(plain), text });
    }
    for entry in file.images {
        let id = plain(&entry.id);
        let captions = captions.remove(&id).unwrap_or_default();
        match resolver.find(&[&entry.file_name]) {
            Ok(path) => {
                let meta = Map::from_iter([("filename".to_owned(), Value::from(entry.file_name))]);
                parsed.records.push(Record { id, source: ImageSource::File(path), split: None, captions, meta });
            }
            Err(reason) => {
                if resolver.may_hold(&[&entry.file_name]) {
                    parsed.account.unread.push(id);
                }
                parsed.account.drop(
                    entry.file_name,
                    format!("{reason} ({})", gxn_base::words::counted(captions.len(), "caption")),
                );
            }
        }
    }
    let mut orphans: Vec<_> = captions.into_iter().collect();
    orphans.sort_by(|a, b| a.0.cmp(&b.0));
    for (id, captions) in orphans {
        parsed.account.drop(format!("{} captions of image_id {id}", captions.len()), "no image has this id");
    }
    Ok(parsed)
}
