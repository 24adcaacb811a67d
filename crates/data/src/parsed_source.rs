//! [`ParsedSource`]: what a format hands over, and how it becomes a [`Dataset`].

use std::collections::HashSet;

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::account::{Account, Dropped};
use super::dataset::{Caption, Dataset, Image};
use super::image_source::{ContentHash, ImageSource};
use super::options::SourceOptions;
use super::split::{Split, SplitBy};
use super::undecoded::Undecoded;
use gxn_base::{Error, Kind, Remedy, Result};

/// One image with its captions, as a source gives it.
#[derive(Debug)]
pub(super) struct Record {
    pub id: String,
    pub source: ImageSource,
    pub split: Option<Split>,
    pub captions: Vec<ParsedCaption>,
    pub meta: Map<String, Value>,
}

/// A caption as a source gives it.
#[derive(Debug, Clone)]
pub(super) struct ParsedCaption {
    /// Its id, where the source gives one.
    pub id: Option<String>,
    pub text: String,
}

impl ParsedCaption {
    /// A caption without an id.
    pub fn new(text: &str) -> Self {
        Self { id: None, text: text.to_owned() }
    }
}

/// Everything a format reader found.
#[derive(Debug, Default)]
pub(super) struct ParsedSource {
    pub format: String,
    pub records: Vec<Record>,
    pub account: Account,
    /// A folder holds images but no text at all: a plain folder of photos.
    pub without_texts: bool,
}

impl ParsedSource {
    pub fn new(format: &str) -> Self {
        Self { format: format.into(), ..Self::default() }
    }

    /// Checks ids and captions, gives splits, and counts what cannot be used.
    ///
    /// # Errors
    /// Nothing usable is left, or in strict mode: something was dropped.
    pub fn into_dataset(mut self, name: String, options: &SourceOptions) -> Result<Dataset> {
        let records = std::mem::take(&mut self.records);
        let mut ids = HashSet::new();
        let mut kept = Vec::with_capacity(records.len());
        let mut undecoded = Undecoded::default();
        for mut record in records {
            match undecoded.admit(record.source, options.decode_cmd.as_ref()) {
                Some(source) => record.source = source,
                None => {
                    self.account.unread.push(record.id);
                    continue;
                }
            }
            let before = record.captions.len();
            record.captions.retain_mut(|caption| {
                caption.text = caption.text.trim().to_owned();
                !caption.text.is_empty()
            });
            if record.captions.is_empty() {
                self.account
                    .drop(record.id, if before == 0 { "an image without caption" } else { "only empty captions" });
                continue;
            }
            if record.captions.len() < before {
                self.account.drop(format!("{} captions of {}", before - record.captions.len(), record.id), "empty");
            }
            if record.id.is_empty() || !ids.insert(record.id.clone()) {
                self.account.drop(format!("{} ({})", record.id, record.source), "its id is empty or was given before");
                continue;
            }
            kept.push((record, None));
        }
        self.account.undecoded += undecoded.count();
        self.account.dropped.extend(undecoded.dropped());
        let kept = self.assign_splits(kept, options)?;
        let Self { format, account, without_texts, .. } = self;
        let mut data = Dataset { name, format, account, ..Dataset::default() };
        let given: Vec<&str> = kept.iter().flat_map(|(r, _)| &r.captions).filter_map(|c| c.id.as_deref()).collect();
        // Ids that do not tell captions apart are no ids.
        let use_given = given.iter().collect::<HashSet<_>>().len() == given.len();
        for (record, content) in kept {
            let image = data.images.len();
            for (k, ParsedCaption { id, text }) in record.captions.into_iter().enumerate() {
                let id = id.filter(|id| use_given && !id.is_empty()).unwrap_or_else(|| format!("{}#{k}", record.id));
                data.captions.push(Caption { id, image, text });
            }
            let split = record.split.expect("assign_splits gives every record one");
            data.images.push(Image { id: record.id, source: record.source, split, content, meta: record.meta });
        }
        if options.strict && !data.account.dropped.is_empty() {
            return Err(Error::invalid(
                format!("dataset {}", data.name),
                format!("{} unusable entries; {}", data.account.dropped.len(), data.account.summary()),
                "none in strict mode",
            )
            .with_remedy(Remedy::CheckData));
        }
        if data.images.is_empty() {
            let found = format!("0 usable pairs of image and caption; {}", data.account.summary());
            let kind = if without_texts { Kind::NotFound } else { Kind::Invalid };
            let remedy = if undecoded.count() > 0 { Remedy::GiveDecodeCommand } else { Remedy::ShowFormats };
            return Err(
                Error::new(kind, format!("{} ({})", data.name, data.format), found, "at least one").with_remedy(remedy)
            );
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
                    self.account.unread.push(dropped.what.clone());
                    self.account.dropped.push(dropped);
                }
            }
        }
        Ok(result)
    }

    /// Where some images have a split, one without belongs to none: giving it any could leak.
    fn keep_given_splits(&mut self, kept: Vec<Kept>) -> Vec<Kept> {
        let (with, without): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(record, _)| record.split.is_some());
        for (record, _) in without {
            self.account.exclude(record.id, "no split, though other images have one");
        }
        with
    }
}

/// A record and its content hash, where that was needed.
type Kept = (Record, Option<ContentHash>);

/// Strings as they are, anything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
