//! The faults of an index, each with its kind: [`Kind::Damaged`](gxn_base::Kind) alone lets a writer replace what is there.

use gxn_base::{Error, Remedy};
use std::path::Path;

/// Advice for an index that this program must not touch.
pub(crate) const OTHER_PROGRAM: &str =
    "another version of this program made the index: use that one, or make an index in another folder";

/// A file that is not what was written to it.
pub(crate) fn damaged(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::damaged(what, found, expected).with_remedy(Remedy::IndexAgain)
}

/// A row file that is not what was written to it.
pub(crate) fn damaged_rows(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::damaged(what, found, expected).with_remedy(Remedy::RepairIndex)
}

/// A catalogue that is not what was written to it.
pub(crate) fn malformed(path: &Path, found: impl Into<String>) -> Error {
    damaged(format!("catalogue {}", path.display()), found, "a sound catalogue")
}

/// The index in `dir` has a writer.
pub(crate) fn busy(dir: &Path) -> Error {
    let what = format!("index {}", dir.display());
    Error::busy(what, "another program writing it", "one writer at a time")
        .with_hint("wait until the other program is done, or stop it")
}

/// What redb reports of the catalogue at `path`.
pub(crate) fn redb_error(path: &Path, source: redb::Error) -> Error {
    use redb::Error as Redb;
    use std::io::ErrorKind;
    let io = |source| Error::io("cannot use", path, source);
    match source {
        // A file that is no catalogue, or ends too early.
        Redb::Io(source) if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => io(source),
        Redb::DatabaseAlreadyOpen | Redb::LockProtocolMismatch => busy(path.parent().unwrap_or(path)),
        Redb::UpgradeRequired(version) => {
            let what = format!("format of catalogue {}", path.display());
            Error::unsupported(what, version.to_string(), "the one of this program").with_hint(OTHER_PROGRAM)
        }
        damage @ (Redb::Io(_)
        | Redb::Corrupted(_)
        | Redb::TableTypeMismatch { .. }
        | Redb::TableIsMultimap(_)
        | Redb::TableIsNotMultimap(_)
        | Redb::TypeDefinitionChanged { .. }
        | Redb::TableDoesNotExist(_)) => malformed(path, damage.to_string()),
        // Of all else the file is not to blame: what it holds must not be given up for it.
        other => io(std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_base::Kind;

    /// Only a file that is not what was written counts as damage, for which an index is replaced.
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
            assert_eq!(redb_error(path, damage).kind(), Kind::Damaged);
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
            assert_ne!(redb_error(path, other).kind(), Kind::Damaged);
        }
        assert_eq!(redb_error(path, redb::Error::UpgradeRequired(9)).kind(), Kind::Unsupported);
    }
}
