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
use gxn_base::words::counted;
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
                self.account.drop(
                    record.id,
                    if before == 0 { "an image without caption" } else { "only captions that are empty or no text" },
                );
                continue;
            }
            if record.captions.len() < before {
                let lost = counted(before - record.captions.len(), "caption");
                self.account.drop(format!("{lost} of {}", record.id), "empty, or no text");
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
        let Self { format, account, .. } = self;
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
        data.account.warnings.extend(doubtful_captions(&data.captions));
        if data.images.is_empty() {
            let error = no_pairs(&data.name, &data.format, &data.account, Kind::Invalid);
            let is_undecoded = data.account.undecoded > 0;
            return Err(if is_undecoded { error.with_remedy(Remedy::GiveDecodeCommand) } else { error });
        }
        data.account.strict = options.strict;
        data.account.require_clean(&data.name)?;
        data.validate()?;
        Ok(data)
    }

    /// Uses the splits that folders give if they give one to every image; a part of the images without one could leak.
    pub fn keep_folder_splits(&mut self) {
        let without = self.records.iter().filter(|record| record.split.is_none()).count();
        if without == 0 || without == self.records.len() {
            return;
        }
        let images = counted(without, "image");
        let verb = if without == 1 { "lies" } else { "lie" };
        self.account.warn(format!("{images} {verb} in no folder called train, val or test: no folder gives a split"));
        self.records.iter_mut().for_each(|record| record.split = None);
    }

    fn assign_splits(&mut self, kept: Vec<Kept>, options: &SourceOptions) -> Result<Vec<Kept>> {
        let none_given = kept.iter().all(|(record, _)| record.split.is_none());
        let split_by = match options.split_by {
            Some(split_by) => split_by,
            None if none_given => options.split_rest_by.unwrap_or(SplitBy::DEFAULT),
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
                Err(error) => Err(Dropped { what: record.id, reason: error.in_full() }),
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
            self.account.drop(record.id, "no split, though other images have one");
        }
        with
    }
}

/// A source without a single image that has a caption.
pub(super) fn no_pairs(name: &str, format: &str, account: &Account, kind: Kind) -> Error {
    let found = format!("0 usable pairs of image and caption; {}", account.summary());
    Error::new(kind, format!("{name} ({format})"), found, "at least one").with_remedy(Remedy::ShowFormats)
}

/// Warnings of captions that are what programs write in the place of one.
fn doubtful_captions(captions: &[Caption]) -> Vec<String> {
    const MISSING: [&str; 9] = ["nan", "none", "null", "na", "n/a", "#n/a", "nil", "undefined", "<na>"];
    let is_missing = |text: &str| MISSING.iter().any(|word| text.eq_ignore_ascii_case(word));
    let is_list = |text: &str| text.ends_with(']') && (text.starts_with("['") || text.starts_with("[\""));
    let warning = |is: &dyn Fn(&str) -> bool, what: &str| {
        let mut found = captions.iter().filter(|caption| is(&caption.text));
        let first = found.next()?;
        let count = counted(found.count() + 1, "caption");
        Some(format!("{count} such as {:?} ({}): {what}", first.text, first.id))
    };
    [warning(&is_missing, "what programs write for a missing value"), warning(&is_list, "a list as Python writes it")]
        .into_iter()
        .flatten()
        .collect()
}

/// A record and its content hash, where that was needed.
type Kept = (Record, Option<ContentHash>);

/// Strings as they are, anything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
