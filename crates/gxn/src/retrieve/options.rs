//! [`IndexOptions`]: what of a source is indexed, as a caller asks for it and as an index stores it for later calls.

use std::path::PathBuf;

use gxn_base::{Error, Remedy, Result};
use gxn_data::{CsvColumns, ImageLimits, SourceOptions, SplitBy};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shard::Shard;

/// Version of the form in which an index stores its options.
const VERSION: u64 = 2;

/// What of a source is indexed.
///
/// An index stores its options, and a later call goes on with them: a field that is left at its default holds as stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexOptions {
    /// How a dataset is read.
    pub source: SourceOptions,
    /// Index every image of the folder without captions, whatever else lies in it.
    pub images_only: bool,
    /// Also read hidden files and folders.
    pub include_hidden: bool,
    /// Names of folders to skip.
    pub excluded_folders: Vec<String>,
    /// Images with more megapixels are skipped; 100 if this is `None`.
    pub max_megapixels: Option<f64>,
    /// Index one share of the source only. The index stores it on its own, not among the options.
    #[serde(skip)]
    pub shard: Option<Shard>,
    /// Start from these options alone, and let the source and its kind differ from those of the index's items, which are
    /// then deleted. Never stored.
    #[serde(skip)]
    pub replace_source: bool,
    /// Read every file, also where its size, times and inode are as before. Never stored.
    #[serde(skip)]
    pub reread: bool,
    /// Check the rows of the index, and encode those again that are not what was written. Never stored.
    #[serde(skip)]
    pub repair: bool,
}

/// An option by the path of its field, such as `source.csv.image`, with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Names of the fields, joined by dots.
    pub name: String,
    /// As JSON.
    pub value: Value,
}

/// An option that is not as the index stored it.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// As it is now.
    pub now: Setting,
    /// As it was, if it was not the default.
    pub before: Option<Value>,
}

/// The options of a call beside those that an index stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Those given, and of the others those stored.
    pub options: IndexOptions,
    /// Stored options, other than defaults, that hold.
    pub reused: Vec<Setting>,
    /// Given options that differ from those stored.
    pub changed: Vec<Changed>,
}

impl IndexOptions {
    /// The options as an index stores them, with their version.
    pub fn to_stored(&self) -> Value {
        let mut stored = Map::from_iter([("version".to_owned(), VERSION.into())]);
        if let Value::Object(fields) = self.to_value() {
            stored.extend(fields);
        }
        Value::Object(stored)
    }

    /// Reads what [`IndexOptions::to_stored`] wrote, and the form of before there was a version: the command line's flags.
    ///
    /// # Errors
    /// When it is neither, or of a later version.
    pub fn from_stored(stored: &Value) -> Result<Self> {
        let damaged = |error: serde_json::Error| {
            Error::damaged("the options that the index stores", error.to_string(), "options of indexing")
                .with_remedy(Remedy::ReplaceSource)
        };
        let mut fields = stored.clone();
        match fields.as_object_mut().and_then(|fields| fields.remove("version")) {
            None => serde_json::from_value::<Flags>(fields).map(Self::from).map_err(damaged),
            Some(version) if version == VERSION => serde_json::from_value(fields).map_err(damaged),
            Some(version) => {
                let what = "version of the options that the index stores";
                Err(Error::unsupported(what, version.to_string(), format!("at most {VERSION}"))
                    .with_hint("a later version of this program made the index: use that one"))
            }
        }
    }

    /// These options, where they are not defaults, and else those stored. `None` stands for a new index.
    ///
    /// # Errors
    /// When a relative path cannot be made absolute.
    pub fn resolve(&self, stored: Option<&Self>) -> Result<Resolved> {
        let mut own = self.clone();
        // Paths that mean the same from every working folder.
        for path in [&mut own.source.images, &mut own.source.texts].into_iter().flatten() {
            *path = std::path::absolute(&*path).map_err(|e| Error::io("cannot find", path, e))?;
        }
        let mut resolved = Resolved { options: own.clone(), reused: Vec::new(), changed: Vec::new() };
        if let Some(stored) = stored {
            let (mut now, default) = (own.to_value(), Self::default().to_value());
            take_over("", &mut now, &stored.to_value(), &default, &mut resolved);
            let mut options: Self = serde_json::from_value(now).expect("both sides were options");
            options.source.decode_cmd = own.source.decode_cmd;
            let Self { shard, replace_source, reread, repair, .. } = own;
            resolved.options = Self { shard, replace_source, reread, repair, ..options };
        }
        Ok(resolved)
    }

    /// What an image may cost.
    pub(super) fn limits(&self) -> ImageLimits {
        let default = ImageLimits::default();
        let max_pixels = self.max_megapixels.map_or(default.max_pixels, |megapixels| (megapixels * 1e6) as u64);
        ImageLimits { max_pixels, ..default }
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("plain data is valid JSON")
    }
}

/// Brings stored values to where `now` has the default.
fn take_over(name: &str, now: &mut Value, stored: &Value, default: &Value, resolved: &mut Resolved) {
    if let (Value::Object(now), Value::Object(stored), Value::Object(default)) = (&mut *now, stored, default) {
        for (key, now) in now {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            take_over(&name, now, &stored[key], &default[key], resolved);
        }
        return;
    }
    let setting = |value: &Value| Setting { name: name.to_owned(), value: value.clone() };
    if now != default && now != stored {
        let before = (stored != default).then(|| stored.clone());
        resolved.changed.push(Changed { now: setting(now), before });
    } else if stored != default {
        resolved.reused.push(setting(stored));
        *now = stored.clone();
    }
}

