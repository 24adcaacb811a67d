//! The folder of an index, locked against other writers.

use crate::catalogue::{CATALOGUE_FILE, SEGMENT_DIR, segment_path};
#[cfg(test)]
use crate::crash_simulation::{self, DiskOp};
use crate::file;
use crate::meta::{INDEX_VERSION, META_FILE, is_ours, refuse_newer, version, write_identity};
use gxn_base::{Error, Modality, Result};
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOCK_FILE: &str = "lock";
/// A catalogue that could not be read, in quarantine until another index has taken its place.
const DAMAGED_FILE: &str = "catalogue.damaged";

/// A claimed folder.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// The claim made the folder.
    made: bool,
    /// Unlocks when it is dropped.
    _lock: Option<File>,
}

impl Folder {
    /// Makes the folder if it is missing, and locks it.
    pub(crate) fn claim(dir: &Path) -> Result<Self> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
        fs::create_dir_all(dir).map_err(|e| Error::io("cannot make the folder", dir, e))?;
        // Rows that are safe on disk are of no use in a folder whose own name is not.
        missing.iter().try_for_each(|folder| sync_name(folder))?;
        refuse_foreign(dir)?;
        refuse_newer(dir)?;
        let lock = lock(dir)?;
        let segments = dir.join(SEGMENT_DIR);
        fs::create_dir_all(&segments).map_err(|e| Error::io("cannot make the folder", &segments, e))?;
        Ok(Self { dir: dir.to_path_buf(), made: !missing.is_empty(), _lock: lock })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Renames a catalogue that cannot be read, to be replaced.
    pub(crate) fn quarantine(&self) -> Result<()> {
        let path = self.dir.join(CATALOGUE_FILE);
        fs::rename(&path, self.dir.join(DAMAGED_FILE)).map_err(|e| Error::io("cannot rename", &path, e))
    }

    /// Puts it back when nothing took its place.
    pub(crate) fn restore_quarantined(&self) {
        let _ = fs::rename(self.dir.join(DAMAGED_FILE), self.dir.join(CATALOGUE_FILE));
    }

    /// True while a damaged catalogue is in quarantine. Until it is replaced its row files stay too: somebody may be able
    /// to repair it, or to restore it from a copy.
    pub(crate) fn holds_damaged(&self) -> bool {
        self.dir.join(DAMAGED_FILE).exists()
    }

    /// A number above those of all row files.
    pub(crate) fn free_file_number(&self) -> u64 {
        let entries = fs::read_dir(self.dir.join(SEGMENT_DIR)).into_iter().flatten().flatten();
        entries.filter_map(|entry| file_number(&entry)).max().map_or(1, |last| last.saturating_add(1))
    }

