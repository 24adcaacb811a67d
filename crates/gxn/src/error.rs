//! The library's error: what was found, what was expected, and what to do.

use std::path::{Path, PathBuf};

/// Result of every fallible library call.
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
    /// The index could not be read, written or searched.
    #[error(transparent)]
    Index(#[from] gxn_index::Error),
    /// The user asked to stop and everything was saved.
    #[error("interrupted")]
    Interrupted,
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

    /// The same error with advice for the user; it replaces earlier advice.
    pub fn with_hint(mut self, advice: impl Into<String>) -> Self {
        if let Self::Unexpected { hint, .. } = &mut self {
            *hint = Some(advice.into());
        }
        self
    }

    /// Advice for the user, if there is any.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unexpected { hint, .. } => hint.as_deref(),
            Self::Index(error) => error.hint(),
            _ => None,
        }
    }
}
