//! Crash simulation, for tests alone: a log of all that a writer does to its disk, and the disks that a crash could leave.
//! What was not synced may be there, or not, or in parts, in any order.

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Result as IoResult;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Disks write this many bytes or none of them.
const SECTOR: u64 = 512;

/// One operation on the disk.
#[derive(Clone, Debug)]
pub(crate) enum DiskOp {
    Create(PathBuf),
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetLength {
        path: PathBuf,
        length: u64,
    },
    Sync(PathBuf),
    SyncFolder(PathBuf),
    Remove(PathBuf),
    /// This many commits have returned.
    Acknowledge(usize),
}

type DiskLog = Arc<Mutex<Vec<DiskOp>>>;

thread_local! {
    static CURRENT: RefCell<Option<DiskLog>> = const { RefCell::new(None) };
}

/// Logs an operation, if this thread keeps a log.
pub(crate) fn record(op: impl FnOnce() -> DiskOp) {
    CURRENT.with_borrow(|current| {
        if let Some(log) = current {
            log.lock().unwrap().push(op());
        }
    });
}

/// The storage of a database at `path` whose operations are logged, if this thread keeps a log.
pub(crate) fn backend(path: &Path) -> Option<RecordedFile> {
    let log = CURRENT.with_borrow(Clone::clone)?;
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    Some(RecordedFile { inner: FileBackend::new(file).unwrap(), path: path.to_path_buf(), log })
}

/// A database's file.
#[derive(Debug)]
pub(crate) struct RecordedFile {
    inner: FileBackend,
    path: PathBuf,
    log: DiskLog,
}

impl RecordedFile {
    fn record(&self, op: DiskOp) {
        self.log.lock().unwrap().push(op);
    }
}

impl StorageBackend for RecordedFile {
    fn len(&self) -> IoResult<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> IoResult<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> IoResult<()> {
        self.record(DiskOp::SetLength { path: self.path.clone(), length });
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> IoResult<()> {
        self.record(DiskOp::Sync(self.path.clone()));
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> IoResult<()> {
        self.record(DiskOp::Write { path: self.path.clone(), offset, bytes: data.to_vec() });
        self.inner.write(offset, data)
    }

    fn close(&self) -> IoResult<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        StorageBackend::try_lock_range(&self.inner, start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        StorageBackend::try_lock_shared_range(&self.inner, start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        StorageBackend::lock_range(&self.inner, start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        StorageBackend::lock_shared_range(&self.inner, start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        StorageBackend::unlock_range(&self.inner, start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        StorageBackend::query_lock_range(&self.inner, start, end)
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

/// Content of every file by its path.
type Disk = BTreeMap<PathBuf, Vec<u8>>;

/// A disk that a crash after the first `count` operations could leave, if it was `before` at their start.
fn crashed(before: &Disk, log: &[DiskOp], count: usize, random: &mut Random) -> Disk {
    let mut disk = before.clone();
    let log = &log[..count];
    for (at, op) in log.iter().enumerate() {
        let later = &log[at + 1..];
        let synced = |path: &Path| later.iter().any(|op| matches!(op, DiskOp::Sync(other) if other == path));
        let listed = |path: &Path| {
            later.iter().any(|op| matches!(op, DiskOp::SyncFolder(folder) if Some(folder.as_path()) == path.parent()))
        };
        match op {
            // A name that was never brought to disk may be missing with all that was written under it.
            DiskOp::Create(path) if listed(path) || random.below(2) == 0 => drop(disk.insert(path.clone(), Vec::new())),
            DiskOp::Remove(path) if listed(path) || random.below(2) == 0 => drop(disk.remove(path)),
            DiskOp::SetLength { path, length } if synced(path) || random.below(2) == 0 => {
                if let Some(content) = disk.get_mut(path) {
                    content.resize(*length as usize, 0);
                }
            }
            DiskOp::Write { path, offset, bytes } => {
                let Some(content) = disk.get_mut(path) else { continue };
                let sure = synced(path);
                let whole = random.below(3);
                let mut start = *offset;
                while start < offset + bytes.len() as u64 {
                    let end = ((start / SECTOR + 1) * SECTOR).min(offset + bytes.len() as u64);
                    if sure || whole == 0 || whole == 1 && random.below(2) == 0 {
                        let (from, to) = (start as usize, end as usize);
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        content[from..to].copy_from_slice(&bytes[from - *offset as usize..to - *offset as usize]);
                    }
                    start = end;
                }
            }
            _ => {}
        }
    }
    disk
}

mod tests;
