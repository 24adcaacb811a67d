//! [`IndexReport`]: what indexing did.

use gxn_data::{Account, Dropped};
use serde::Serialize;

use super::provenance::SourceKind;

/// What indexing did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct IndexReport {
    /// What the source was read as.
    pub kind: SourceKind,
    /// Images in the index.
    pub images: usize,
    /// Captions in the index.
    pub captions: usize,
    /// Images that were encoded.
    pub encoded: usize,
    /// Images found as they were, by size and time or by content.
    pub unchanged: usize,
    /// Images whose content was known under another name: copied or moved.
    pub linked: usize,
    /// Ids of images that were deleted, because the source no longer has them under any name.
    pub removed: Vec<String>,
    /// Images that could not be read; one that the index holds stays in it as it was.
    pub dropped: Vec<Dropped>,
    /// How many of what was left out are images that need a decode command.
    pub undecoded: usize,
    /// Ids of images whose names are not UTF-8: they are found, but their paths cannot be shown.
    pub without_path: Vec<String>,
    /// What reading the dataset found, and what it left out.
    pub account: Account,
    /// Ids of images that stay as they were, because nothing could be seen where they were: a folder that cannot be read,
    /// a link to a disk that is not there.
    pub kept: Vec<String>,
    /// Ids of captions without any word, such as `!`: they are left out, as they would answer any query.
    pub wordless: Vec<String>,
    /// Columns of the dataset that have the name of a field of every image, such as `size`: filters reach them as `meta.size`.
    pub hidden_columns: Vec<String>,
    /// Captions that were encoded.
    pub captions_encoded: usize,
    /// Captions that were deleted.
    pub captions_removed: usize,
    /// Seconds it took.
    pub seconds: f64,
}

impl IndexReport {
    /// Whether the index is as it was before.
    pub fn is_unchanged(&self) -> bool {
        self.encoded + self.linked + self.removed.len() + self.captions_encoded + self.captions_removed == 0
    }
}