/// The form without a version: flags of the command line, as they were called then.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Flags {
    reading: ReadingFlags,
    pictures: bool,
    include_hidden: bool,
    exclude_dir: Vec<String>,
    max_image_megapixels: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReadingFlags {
    images: Option<PathBuf>,
    texts: Option<PathBuf>,
    split_by: Option<SplitBy>,
    no_restval: bool,
    csv_img_key: Option<String>,
    csv_caption_key: Option<String>,
    csv_separator: Option<char>,
    strict: bool,
}

impl From<Flags> for IndexOptions {
    fn from(flags: Flags) -> Self {
        let reading = flags.reading;
        Self {
            source: SourceOptions {
                images: reading.images,
                texts: reading.texts,
                split_by: reading.split_by,
                split_rest_by: None,
                use_restval: !reading.no_restval,
                csv: CsvColumns {
                    image: reading.csv_img_key,
                    caption: reading.csv_caption_key,
                    separator: reading.csv_separator,
                },
                decode_cmd: None,
                strict: reading.strict,
            },
            images_only: flags.pictures,
            include_hidden: flags.include_hidden,
            excluded_folders: flags.exclude_dir,
            max_megapixels: flags.max_image_megapixels,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(settings: &[Setting]) -> Vec<&str> {
        settings.iter().map(|setting| setting.name.as_str()).collect()
    }

    #[test]
    fn what_is_not_given_is_as_stored() {
        let none = IndexOptions::default();
        let stored = IndexOptions {
            include_hidden: true,
            excluded_folders: vec!["a".into(), "b".into()],
            source: SourceOptions { use_restval: false, ..none.source.clone() },
            ..none.clone()
        };
        let same = none.resolve(Some(&stored)).unwrap();
        assert_eq!(same.options, stored);
        assert_eq!(names(&same.reused), ["source.use_restval", "include_hidden", "excluded_folders"]);
        assert!(same.changed.is_empty());

        let mut given =
            IndexOptions { excluded_folders: vec!["c".into()], images_only: true, ..IndexOptions::default() };
        given.source.csv.image = Some("file".into());
        given.shard = Some("1/2".parse().unwrap());
        let other = given.resolve(Some(&stored)).unwrap();
        assert!(other.options.include_hidden && other.options.images_only && other.options.shard == given.shard);
        assert_eq!(names(&other.reused), ["source.use_restval", "include_hidden"]);
        let changed: Vec<_> = other.changed.iter().map(|c| (c.now.name.as_str(), c.before.clone())).collect();
        let before = Some(json!(["a", "b"]));
        assert_eq!(changed, [("source.csv.image", None), ("images_only", None), ("excluded_folders", before)]);
        // A new index.
        let new = given.resolve(None).unwrap();
        assert!(new.changed.is_empty() && new.reused.is_empty());
        assert_eq!(new.options, given);
    }

    #[test]
    fn paths_mean_the_same_from_every_folder() {
        let mut given = IndexOptions::default();
        given.source.images = Some("images".into());
        assert!(given.resolve(None).unwrap().options.source.images.unwrap().is_absolute());
    }

    /// As `gxn` 0.1.0 wrote it.
    #[test]
    fn the_form_of_before_there_was_a_version_is_read() {
        let flags = json!({
            "reading": {
                "images": "/images", "texts": null, "split_by": "hash:0.8/0.1/0.1", "no_restval": true,
                "csv_img_key": "file", "csv_caption_key": null, "csv_separator": ";", "strict": true
            },
            "pictures": true, "include_hidden": true, "exclude_dir": ["x"], "max_image_megapixels": 50.0
        });
        let options = IndexOptions::from_stored(&flags).unwrap();
        let expected = IndexOptions {
            source: SourceOptions {
                images: Some("/images".into()),
                texts: None,
                split_by: Some("hash:0.8/0.1/0.1".parse().unwrap()),
                split_rest_by: None,
                use_restval: false,
                csv: CsvColumns { image: Some("file".into()), caption: None, separator: Some(';') },
                decode_cmd: None,
                strict: true,
            },
            images_only: true,
            include_hidden: true,
            excluded_folders: vec!["x".into()],
            max_megapixels: Some(50.0),
            ..IndexOptions::default()
        };
        assert_eq!(options, expected);
        assert_eq!(IndexOptions::from_stored(&options.to_stored()).unwrap(), expected);
        // One that lacks options which it did not know.
        let older = IndexOptions::from_stored(&json!({"include_hidden": true})).unwrap();
        assert_eq!(older, IndexOptions { include_hidden: true, ..IndexOptions::default() });
    }

    #[test]
    fn what_is_stored_has_a_version() {
        let stored = IndexOptions::default().to_stored();
        assert_eq!(stored["version"], VERSION);
        assert!(stored.get("shard").is_none() && stored.get("replace_source").is_none());
        let kind = |stored: Value| IndexOptions::from_stored(&stored).unwrap_err().kind();
        assert_eq!(kind(json!({"include_hidden": 7})), gxn_base::Kind::Damaged);
        assert_eq!(kind(json!({"version": 2, "pictures": true})), gxn_base::Kind::Damaged);
        assert_eq!(kind(json!({"version": 3})), gxn_base::Kind::Unsupported);
    }
}
