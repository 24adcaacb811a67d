//! [`Account`]: what reading a source found, what was left out and why.

use serde::Serialize;

/// Something that was left out while reading, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// What: a path, a line, a member.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What a source holds beside the images and captions that are used. Nothing is left out silently: every reader enters
/// it here, and every program reports it from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// What was found, in the format's own terms, such as "3 images are listed"; one entry for each source.
    pub found: Vec<String>,
    /// What should have been usable but is not; an error in strict mode.
    pub dropped: Vec<Dropped>,
    /// What was left out on purpose, such as Karpathy's `restval`.
    pub excluded: Vec<Dropped>,
    /// Ids of images that could not be read, and folders of them (`2024` for every `2024/…`). They may still exist, so an
    /// index must not delete them.
    pub unread: Vec<String>,
    /// How many of the images left out need a decode command.
    pub undecoded: usize,
}

impl Account {
    /// Everything left out: what was dropped, then what was excluded.
    pub fn left_out(&self) -> Vec<Dropped> {
        self.dropped.iter().chain(&self.excluded).cloned().collect()
    }

    pub(super) fn drop(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.dropped.push(Dropped { what: what.into(), reason: reason.into() });
    }

    pub(super) fn exclude(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.excluded.push(Dropped { what: what.into(), reason: reason.into() });
    }

    /// Adds the account of another source.
    pub(super) fn append(&mut self, other: Self) {
        self.found.extend(other.found);
        self.dropped.extend(other.dropped);
        self.excluded.extend(other.excluded);
        self.unread.extend(other.unread);
        self.undecoded += other.undecoded;
    }

    /// What was found and the first few drops with their reasons, for an error.
    pub(super) fn summary(&self) -> String {
        let mut parts = self.found.clone();
        let left_out = self.left_out();
        if !left_out.is_empty() {
            let mut text = format!("{} dropped: ", left_out.len());
            let first = left_out.iter().take(3).map(|dropped| format!("{} ({})", dropped.what, dropped.reason));
            text += &first.collect::<Vec<_>>().join(", ");
            if left_out.len() > 3 {
                text += ", …";
            }
            parts.push(text);
        }
        parts.join("; ")
    }
}
