//! [`Error`]: what was found, what was expected, what kind of fault it is and how to remedy it.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use crate::Remedy;

/// Result of every fallible library call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of fault an [`Error`] is. Programs decide by it: an exit code, a retry, an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A file, an item or a name does not exist.
    NotFound,
    /// Input is not of the form that it must have: data, configuration, an argument.
    Invalid,
    /// A file that this program wrote is not what was written: it was cut, changed or overwritten.
    Damaged,
    /// Two things that must agree do not, such as an index and a model, or a name that is taken.
    Conflict,
    /// Valid, but not something that this program or this model can do.
    Unsupported,
    /// Someone else is using it; trying again later may work.
    Busy,
    /// The caller asked to stop; what was complete is saved.
    Interrupted,
    /// The system refused to read or write.
    Io,
}

/// What went wrong: "`what`: found `found`, expected `expected`", or `what` and the [source](std::error::Error::source).
///
/// [`Error::kind`] is for decisions, [`Error::remedy`] for a program that knows how its user can follow it, and
/// [`Error::hint`] for people.
pub struct Error(Box<Detail>);

struct Detail {
    kind: Kind,
    what: String,
    /// What was there and what should have been there.
    contrast: Option<[String; 2]>,
    remedy: Option<Remedy>,
    source: Option<std::io::Error>,
}

impl Error {
    /// An error of `kind`: "`what`: found `found`, expected `expected`".
    pub fn new(kind: Kind, what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let contrast = Some([found.into(), expected.into()]);
        Self(Box::new(Detail { kind, what: what.into(), contrast, remedy: None, source: None }))
    }

    /// Input of the wrong form ([`Kind::Invalid`]).
    pub fn invalid(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, what, found, expected)
    }

    /// Something that does not exist ([`Kind::NotFound`]).
    pub fn not_found(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, what, found, expected)
    }

    /// A file that is not what this program wrote ([`Kind::Damaged`]).
    pub fn damaged(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, what, found, expected)
    }

    /// Two things that do not agree ([`Kind::Conflict`]).
    pub fn conflict(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, what, found, expected)
    }

    /// Something that cannot be done here ([`Kind::Unsupported`]).
    pub fn unsupported(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, what, found, expected)
    }

    /// Something in use by another program ([`Kind::Busy`]).
    pub fn busy(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Kind::Busy, what, found, expected)
    }

    /// The system's refusal at `path`; `action` reads like "cannot open". A missing file is [`Kind::NotFound`], all else
    /// [`Kind::Io`].
    pub fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Io,
        };
        let what = format!("{action} {}", path.display());
        Self(Box::new(Detail { kind, what, contrast: None, remedy: None, source: Some(source) }))
    }

    /// The caller asked to stop ([`Kind::Interrupted`]).
    pub fn interrupted() -> Self {
        let what = "interrupted".to_owned();
        Self(Box::new(Detail { kind: Kind::Interrupted, what, contrast: None, remedy: None, source: None }))
    }

    /// The same error with a remedy in words; it replaces an earlier one.
    pub fn with_hint(self, advice: impl Into<String>) -> Self {
        self.with_remedy(Remedy::Advice(advice.into()))
    }

    /// The same error with a remedy; it replaces an earlier one.
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.0.remedy = Some(remedy);
        self
    }

    /// The message with what caused it, for lists of what was left out.
    pub fn in_full(&self) -> String {
        match &self.0.source {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    /// What kind of fault it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The thing that is wrong, usually with its path and line; for I/O errors also what was attempted.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What was there, where the error is such a contrast.
    pub fn found(&self) -> Option<&str> {
        self.0.contrast.as_ref().map(|[found, _]| found.as_str())
    }

    /// What should have been there, where the error is such a contrast.
    pub fn expected(&self) -> Option<&str> {
        self.0.contrast.as_ref().map(|[_, expected]| expected.as_str())
    }

    /// How to remedy it, if that is known.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.remedy.as_ref()
    }

    /// The remedy in words that name no program's flags.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        self.remedy().map(Remedy::words)
    }

    /// What kind of system error lies below, if one does.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        self.0.source.as_ref().map(std::io::Error::kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.contrast {
            Some([found, expected]) => write!(out, "{}: found {found}, expected {expected}", self.0.what),
            None => out.write_str(&self.0.what),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}: {self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(out, " ({source})")?;
        }
        match self.hint() {
            Some(hint) => write!(out, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_kind() {
        let error = Error::invalid("a.csv, line 3", "2 columns", "3").with_hint("close the quote in line 2");
        assert_eq!(error.to_string(), "a.csv, line 3: found 2 columns, expected 3");
        assert_eq!((error.kind(), error.found(), error.expected()), (Kind::Invalid, Some("2 columns"), Some("3")));
        assert_eq!(error.hint().as_deref(), Some("close the quote in line 2"));
    }

    #[test]
    fn a_missing_file_is_not_found_and_a_full_disk_is_not() {
        use std::error::Error as _;
        let io = |kind: std::io::ErrorKind| Error::io("cannot read", Path::new("x"), kind.into());
        assert_eq!(io(std::io::ErrorKind::NotFound).kind(), Kind::NotFound);
        let full = io(std::io::ErrorKind::StorageFull);
        assert_eq!((full.kind(), full.io_kind()), (Kind::Io, Some(std::io::ErrorKind::StorageFull)));
        assert_eq!(full.to_string(), "cannot read x");
        assert!(full.source().is_some());
        assert_eq!(full.in_full(), format!("cannot read x: {}", std::io::ErrorKind::StorageFull));
    }
}
