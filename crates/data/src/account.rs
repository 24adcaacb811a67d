//! [`Account`]: what reading a source found, what was left out and why.

use serde::Serialize;

use gxn_base::unicode::printable;
use gxn_base::{Error, Remedy, Result};

/// Something that was left out while reading, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// What: a path, a line, a member.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What a source holds beside the images and captions that are used. Nothing is left out silently: every reader enters
/// it here, and every program reports it from here, by [`Account::lines`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// What was found, in the format's own terms, such as "3 images are listed"; one entry for each source.
    pub found: Vec<String>,
    /// What should have been usable but is not; an error in strict mode.
    pub dropped: Vec<Dropped>,
    /// What is used although it may not be what was meant, in one sentence each; an error in strict mode.
    pub warnings: Vec<String>,
    /// What was left out as asked, such as Karpathy's `restval`, and what is there for another purpose.
    pub excluded: Vec<Dropped>,
    /// Ids of images that could not be read, and folders of them (`2024` for every `2024/…`, nothing for all). They may
    /// still exist, so an index must not delete them.
    pub unread: Vec<String>,
    /// Whether reading was strict: then images that turn out to be unreadable later are an error too.
    #[serde(skip)]
    pub strict: bool,
    /// How many of the images left out need a decode command.
    pub undecoded: usize,
}

impl Account {
    /// Everything left out: what was dropped, then what was excluded.
    pub fn left_out(&self) -> Vec<Dropped> {
        self.dropped.iter().chain(&self.excluded).cloned().collect()
    }

    /// What to tell people: how much was left out, the first `named` of it with the reasons, and the warnings.
    pub fn lines(&self, named: usize) -> Vec<String> {
        let mut lines = Dropped::lines(&self.left_out(), named);
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines
    }

    /// Refuses whatever was dropped or is doubtful where reading is strict. `name` is the dataset's.
    ///
    /// # Errors
    /// Names the first few.
    pub fn require_clean(&self, name: &str) -> Result<()> {
        let faults = self.dropped.len() + self.warnings.len();
        if faults == 0 || !self.strict {
            return Ok(());
        }
        let found = format!("{}; {}", gxn_base::words::counted(faults, "fault"), self.summary());
        Err(Error::invalid(format!("dataset {name}"), found, "none in strict mode").with_remedy(Remedy::CheckData))
    }

    /// An account, still empty, of what turns out after reading. It is as strict as this one.
    pub fn later(&self) -> Self {
        Self { strict: self.strict, ..Self::default() }
    }

    pub(super) fn drop(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.dropped.push(Dropped { what: what.into(), reason: reason.into() });
    }

    pub(super) fn exclude(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.excluded.push(Dropped { what: what.into(), reason: reason.into() });
    }

    pub(super) fn exclude_restval(&mut self, images: usize) {
        if images > 0 {
            let images = gxn_base::words::counted(images, "image");
            self.exclude(format!("{images} of the split restval"), "restval is left out, as asked");
        }
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Adds the account of another source.
    pub(super) fn append(&mut self, other: Self) {
        self.found.extend(other.found);
        self.dropped.extend(other.dropped);
        self.warnings.extend(other.warnings);
        self.excluded.extend(other.excluded);
        self.unread.extend(other.unread);
        self.strict |= other.strict;
        self.undecoded += other.undecoded;
    }

    /// What was found, the first few drops with their reasons and the first few warnings, for an error.
    pub(super) fn summary(&self) -> String {
        const NAMED: usize = 3;
        let mut parts = self.found.clone();
        let left_out = self.left_out();
        if !left_out.is_empty() {
            let mut text = format!("{} dropped: ", left_out.len());
            let first = left_out.iter().take(NAMED).map(|dropped| format!("{} ({})", dropped.what, dropped.reason));
            text += &printable(&first.collect::<Vec<_>>().join(", "));
            if left_out.len() > NAMED {
                text += ", …";
            }
            parts.push(text);
        }
        parts.extend(self.warnings.iter().take(NAMED).cloned());
        parts.join("; ")
    }
}

impl Dropped {
    /// How much was left out, and the first `named` of it.
    pub fn lines(left_out: &[Self], named: usize) -> Vec<String> {
        let mut lines = Vec::new();
        if !left_out.is_empty() {
            lines.push(format!("skipped: {}", left_out.len()));
            lines.extend(left_out.iter().take(named).map(|dropped| format!("  {}", dropped.sentence())));
        }
        if left_out.len() > named {
            lines.push(format!("  and {} more; a check of the dataset lists all as JSON", left_out.len() - named));
        }
        lines
    }

    /// What and why in one line; most reasons that come from errors begin with the whole path.
    pub fn sentence(&self) -> String {
        let Self { what, reason } = self;
        let line = if reason.contains(what.as_str()) { reason.clone() } else { format!("{what}: {reason}") };
        printable(&line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_control_characters_stay_in_their_line() {
        let mut account = Account::default();
        account.drop("new\nline.png", "no caption");
        assert_eq!(account.summary(), "1 dropped: new\\nline.png (no caption)");
        assert_eq!(account.lines(5)[1], "  new\\nline.png: no caption");
    }
}
