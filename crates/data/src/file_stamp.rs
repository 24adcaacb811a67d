//! [`FileStamp`]: what a file system says of a file without its being read.

use std::fs::Metadata;
use std::path::Path;

use gxn_base::{Error, Result};

/// What the file system says of a file. Where all of it is as before, the file is taken to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Number of encoded bytes.
    pub size: u64,
    /// When they were last changed, in milliseconds since 1970-01-01 UTC.
    pub modified_ms: i64,
    /// The nanoseconds of that time within its second.
    pub modified_nanos: u32,
    /// When the file or its name was last changed, which no program can set, in nanoseconds since 1970-01-01 UTC, modulo
    /// 2⁶⁴; 0 where the system does not tell.
    pub changed_ns: i64,
    /// Number of the file in its file system; 0 where the system does not tell.
    pub inode: u64,
}

impl FileStamp {
    /// That of the file at `path`; links are followed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(|error| Error::io("cannot read", path, error))?;
        let modified = meta.modified().map_err(|error| Error::io("cannot read the time of", path, error))?;
        let (modified_ms, modified_nanos) = match modified.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => (after.as_millis() as i64, after.subsec_nanos()),
            Err(before) => (-(before.duration().as_millis() as i64), before.duration().subsec_nanos()),
        };
        let (changed_ns, inode) = change_and_inode(&meta);
        Ok(Self { size: meta.len(), modified_ms, modified_nanos, changed_ns, inode })
    }
}

#[cfg(unix)]
fn change_and_inode(meta: &Metadata) -> (i64, u64) {
    use std::os::unix::fs::MetadataExt;
    (meta.ctime().wrapping_mul(1_000_000_000).wrapping_add(meta.ctime_nsec()), meta.ino())
}

#[cfg(not(unix))]
fn change_and_inode(_: &Metadata) -> (i64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two files of equal size and time that change names.
    #[cfg(unix)]
    #[test]
    fn names_that_are_exchanged_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_704_067_200, 5);
        for (name, bytes) in [("a", "one"), ("b", "two")] {
            std::fs::write(at(name), bytes).unwrap();
            std::fs::File::options().append(true).open(at(name)).unwrap().set_modified(time).unwrap();
        }
        let [before_a, before_b] = ["a", "b"].map(|name| FileStamp::of(&at(name)).unwrap());
        assert_eq!((before_a.size, before_a.modified_ms, before_a.modified_nanos), (3, 1_704_067_200_000, 5));
        for (from, to) in [("a", "c"), ("b", "a"), ("c", "b")] {
            std::fs::rename(at(from), at(to)).unwrap();
        }
        let [a, b] = ["a", "b"].map(|name| FileStamp::of(&at(name)).unwrap());
        assert_eq!((a.size, a.modified_ms), (before_b.size, before_b.modified_ms));
        assert!(a.inode == before_b.inode && b.inode == before_a.inode && a != before_a && b != before_b);
    }
}