    /// Marks the folder as an index of this version, after its first commit, and removes what an index of an older version or a damaged one
    /// left. What cannot be removed now (a reader may hold it, on some systems) the next writer removes.
    pub(crate) fn finalize(&self) -> Result<()> {
        if version(&self.dir) != Some(INDEX_VERSION) {
            write_identity(&self.dir)?;
        }
        let _ = fs::remove_file(self.dir.join(DAMAGED_FILE));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if is_generation(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }

    /// Removes all but the row files in `used` and those with numbers below `protected_below`, and their sketches.
    pub(crate) fn sweep(&self, used: &HashSet<(Modality, u64)>, protected_below: u64) {
        let keep: HashSet<PathBuf> =
            used.iter().map(|(modality, number)| segment_path(&self.dir, *modality, *number)).collect();
        for entry in fs::read_dir(self.dir.join(SEGMENT_DIR)).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_protected = file_number(&entry).is_some_and(|number| number < protected_below);
            // Older versions wrote 8-bit codes, `*.i8`.
            let is_read = path.extension().is_some_and(|extension| extension == "f16" || extension == "sketch");
            let is_used = is_read && keep.contains(&path.with_extension("f16"));
            if !is_protected && !is_used {
                #[cfg(test)]
                crash_simulation::record(|| DiskOp::Remove(path.clone()));
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Removes the folder if the claim made it.
    pub(crate) fn undo(&self) {
        if self.made {
            let _ = fs::remove_file(self.dir.join(CATALOGUE_FILE));
            let _ = fs::remove_dir(self.dir.join(SEGMENT_DIR));
            let _ = fs::remove_file(self.dir.join(LOCK_FILE));
            let _ = fs::remove_dir(&self.dir);
        }
    }

    /// Syncs the names of the row files.
    pub(crate) fn sync_segments(&self) -> Result<()> {
        #[cfg(test)]
        crash_simulation::record(|| DiskOp::SyncFolder(self.dir.join(SEGMENT_DIR)));
        file::sync_dir(&self.dir.join(SEGMENT_DIR))?;
        file::sync_dir(&self.dir)
    }
}

/// The number of a row file, or of the row file that a file belongs to.
fn file_number(entry: &fs::DirEntry) -> Option<u64> {
    let name = entry.file_name().to_string_lossy().into_owned();
    name.split_once('.')?.0.rsplit_once('-')?.1.parse().ok()
}

/// Syncs the name of a new folder. A folder above it that may be written but not read cannot be synced.
fn sync_name(folder: &Path) -> Result<()> {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[cfg(test)]
    crash_simulation::record(|| DiskOp::SyncFolder(above.to_path_buf()));
    match file::sync_dir(above) {
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::PermissionDenied) => Ok(()),
        other => other,
    }
}

fn lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join(LOCK_FILE);
    let file = File::create(&path).map_err(|e| Error::io("cannot write", &path, e))?;
    match patiently(|| file.try_lock()) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(crate::fault::busy(dir)),
        // Some network file systems have no locks; refusing to work there would help nobody.
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => Ok(None),
        Err(TryLockError::Error(e)) => Err(Error::io("cannot lock", &path, e)),
    }
}

/// True while a writer holds the index in `dir`.
pub(crate) fn is_held(dir: &Path) -> bool {
    let lock = File::open(dir.join(LOCK_FILE));
    lock.is_ok_and(|lock| matches!(patiently(|| lock.try_lock_shared()), Err(TryLockError::WouldBlock)))
}

/// Tries for a second: when a program starts another one, that one has all its locks for a moment, even those it is
/// about to give back.
fn patiently(lock: impl Fn() -> std::result::Result<(), TryLockError>) -> std::result::Result<(), TryLockError> {
    for _ in 0..20 {
        match lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
    lock()
}

/// Nothing but an index, or what an unfinished writer left, may lie in the folder; in that of an index also what systems leave
/// anywhere. An index that is damaged or of an earlier version may be replaced, a `meta.json` of somebody else may not.
fn refuse_foreign(dir: &Path) -> Result<()> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("cannot read the folder", dir, e))?;
    let names: Vec<_> = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()
        .map_err(|e| Error::io("cannot read the folder", dir, e))?;
    let ours = is_ours(dir) || names.iter().any(|name| name == CATALOGUE_FILE || is_generation(name));
    let known = [LOCK_FILE, CATALOGUE_FILE, SEGMENT_DIR, DAMAGED_FILE, "meta.json.new"];
    let foreign = |name: &&String| {
        let is_expected = known.contains(&name.as_str()) || is_generation(name);
        !(is_expected || ours && (name.as_str() == META_FILE || is_of_the_system(name)))
    };
    match names.iter().find(foreign) {
        None => Ok(()),
        Some(name) => Err(Error::conflict(format!("folder {}", dir.display()), name, "an empty folder or an index")
            .with_hint("name a folder for the index alone")),
    }
}

/// Hidden files such as `.DS_Store`, `._meta.json` and `.nfs…`, and those of Windows.
fn is_of_the_system(name: &str) -> bool {
    name.starts_with('.') || ["Thumbs.db", "desktop.ini"].contains(&name)
}

/// Folders of version 1 were called so.
fn is_generation(name: &str) -> bool {
    name.strip_prefix("generation-").is_some_and(|number| number.parse::<u64>().is_ok())
}
