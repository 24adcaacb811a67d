//! Caption results as the coco-caption package has them, `[{"image_id","caption"}]`, and the names that belong together:
//! `captions_SPLIT_NAME_results.json`, `…_eval.json`, `…_evalImgs.json`.

use std::fmt::{self, Display};
use std::io::Write;
use std::path::Path;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

use gxn_base::fs::write_atomically;
use gxn_base::text::{parse_json, read_text};
use gxn_base::{Remedy, Result};

/// An image's id. Between files `42` and `"42"` are the same image; each file keeps its own spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ImageId {
    /// As in COCO.
    Number(i64),
    /// Such as a file name.
    Text(String),
}

/// By hand, so that an error also says what was found.
impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = ImageId;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an image id that is a whole number or a string")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<ImageId, E> {
        Ok(ImageId::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<ImageId, E> {
        // Beyond 64 bits with a sign, the digits are the id.
        Ok(i64::try_from(number).map_or_else(|_| ImageId::Text(number.to_string()), ImageId::Number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ImageId, E> {
        Ok(ImageId::Text(text.to_owned()))
    }
}

impl Display for ImageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(out),
            Self::Text(text) => text.fmt(out),
        }
    }
}

/// A caption of an image, as a results file has it; other keys of an entry are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptionResult {
    /// The image.
    pub image_id: ImageId,
    /// The caption.
    pub caption: String,
}

/// A results file: one caption per image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CaptionResults {
    /// The file's name, for errors.
    pub name: String,
    /// The captions, in the file's order.
    pub captions: Vec<CaptionResult>,
}

impl CaptionResults {
    /// Reads `[{"image_id","caption"}]`.
    ///
    /// # Errors
    /// When the file cannot be read or is not of this shape.
    pub fn read(path: &Path) -> Result<Self> {
        let shape = r#"results: a list of {"image_id": 42, "caption": "two dogs"}"#;
        let captions =
            parse_json(&read_text(path)?, path, shape).map_err(|error| error.with_remedy(Remedy::GiveReferences))?;
        Ok(Self { name: path.display().to_string(), captions })
    }

    /// Writes the list, which the coco-caption package reads too.
    ///
    /// # Errors
    /// When the file cannot be written; then none is left.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_json(path, &self.captions)
    }
}

/// The names of the three files of one set of results, by the coco-caption package's custom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultNames(String);

impl ResultNames {
    /// For the captions that `name` gives to the images of `split`.
    pub fn new(split: impl Display, name: &str) -> Self {
        Self(format!("captions_{split}_{}", name.replace(['/', '\\'], "-")))
    }

    /// Those that belong to an existing results file: its name without `.json` and `_results`.
    pub fn of(results: &Path) -> Self {
        let stem = results.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self(stem.strip_suffix("_results").map(str::to_owned).unwrap_or(stem))
    }

    /// `captions_SPLIT_NAME_results.json`: the captions.
    pub fn results(&self) -> String {
        format!("{}_results.json", self.0)
    }

    /// `captions_SPLIT_NAME_eval.json`: the scores of the whole set.
    pub fn scores(&self) -> String {
        format!("{}_eval.json", self.0)
    }

    /// `captions_SPLIT_NAME_report.json`: everything that was measured, retrieved captions too.
    pub fn report(&self) -> String {
        format!("{}_report.json", self.0)
    }

    /// `captions_SPLIT_NAME.html`: the first images with their captions.
    pub fn page(&self) -> String {
        format!("{}.html", self.0)
    }

    /// `captions_SPLIT_NAME_evalImgs.json`: the scores of every image.
    pub fn image_scores(&self) -> String {
        format!("{}_evalImgs.json", self.0)
    }
}

/// Writes JSON on one line, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomically(path, |file| {
        serde_json::to_writer(&mut *file, value)?;
        file.write_all(b"\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_round_trip_with_both_kinds_of_ids() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a_results.json");
        std::fs::write(
            &path,
            r#"[{"image_id": 7, "id": 3, "caption": "a dog"}, {"image_id": "b.jpg", "caption": ""}]"#,
        )
        .unwrap();
        let read = CaptionResults::read(&path).unwrap();
        assert_eq!(read.captions[0].image_id, ImageId::Number(7));
        assert_eq!(read.captions[1].image_id, ImageId::Text("b.jpg".into()));
        read.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "[{\"image_id\":7,\"caption\":\"a dog\"},{\"image_id\":\"b.jpg\",\"caption\":\"\"}]\n");
        assert_eq!(CaptionResults::read(&path).unwrap(), read);
    }

    #[test]
    fn results_of_another_shape_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for (text, part) in [
            (r#"{"images": []}"#, "found map, expected a sequence, of results"),
            (
                r#"[{"image_id": 1.5, "caption": "a"}]"#,
                "found floating point `1.5`, expected an image id that is a whole number or a string, of results",
            ),
            (r#"[{"image_id": 1}]"#, "missing field `caption`"),
            (r#"[{"image_id": 1, "caption": null}]"#, "found null, expected a string, of results"),
            ("hello", "line 1, column 1: found damaged JSON (expected value)"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = CaptionResults::read(&path).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains("a.json") && error.hint().is_some(), "{error}");
        }
    }

    #[test]
    fn names_belong_together() {
        let names = ResultNames::new("test", "xe/seed1");
        assert_eq!(names.results(), "captions_test_xe-seed1_results.json");
        assert_eq!(ResultNames::of(Path::new("some/captions_test_xe-seed1_results.json")), names);
        assert_eq!(ResultNames::of(Path::new("mine.json")).scores(), "mine_eval.json");
        assert_eq!(ResultNames::of(Path::new("mine.json")).image_scores(), "mine_evalImgs.json");
    }
}
