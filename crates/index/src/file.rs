//! Files that are complete on disk or not there: counted, hashed, synced.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Length and checksum of a finished file, as `meta.json` holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Length of the whole file.
    pub bytes: u64,
    /// Lower-case hex SHA-256 of the file; of a row file, of all that follows its header.
    pub sha256: String,
}

/// A new file that hashes what passes through it.
#[derive(Debug)]
pub(crate) struct HashedFile {
    path: PathBuf,
    out: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    /// A write failed: the file cannot be finished, even if the caller goes on.
    failed: bool,
    #[cfg(test)]
    pub(crate) room: u64,
}

impl HashedFile {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create_new(&path).map_err(|e| Error::io("cannot create", &path, e))?;
        Ok(Self {
            path,
            out: BufWriter::with_capacity(1 << 20, file),
            hash: Sha256::new(),
            bytes: 0,
            failed: false,
            #[cfg(test)]
            room: u64::MAX,
        })
    }

    /// Appends `bytes` to the file and to the checksum.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.write_unhashed(bytes)
    }

    /// Appends `bytes` to the file alone.
    pub(crate) fn write_unhashed(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let written = self.write_all(bytes).map_err(|e| Error::io("cannot write", &self.path, e));
        self.failed |= written.is_err();
        written
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        #[cfg(test)]
        if self.bytes > self.room {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.out.write_all(bytes)
    }

    /// The checksum of everything hashed so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// Puts `header` over the first bytes, if there is one, and brings the file to disk.
    pub(crate) fn finish(mut self, header: Option<&[u8]>) -> Result<FileRecord> {
        self.close(header).map_err(|e| Error::io("cannot write", &self.path, e))?;
        Ok(FileRecord { bytes: self.bytes, sha256: hex(&self.hash.finalize()) })
    }

    fn close(&mut self, header: Option<&[u8]>) -> std::io::Result<()> {
        if self.failed {
            return Err(std::io::Error::other("an earlier write to it failed"));
        }
        if let Some(header) = header {
            self.out.seek(SeekFrom::Start(0))?;
            self.out.write_all(header)?;
        }
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }
}

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

/// Brings a folder's names to disk, where the system can.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io("cannot bring to disk the folder", dir, e))?;
    }
    Ok(())
}

/// Checks `path` against its record, reading it all; the checksum covers what follows the first `skip` bytes.
pub(crate) fn verify(path: &Path, record: &FileRecord, skip: u64) -> Result<()> {
    let read = || -> std::io::Result<(u64, String)> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        file.seek(SeekFrom::Start(skip))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((bytes, hex(&hash.finalize()))),
                n => hash.update(&buffer[..n]),
            }
        }
    };
    let (bytes, sha256) = read().map_err(|e| Error::io("cannot read", path, e))?;
    check_length(path, bytes, record.bytes)?;
    if sha256 != record.sha256 {
        let what = format!("checksum of {}", path.display());
        return Err(Error::unexpected(what, sha256, &record.sha256).with_hint(REINDEX));
    }
    Ok(())
}

/// What to do about a damaged index.
pub(crate) const REINDEX: &str = "the file is damaged or was replaced: make the index again";

/// Compares a file's length with what the index recorded.
pub(crate) fn check_length(path: &Path, found: u64, expected: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let what = format!("length of {}", path.display());
    Err(Error::unexpected(what, format!("{found} bytes"), format!("{expected} bytes")).with_hint(REINDEX))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
