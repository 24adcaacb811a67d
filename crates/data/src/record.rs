//! [`Reading`]: what a format hands over, and how it becomes a [`Dataset`].

use std::collections::HashSet;

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::dataset::{Caption, Dataset, Dropped, Image, ImageSource, Split};
use super::options::SourceOptions;
use super::split::SplitBy;
use gxn_base::{Error, Result};

/// One image with its captions, as a source gives it.
#[derive(Debug)]
pub(super) struct Record {
    pub id: String,
    pub source: ImageSource,
    pub split: Option<Split>,
    /// Given id, text.
    pub captions: Vec<(Option<String>, String)>,
    pub meta: Map<String, Value>,
}

/// Everything a format reader found.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub format: String,
    pub records: Vec<Record>,
    /// Things that should have been usable.
    pub dropped: Vec<Dropped>,
    /// Things left out on purpose, such as restval: no error in strict mode.
    pub left_out: Vec<Dropped>,
    /// Ids of images, and folders of them, that could not be read: [`Dataset::unread`].
    pub unread: Vec<String>,
    /// What was seen, for the message about a source without a single usable pair.
    pub seen: String,
}

impl Reading {
    pub fn new(format: &str) -> Self {
        Self { format: format.into(), ..Self::default() }
    }

    pub fn drop(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.dropped.push(Dropped { what: what.into(), reason: reason.into() });
    }

    /// Checks ids and captions, gives splits, and counts what cannot be used.
    ///
    /// # Errors
    /// Nothing usable is left, or in strict mode: something was dropped.
    pub fn into_dataset(mut self, name: String, options: &SourceOptions) -> Result<Dataset> {
        let records = std::mem::take(&mut self.records);
        let mut ids = HashSet::new();
        let mut kept = Vec::with_capacity(records.len());
        for mut record in records {
            let before = record.captions.len();
            record.captions.retain_mut(|(_, text)| {
                *text = text.trim().to_owned();
                !text.is_empty()
            });
            if record.captions.is_empty() {
                self.drop(record.id, if before == 0 { "an image without caption" } else { "only empty captions" });
                continue;
            }
            if record.captions.len() < before {
                self.drop(format!("{} captions of {}", before - record.captions.len(), record.id), "empty");
            }
            if record.id.is_empty() || !ids.insert(record.id.clone()) {
                self.drop(format!("{} ({})", record.id, record.source), "its id is empty or was given before");
                continue;
            }
            kept.push((record, None));
        }
        let kept = self.assign_splits(kept, options)?;
        let Self { format, dropped, unread, .. } = self;
        let mut data = Dataset { name, format, dropped, unread, ..Dataset::default() };
        let given: Vec<&str> = kept.iter().flat_map(|(r, _)| &r.captions).filter_map(|c| c.0.as_deref()).collect();
        // Ids that do not tell captions apart are no ids.
        let use_given = given.iter().collect::<HashSet<_>>().len() == given.len();
        for (record, content) in kept {
            let image = data.images.len();
            for (k, (id, text)) in record.captions.into_iter().enumerate() {
                let id = id.filter(|id| use_given && !id.is_empty()).unwrap_or_else(|| format!("{}#{k}", record.id));
                data.captions.push(Caption { id, image, text });
            }
            let split = record.split.expect("assign_splits gives every record one");
            data.images.push(Image { id: record.id, source: record.source, split, content, meta: record.meta });
        }
        if options.strict && !data.dropped.is_empty() {
            return Err(Error::invalid(
                format!("data set {}", data.name),
                format!("{} unusable entries: {}", data.dropped.len(), first_names(&data.dropped)),
                "none, as strict reading was asked for",
            ));
        }
        data.dropped.append(&mut self.left_out);
        if data.images.is_empty() {
            let mut found = "0 usable pairs of image and caption".to_owned();
            if !self.seen.is_empty() {
                found = format!("{found}; {}", self.seen);
            }
            if !data.dropped.is_empty() {
                found = format!("{found}; {} dropped: {}", data.dropped.len(), first_names(&data.dropped));
            }
            return Err(Error::invalid(format!("{} ({})", data.name, data.format), found, "at least one")
                .with_hint("`gxn data init` prints a sample of each format"));
        }
        data.validate()?;
        Ok(data)
    }

    fn assign_splits(&mut self, kept: Vec<Kept>, options: &SourceOptions) -> Result<Vec<Kept>> {
        let none_given = kept.iter().all(|(record, _)| record.split.is_none());
        let split_by = match options.split_by {
            Some(split_by) => split_by,
            None if none_given => SplitBy::DEFAULT,
            None => return Ok(self.keep_given_splits(kept)),
        };
        let split = |(mut record, _): Kept| match split_by {
            SplitBy::All(split) => {
                record.split = Some(split);
                Ok((record, None))
            }
            SplitBy::Hash { .. } => match record.source.content_hash() {
                Ok(content) => {
                    record.split = Some(split_by.split(&content));
                    Ok((record, Some(content)))
                }
                Err(error) => Err(Dropped { what: record.id, reason: error.to_string() }),
            },
        };
        let mut result = Vec::with_capacity(kept.len());
        for outcome in kept.into_par_iter().map(split).collect::<Vec<_>>() {
            match outcome {
                Ok(record) => result.push(record),
                Err(dropped) => {
                    self.unread.push(dropped.what.clone());
                    self.dropped.push(dropped);
                }
            }
        }
        Ok(result)
    }

    /// Where some images have a split, one without belongs to none: giving it any could leak.
    fn keep_given_splits(&mut self, kept: Vec<Kept>) -> Vec<Kept> {
        let (with, without): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(record, _)| record.split.is_some());
        for (record, _) in without {
            self.left_out.push(Dropped { what: record.id, reason: "no split, though other images have one".into() });
        }
        with
    }
}

/// A record and its content hash, where that was needed.
type Kept = (Record, Option<super::image::ContentHash>);

/// The first few of `dropped` with their reasons.
pub(super) fn first_names(dropped: &[Dropped]) -> String {
    let mut text = dropped.iter().take(3).map(|d| format!("{} ({})", d.what, d.reason)).collect::<Vec<_>>().join(", ");
    if dropped.len() > 3 {
        text.push_str(", …");
    }
    text
}
