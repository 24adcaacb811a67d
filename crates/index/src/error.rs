//! The crate's error: what was found, what was expected, and what to do.

use crate::file::REINDEX;
use std::path::{Path, PathBuf};

/// What to do about an index that this program must not touch.
pub(crate) const OTHER_PROGRAM: &str =
    "another version of this program made the index: use that one, or make an index in another folder";

/// Result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was attempted, such as "cannot read".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Something was not as it has to be.
    #[error("{what}: found {found}, expected {expected}")]
    Unexpected {
        /// The thing, usually with its path and line.
        what: String,
        /// What was there.
        found: String,
        /// What should have been there.
        expected: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl Error {
    /// An I/O error at `path`; `action` reads like "cannot open".
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// "`what`: found `found`, expected `expected`".
    pub fn unexpected(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Unexpected { what: what.into(), found: found.into(), expected: expected.into(), hint: None }
    }

    /// The same error with advice for the user; it replaces earlier advice. I/O errors keep the system's words alone.
    pub fn with_hint(mut self, advice: impl Into<String>) -> Self {
        if let Self::Unexpected { hint, .. } = &mut self {
            *hint = Some(advice.into());
        }
        self
    }

    /// What redb said of the catalogue at `path`.
    pub(crate) fn catalogue(path: &Path, source: redb::Error) -> Self {
        use redb::Error as Redb;
        use std::io::ErrorKind;
        let io = |source| Self::Io { action: "cannot use", path: path.to_path_buf(), source };
        match source {
            // A file that is no catalogue, or ends too early.
            Redb::Io(source) if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                io(source)
            }
            Redb::DatabaseAlreadyOpen | Redb::LockProtocolMismatch => Self::busy(path.parent().unwrap_or(path)),
            Redb::UpgradeRequired(version) => {
                let what = format!("format of catalogue {}", path.display());
                Self::unexpected(what, version.to_string(), "the one of this program").with_hint(OTHER_PROGRAM)
            }
            damage @ (Redb::Io(_)
            | Redb::Corrupted(_)
            | Redb::TableTypeMismatch { .. }
            | Redb::TableIsMultimap(_)
            | Redb::TableIsNotMultimap(_)
            | Redb::TypeDefinitionChanged { .. }
            | Redb::TableDoesNotExist(_)) => crate::catalogue::malformed(path, damage.to_string()),
            // Of all else the file is not to blame: what it holds must not be given up for it.
            other => io(std::io::Error::other(other)),
        }
    }

    /// The index in `dir` has a writer.
    pub(crate) fn busy(dir: &Path) -> Self {
        let what = format!("index {}", dir.display());
        Self::unexpected(what, "another program writing it", "one writer at a time")
            .with_hint("wait until the other program is done, or stop it")
    }

    /// Advice for the user, if there is any.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unexpected { hint, .. } => hint.as_deref(),
            Self::Io { .. } => None,
        }
    }

    /// True when what lies on disk is not what was written.
    pub(crate) fn is_damage(&self) -> bool {
        self.hint() == Some(REINDEX)
    }

    /// True when a file or folder was missing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what says that the file is not what was written counts as damage, for which an index is replaced.
    #[test]
    fn what_is_damage_and_what_is_not() {
        let path = Path::new("index/catalogue.redb");
        let io = |kind| redb::Error::Io(std::io::Error::from(kind));
        for damage in [
            redb::Error::Corrupted("x".into()),
            redb::Error::TableDoesNotExist("state".into()),
            io(std::io::ErrorKind::InvalidData),
            io(std::io::ErrorKind::UnexpectedEof),
        ] {
            assert!(Error::catalogue(path, damage).is_damage());
        }
        for other in [
            redb::Error::UpgradeRequired(9),
            redb::Error::TransactionPoisoned,
            redb::Error::ValueTooLarge(7),
            redb::Error::DatabaseAlreadyOpen,
            redb::Error::LockProtocolMismatch,
            redb::Error::PreviousIo,
            io(std::io::ErrorKind::StorageFull),
            io(std::io::ErrorKind::PermissionDenied),
        ] {
            let error = Error::catalogue(path, other);
            assert!(!error.is_damage(), "{error}");
        }
        assert_eq!(Error::catalogue(path, redb::Error::UpgradeRequired(9)).hint(), Some(OTHER_PROGRAM));
    }
}
