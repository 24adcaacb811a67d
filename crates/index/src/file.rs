//! Files that are whole or absent, and their checks.

use gxn_base::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Replaces `path` by a file of these bytes, or leaves it as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| Error::io("cannot write", &new, e))?;
    fs::rename(&new, path).map_err(|e| Error::io("cannot put in place", path, e))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Writes `bytes` over the start of the file at `path`.
pub(crate) fn write_start(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::options().write(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| Error::io("cannot write", path, e))
}

/// Syncs a folder's names, where the system can.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io("cannot sync the folder", dir, e))?;
    }
    Ok(())
}

/// Refuses a file that is shorter than what was adopted of it.
pub(crate) fn check_length(path: &Path, found: u64, least: u64) -> Result<()> {
    if found >= least {
        return Ok(());
    }
    let what = format!("length of {}", path.display());
    Err(crate::fault::damaged_rows(what, format!("{found} bytes"), format!("at least {least} bytes")))
}
