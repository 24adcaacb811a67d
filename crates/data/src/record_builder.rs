//! [`RecordBuilder`]: gathers a table's rows, of which many name the same image, into one record an image.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::image_resolver::ImageResolver;
use super::image_source::ImageSource;
use super::options::{GivenSplit, SourceOptions};
use super::parsed_source::{ParsedCaption, ParsedSource, Record};

/// What one row says about an image.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The image's file name as written.
    pub image: String,
    /// Its id, where the table gives one.
    pub id: Option<String>,
    /// Its split as written.
    pub split: Option<String>,
    pub captions: Vec<ParsedCaption>,
    /// Further columns.
    pub meta: Map<String, Value>,
}

/// Records by image name.
pub(super) struct RecordBuilder<'a> {
    parsed: ParsedSource,
    resolver: ImageResolver,
    options: &'a SourceOptions,
    /// Name → position of its record, or why it is none and how many captions that costs.
    images: HashMap<String, Result<usize, usize>>,
    unusable: Vec<(String, String, usize)>,
    /// Records to leave out after all.
    contradicted: HashSet<usize>,
    /// Images of the split restval, which the options leave out.
    restval: HashSet<String>,
}

impl<'a> RecordBuilder<'a> {
    pub fn new(format: &str, resolver: ImageResolver, options: &'a SourceOptions) -> Self {
        let parsed = ParsedSource::new(format);
        Self {
            parsed,
            resolver,
            options,
            images: HashMap::new(),
            unusable: Vec::new(),
            contradicted: HashSet::new(),
            restval: HashSet::new(),
        }
    }

    /// Counts a row that names no image or no caption.
    pub fn drop(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.parsed.account.drop(what, reason);
    }

    /// Enters what is used although it may not be what was meant.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.parsed.account.warn(warning);
    }

    /// The image of this name may be there, but was not read.
    pub fn unread(&mut self, name: &str) {
        // An empty one would stand for every image.
        if !name.is_empty() {
            self.parsed.account.unread.push(name.to_owned());
        }
    }

    pub fn add(&mut self, mut row: Row) {
        if let Some(relative) = self.resolver.relative(&row.image) {
            row.image = relative;
        }
        if let Some(&known) = self.images.get(&row.image) {
            match known {
                Ok(at) => self.extend(at, row),
                Err(at) => self.unusable[at].2 += row.captions.len(),
            }
            return;
        }
        let id = row.id.filter(|id| !id.is_empty()).unwrap_or_else(|| row.image.clone());
        let split = match self.options.given_split(row.split.as_deref()) {
            Ok(GivenSplit::LeftOut) => {
                self.restval.insert(row.image);
                return;
            }
            Ok(GivenSplit::Of(split)) => Ok(Some(split)),
            Ok(GivenSplit::None) => Ok(None),
            Err(reason) => {
                self.parsed.account.unread.push(id.clone());
                Err(reason)
            }
        };
        let record = split.and_then(|split| {
            let found = self.resolver.find(&[&row.image]);
            if found.is_err() && self.resolver.may_hold(&[&row.image]) {
                self.parsed.account.unread.push(id.clone());
            }
            Ok((split, found?))
        });
        match record {
            Ok((split, path)) => {
                self.images.insert(row.image.clone(), Ok(self.parsed.records.len()));
                let source = ImageSource::File(path);
                self.parsed.records.push(Record { id, source, split, captions: row.captions, meta: row.meta });
            }
            Err(reason) => {
                self.images.insert(row.image.clone(), Err(self.unusable.len()));
                self.unusable.push((row.image, reason, row.captions.len()));
            }
        }
    }

    fn extend(&mut self, at: usize, row: Row) {
        let split = self.options.given_split(row.split.as_deref());
        let record = &mut self.parsed.records[at];
        record.captions.extend(row.captions);
        record.meta.extend(row.meta);
        match split {
            Ok(GivenSplit::None) => {}
            Ok(GivenSplit::Of(split)) if record.split == Some(split) => {}
            // Which one is meant cannot be known, and either could leak.
            _ => {
                self.contradicted.insert(at);
                self.parsed.account.unread.push(record.id.clone());
                let reason = "its rows disagree about the split".to_owned();
                self.images.insert(row.image.clone(), Err(self.unusable.len()));
                self.unusable.push((row.image, reason, record.captions.len()));
            }
        }
    }

    /// Everything gathered; `seen` says what the file holds.
    pub fn finish(mut self, seen: String) -> ParsedSource {
        for (name, reason, captions) in self.unusable.drain(..) {
            self.parsed.account.drop(name, format!("{reason} ({})", gxn_base::words::counted(captions, "caption")));
        }
        self.parsed.account.exclude_restval(self.restval.len());
        let mut at = 0..;
        self.parsed.records.retain(|_| at.next().is_none_or(|at| !self.contradicted.contains(&at)));
        self.parsed.account.found.push(seen);
        self.warn_of_neighbours();
        self.parsed
    }

    /// Where most images lie beside the table, a few from the folder above may be others of the same name.
    fn warn_of_neighbours(&mut self) {
        let folder = |record: &Record| match &record.source {
            ImageSource::File(path) => self.resolver.above(path),
            _ => None,
        };
        let neighbours: Vec<&Path> = self.parsed.records.iter().filter_map(folder).collect();
        if let Some(first) = neighbours.first()
            && neighbours.len() < self.parsed.records.len()
        {
            let images = gxn_base::words::counted(neighbours.len(), "image");
            let text =
                format!("{images} found one folder further up, in {}, and not beside the table", first.display());
            self.parsed.account.warn(text);
        }
    }
}
