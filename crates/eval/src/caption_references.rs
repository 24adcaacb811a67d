//! [`ReferenceCaptions`]: what people wrote about images, from COCO's or Karpathy's JSON or a dataset.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::caption_results::ImageId;
use gxn_base::text::{parse_json, read_text};
use gxn_base::words::{counted, first_few};
use gxn_base::{Error, Result};

/// The captions that people wrote, by image.
#[derive(Debug, Clone, Default)]
pub struct ReferenceCaptions {
    /// The file's or the dataset's name, for errors.
    pub name: String,
    /// What was left out or is unusual, for people.
    pub notes: Vec<String>,
    pub(crate) images: Vec<ReferenceImage>,
}

#[derive(Debug, Clone)]
pub(crate) struct ReferenceImage {
    /// What results may call it: COCO's `id`; of a Karpathy file the dataset's id, `filename` and `imgid`.
    pub ids: [Option<ImageId>; 3],
    pub split: Option<String>,
    pub captions: Vec<String>,
}

/// Either kind of file; keys of the other kind are absent.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    images: Vec<Entry>,
    annotations: Option<Vec<Annotation>>,
}

#[derive(Deserialize)]
struct Entry {
    id: Option<ImageId>,
    cocoid: Option<ImageId>,
    imgid: Option<ImageId>,
    filename: Option<String>,
    split: Option<String>,
    sentences: Option<Vec<Sentence>>,
}

#[derive(Deserialize)]
struct Sentence {
    #[serde(default)]
    raw: Value,
    #[serde(default)]
    tokens: Vec<String>,
}

