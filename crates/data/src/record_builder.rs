//! [`RecordBuilder`]: gathers a table's rows, of which many name the same image, into one record an image.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::image_resolver::ImageResolver;
use super::image_source::ImageSource;
use super::options::SourceOptions;
use super::parsed_source::{ParsedCaption, ParsedSource, Record};
use super::split::Split;

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
    contradicted: Vec<usize>,
}

impl<'a> RecordBuilder<'a> {
    pub fn new(format: &str, resolver: ImageResolver, options: &'a SourceOptions) -> Self {
        let parsed = ParsedSource::new(format);
        Self { parsed, resolver, options, images: HashMap::new(), unusable: Vec::new(), contradicted: Vec::new() }
    }

    /// Counts a row that names no image or no caption.
    pub fn drop(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.parsed.account.drop(what, reason);
    }

    pub fn add(&mut self, row: Row) {
        if let Some(&known) = self.images.get(&row.image) {
            match known {
                Ok(at) => self.extend(at, row),
                Err(at) => self.unusable[at].2 += row.captions.len(),
            }
            return;
        }
        let id = row.id.filter(|id| !id.is_empty()).unwrap_or_else(|| row.image.clone());
        let record = self.parse_split(row.split.as_deref()).and_then(|split| {
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
        let split = self.parse_split(row.split.as_deref());
        let record = &mut self.parsed.records[at];
        record.captions.extend(row.captions);
        record.meta.extend(row.meta);
        match split {
            Ok(None) => {}
            Ok(split) if record.split == split => {}
            // Which one is meant cannot be known, and either could leak.
            _ => {
                self.contradicted.push(at);
                let reason = "its rows disagree about the split".to_owned();
                self.images.insert(row.image.clone(), Err(self.unusable.len()));
                self.unusable.push((row.image, reason, record.captions.len()));
            }
        }
    }

    fn parse_split(&self, split: Option<&str>) -> Result<Option<Split>, String> {
        match split.map(str::trim) {
            None | Some("") => Ok(None),
            Some("restval") if self.options.use_restval => Ok(Some(Split::Train)),
            Some(text) => match text.parse() {
                Ok(split) => Ok(Some(split)),
                Err(_) => Err(format!("its split is {text:?}, not train, val or test")),
            },
        }
    }

    /// Everything gathered; `seen` says what the file holds.
    pub fn finish(mut self, seen: String) -> ParsedSource {
        for (name, reason, captions) in self.unusable {
            self.parsed.account.drop(name, format!("{reason} ({})", gxn_base::words::counted(captions, "caption")));
        }
        let mut at = 0..;
        self.parsed.records.retain(|_| at.next().is_none_or(|at| !self.contradicted.contains(&at)));
        self.parsed.account.found.push(seen);
        self.parsed
    }
}
