//! COCO captions JSON: `{"images":[{"id","file_name"}],"annotations":[{"id"?,"image_id","caption"}]}`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::account::Account;
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
    caption: Option<Value>,
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
    let mut captions = captions_by_image(file.annotations);
    let ambiguous = leave_out_ambiguous(&file.images, &mut captions, &mut parsed.account);
    let mut listed = HashSet::new();
    for entry in file.images {
        let id = plain(&entry.id);
        // Files that were merged list an image twice.
        if ambiguous.contains(&id) || !listed.insert(id.clone()) {
            continue;
        }
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
        let captions = gxn_base::words::counted(captions.len(), "caption");
        parsed.account.drop(format!("{captions} of image_id {id}"), "no image has this id");
    }
    Ok(parsed)
}

/// Captions by the id of their image.
fn captions_by_image(annotations: Vec<Annotation>) -> HashMap<String, Vec<ParsedCaption>> {
    let mut captions: HashMap<String, Vec<ParsedCaption>> = HashMap::new();
    for annotation in annotations {
        // What is no text comes as an empty caption, so that it is counted.
        let text = annotation.caption.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        let caption = ParsedCaption { id: annotation.id.as_ref().map(plain), text };
        captions.entry(plain(&annotation.image_id)).or_default().push(caption);
    }
    captions
}

/// Takes out the captions of ids that are given to several images, and returns these ids.
fn leave_out_ambiguous(
    images: &[Entry],
    captions: &mut HashMap<String, Vec<ParsedCaption>>,
    account: &mut Account,
) -> HashSet<String> {
    let mut ambiguous = HashSet::new();
    for (id, names) in names_of_ids(images).into_iter().filter(|(_, names)| names.len() > 1) {
        let lost = captions.remove(&id).unwrap_or_default().len();
        let captions = gxn_base::words::counted(lost, "caption");
        let reason = format!("the image id {id} is theirs alike: which of them its {captions} describe is not known");
        account.drop(names.join(", "), reason);
        account.unread.push(id.clone());
        ambiguous.insert(id);
    }
    ambiguous
}

/// The different file names that each id is given to.
fn names_of_ids(images: &[Entry]) -> BTreeMap<String, Vec<&str>> {
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for entry in images {
        let of_id = names.entry(plain(&entry.id)).or_default();
        if !of_id.contains(&entry.file_name.as_str()) {
            of_id.push(&entry.file_name);
        }
    }
    names
}