impl Sentence {
    fn text(self) -> Option<String> {
        match self.raw {
            Value::String(raw) => Some(raw),
            Value::Null if !self.tokens.is_empty() => Some(self.tokens.join(" ")),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Annotation {
    image_id: ImageId,
    #[serde(default)]
    caption: Value,
}

impl ReferenceCaptions {
    /// Reads COCO's captions JSON (`images`, `annotations`) or Karpathy's (`images` with `sentences`).
    ///
    /// # Errors
    /// When the file cannot be read, is neither, or lists an image twice.
    pub fn read(path: &Path) -> Result<Self> {
        let shape = "captions as COCO (images, annotations) or Karpathy (images with sentences) has them";
        let file: File = parse_json(&read_text(path)?, path, shape)?;
        let name = path.display().to_string();
        let mut references = match file.annotations {
            Some(annotations) => coco(file.images, annotations, &name)?,
            None if file.images.iter().any(|image| image.sentences.is_some()) => karpathy(file.images, &name)?,
            None => return Err(Error::invalid(name, "neither annotations nor sentences", shape)),
        };
        references.name = name;
        Ok(references)
    }

    /// The captions of the images of one split: (image id, captions) each. `name` is for errors.
    pub fn of_split(name: &str, split: &str, images: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let image = |(id, captions)| ReferenceImage {
            ids: [Some(ImageId::Text(id)), None, None],
            split: Some(split.to_owned()),
            captions,
        };
        Self { name: name.to_owned(), notes: Vec::new(), images: images.into_iter().map(image).collect() }
    }

    /// The captions by image as a corpus for document frequencies: those for training (train, restval) if there are
    /// splits, else all; images without captions do not count.
    ///
    /// # Errors
    /// When that is nothing.
    pub fn corpus(&self) -> Result<Vec<Vec<String>>> {
        let training = |image: &&ReferenceImage| {
            matches!(image.split.as_deref(), None | Some("train" | "restval")) && !image.captions.is_empty()
        };
        let corpus: Vec<_> = self.images.iter().filter(training).map(|image| image.captions.clone()).collect();
        if corpus.is_empty() {
            let found = format!("{}, none of the train split", counted(self.images.len(), "image"));
            return Err(Error::invalid(&self.name, found, "images of the split train, or without splits")
                .with_hint("document frequencies come from the captions a model was trained on"));
        }
        Ok(corpus)
    }
}

fn coco(images: Vec<Entry>, annotations: Vec<Annotation>, name: &str) -> Result<ReferenceCaptions> {
    if !annotations.is_empty() && annotations.iter().all(|annotation| annotation.caption.is_null()) {
        return Err(Error::invalid(name, "annotations without `caption`", "COCO captions")
            .with_hint("instances_*.json and person_keypoints_*.json hold none; take captions_*.json"));
    }
    let mut references = ReferenceCaptions::default();
    let mut place = HashMap::new();
    let mut nameless = 0;
    for image in images {
        let Some(id) = image.id else {
            nameless += 1;
            continue;
        };
        if place.insert(id.to_string(), references.images.len()).is_some() {
            return Err(listed_twice(name, &id));
        }
        references.images.push(ReferenceImage { ids: [Some(id), None, None], split: None, captions: Vec::new() });
    }
    let (mut orphans, mut wordless, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for annotation in annotations {
        match (place.get(&annotation.image_id.to_string()), annotation.caption) {
            (None, _) => orphans.push(annotation.image_id),
            (Some(&place), Value::String(caption)) => references.images[place].captions.push(caption),
            (Some(_), Value::Null) => wordless.push(annotation.image_id),
            (Some(_), _) => other.push(annotation.image_id),
        }
    }
    let left_out = [
        ("of images that are not listed", &orphans),
        ("without a caption", &wordless),
        ("whose caption is no text", &other),
    ];
    for (what, ids) in left_out.into_iter().filter(|(_, ids)| !ids.is_empty()) {
        references.notes.push(format!("left out: {} {what} ({})", counted(ids.len(), "annotation"), first_few(ids)));
    }
    if nameless > 0 {
        references.notes.push(format!("left out: {} without an id", counted(nameless, "image")));
    }
    Ok(references)
}

fn karpathy(images: Vec<Entry>, name: &str) -> Result<ReferenceCaptions> {
    let mut references = ReferenceCaptions::default();
    let (mut seen, mut textless) = (HashSet::new(), Vec::new());
    for image in images {
        let filename = image.filename.map(ImageId::Text);
        let id = image.id.or(image.cocoid).or_else(|| filename.clone());
        if let Some(id) = &id
            && !seen.insert(id.to_string())
        {
            return Err(listed_twice(name, id));
        }
        let sentences = image.sentences.unwrap_or_default();
        let count = sentences.len();
        let captions: Vec<String> = sentences.into_iter().filter_map(Sentence::text).collect();
        textless.extend(std::iter::repeat_n(id.clone(), count - captions.len()).flatten());
        references.images.push(ReferenceImage { ids: [id, filename, image.imgid], split: image.split, captions });
    }
    if !textless.is_empty() {
        let count = counted(textless.len(), "sentence");
        references.notes.push(format!("left out: {count} without text ({})", first_few(&textless)));
    }
    Ok(references)
}

fn listed_twice(name: &str, id: &ImageId) -> Error {
    Error::invalid(name, format!("image {id} listed twice"), "every image once")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ReferenceCaptions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("captions.json");
        std::fs::write(&path, text).unwrap();
        ReferenceCaptions::read(&path)
    }

    #[test]
    fn coco_leaves_out_what_has_no_place_and_says_so() {
        let found = read(
            r#"{"images": [{"id": 1, "file_name": "a"}, {"id": "2"}, {"file_name": "c"}], "annotations": [
                {"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": "b"}, {"image_id": 1, "caption": "c"},
                {"image_id": 9, "caption": "d"}, {"image_id": 1}, {"image_id": 2, "caption": 5}]}"#,
        )
        .unwrap();
        assert_eq!(found.images.iter().map(|image| image.captions.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(
            found.notes,
            [
                "left out: 1 annotation of images that are not listed (9)",
                "left out: 1 annotation without a caption (1)",
                "left out: 1 annotation whose caption is no text (2)",
                "left out: 1 image without an id"
            ]
        );
        assert_eq!(found.corpus().unwrap(), [vec!["a", "c"], vec!["b"]]);
    }

    #[test]
    fn karpathy_has_splits_and_more_names() {
        let found = read(
            r#"{"images": [
                {"filename": "a.jpg", "imgid": 0, "split": "train", "sentences": [{"raw": "a"}]},
                {"filename": "b.jpg", "imgid": 1, "split": "restval", "sentences": [{"tokens": ["b", "c"]}]},
                {"filename": "c.jpg", "imgid": 2, "cocoid": 42, "split": "test",
                 "sentences": [{"raw": "d"}, {"raw": null}, {"raw": 7}, {}]}]}"#,
        )
        .unwrap();
        assert_eq!(found.notes, ["left out: 3 sentences without text (42, 42, 42)"]);
        assert_eq!(found.corpus().unwrap(), [["a"], ["b c"]]);
        assert_eq!(found.images[0].ids[0], Some(ImageId::Text("a.jpg".into())));
        assert_eq!(found.images[2].ids[0], Some(ImageId::Number(42)));
        assert_eq!(found.images[2].ids[2], Some(ImageId::Number(2)));
    }

    #[test]
    fn other_references_are_refused() {
        for (text, part) in [
            (r#"{"images": [{"id": 1}, {"id": 1}], "annotations": []}"#, "image 1 listed twice"),
            (r#"{"images": [{"filename": "a", "sentences": []}, {"filename": "a"}]}"#, "image a listed twice"),
            (r#"{"images": [], "annotations": [{"image_id": 1, "category_id": 3}]}"#, "without `caption`"),
            (r#"{"images": [{"id": 1}]}"#, "neither annotations nor sentences"),
            (r#"[{"image_id": 1, "caption": "a"}]"#, "captions as COCO"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let tested = r#"{"images": [{"filename": "a", "split": "test", "sentences": [{"raw": "a"}]}]}"#;
        assert!(read(tested).unwrap().corpus().unwrap_err().to_string().contains("1 image, none of the train split"));
    }
}
