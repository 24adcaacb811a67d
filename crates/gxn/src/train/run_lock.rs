//! [`RunLock`]: one process at a time trains a run.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use gxn_base::{Error, Result};

/// The file that is locked; it names who holds it. Readers of a run do not care for it.
const LOCK_FILE: &str = "lock";

/// The right to write into a run's folder, given back when it is dropped.
#[derive(Debug)]
pub(super) struct RunLock {
    run: PathBuf,
    /// None where the file system has no locks: refusing to work there would help nobody.
    _file: Option<File>,
    /// Folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl RunLock {
    /// Makes the folder `run` if it is missing, and locks it.
    ///
    /// # Errors
    /// [`Kind::Busy`](gxn_base::Kind::Busy) when another trainer has it, with who that is; and when the folder cannot be
    /// made or written to.
    pub fn claim(run: &Path) -> Result<Self> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made: Vec<PathBuf> = run.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
        std::fs::create_dir_all(run).map_err(|e| Error::io("cannot make", run, e))?;
        // From here on what was made is removed again if it stays empty.
        let mut claimed = Self { run: run.to_path_buf(), _file: None, made };
        claimed._file = lock(run)?;
        Ok(claimed)
    }

    /// Whether a trainer has, or had, this folder.
    pub fn is_there(run: &Path) -> bool {
        run.join(LOCK_FILE).is_file()
    }
}

impl Drop for RunLock {
    /// A run that failed before it wrote anything leaves nothing.
    fn drop(&mut self) {
        let holds_lock_alone = |folder: &Path| {
            std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name() == LOCK_FILE))
        };
        if !self.made.is_empty() && self._file.is_some() && holds_lock_alone(&self.run) {
            let _ = std::fs::remove_file(self.run.join(LOCK_FILE));
        }
        // Only empty folders can be removed.
        self.made.iter().all(|folder| std::fs::remove_dir(folder).is_ok());
    }
}

/// Whether a process trains the run in this folder.
pub fn is_training(run: &Path) -> bool {
    let Ok(file) = File::open(run.join(LOCK_FILE)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn lock(run: &Path) -> Result<Option<File>> {
    let path = run.join(LOCK_FILE);
    let open = || OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    loop {
        let mut file = open().map_err(|e| Error::io("cannot write", &path, e))?;
        match file.try_lock() {
            // Its former holder may have removed it meanwhile.
            Ok(()) if !path.exists() => {}
            Ok(()) => {
                let written = file.set_len(0).and_then(|()| writeln!(file, "{}", this_process()));
                return written.map(|()| Some(file)).map_err(|e| Error::io("cannot write", &path, e));
            }
            Err(TryLockError::WouldBlock) => return Err(busy(run, &mut file)),
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(Error::io("cannot lock", &path, e)),
        }
    }
}

fn busy(run: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    // Where locks are mandatory it cannot be read.
    let holder = match file.read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => holder.trim(),
        _ => "another process",
    };
    Error::busy(format!("the run {}", run.display()), format!("{holder} training it"), "one process at a time")
        .with_hint("wait until it has ended, or give the new run another name")
}

/// `process 4242 on HOST`
fn this_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let on = host.map_or(String::new(), |host| format!(" on {}", host.trim()));
    format!("process {}{on}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_base::Kind;

    #[test]
    fn one_holds_it_and_the_next_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("runs/a");
        let first = RunLock::claim(&run).unwrap();
        let second = RunLock::claim(&run).unwrap_err();
        assert_eq!(second.kind(), Kind::Busy);
        assert!(is_training(&run) && !is_training(folder.path()));
        assert!(second.found().unwrap().starts_with(&format!("process {}", std::process::id())), "{second}");
        std::fs::write(run.join("config.toml"), "").unwrap();
        drop(first);
        assert!(RunLock::is_there(&run) && !is_training(&run), "what was written stays, and the lock with it");
        drop(RunLock::claim(&run).unwrap());
        assert!(run.join("config.toml").is_file());
    }

    #[test]
    fn a_claim_that_wrote_nothing_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(RunLock::claim(&folder.path().join("runs/a")).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // A folder that was there stays.
        let run = folder.path().join("b");
        std::fs::create_dir(&run).unwrap();
        drop(RunLock::claim(&run).unwrap());
        assert!(run.is_dir());
    }
}
