//! A file beside a row file, derived from its rows.
//!
//! It may be missing, damaged or incomplete; search then reads the rows themselves. It is written whole and never changed. All numbers are little-endian. Header, 128 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | the kind |
//! | 8..12 | version, u32: 1 |
//! | 12..16 | values of h, u32 |
//! | 16..20 | values of l, u32 |
//! | 20..24 | bits of a value, u32 |
//! | 24..28 | the kind's own |
//! | 28..32 | modality, u32: 0 images, 1 captions |
//! | 32..40 | number of the row file, u64 |
//! | 40..48 | rows, u64: the first ones of the row file |
//! | 48..56 | the kind's own |
//! | 56..64 | the last 8 bytes of the last of these rows |
//! | 64..96 | SHA-256 of all after the header |
//! | 96..128 | SHA-256 of bytes 0..96 |

use crate::file::sync_dir;
use crate::segment::{HEADER_BYTES, Header, Segment};
use gxn_base::words::hex;
use gxn_base::{Error, Result};
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

const VERSION: u32 = 1;

/// A file that is not what was written to it.
pub(crate) fn damaged(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::damaged(what, found, expected).with_hint("remove the file: it is derived from the rows and is made again")
}

/// What distinguishes files of one kind from others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SidecarKind {
    /// The first bytes.
    pub(crate) magic: [u8; 8],
    /// What is in it, for messages.
    pub(crate) what: &'static str,
    /// Bits of a value.
    pub(crate) bits: u32,
    /// Bytes 24..28.
    pub(crate) own: u32,
}

/// A file derived from the first rows of a row file, mapped into memory.
#[derive(Debug)]
pub(crate) struct Sidecar {
    map: Mmap,
    pub(crate) rows: usize,
    /// Bytes 48..56.
    pub(crate) own: [u8; 8],
    sum: [u8; 32],
}

impl Sidecar {
    /// Opens the file at `path` if it belongs to `segment`; what follows the header is not checked.
    pub(crate) fn open(path: &Path, segment: &Segment, kind: SidecarKind) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        // SAFETY: the file was put in place whole; it is removed but never changed.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", path, e))?;
        let wrong =
            |found: String, expected: String| Err(damaged(format!("header of {}", path.display()), found, expected));
        let Some(bytes) = map.first_chunk::<HEADER_BYTES>() else {
            return wrong(format!("{} bytes", map.len()), format!("{HEADER_BYTES} bytes"));
        };
        let check: [u8; 32] = Sha256::digest(&bytes[..96]).into();
        if bytes[..8] != kind.magic || bytes[96..] != check {
            let expected = format!("\"{}\" and a checksum that agrees", kind.magic.escape_ascii());
            return wrong(format!("\"{}\"", bytes[..8].escape_ascii()), expected);
        }
        if bytes[8..40] != head(kind, segment.header())[8..40] {
            return wrong("another version, width or file".into(), "that of the row file beside it".into());
        }
        let part = |at: usize| -> [u8; 8] { *bytes[at..].first_chunk().expect("the header is longer") };
        let (rows, last) = (u64::from_le_bytes(part(40)), part(56));
        let there = rows <= segment.len() as u64;
        if !there || rows > 0 && segment.record(rows as usize - 1).last_chunk() != Some(&last) {
            let (found, expected) =
                (format!("{} of other rows", kind.what), format!("{} of the rows beside", kind.what));
            return Err(damaged(path.display().to_string(), found, expected));
        }
        let (own, sum) = (part(48), *bytes[64..].first_chunk().expect("the header is longer"));
        Ok(Self { map, rows: rows as usize, own, sum })
    }

    /// All after the header.
    pub(crate) fn body(&self) -> &[u8] {
        &self.map[HEADER_BYTES..]
    }

    /// Compares everything with its checksum.
    pub(crate) fn verify(&self, path: &Path) -> Result<()> {
        let found: [u8; 32] = Sha256::digest(self.body()).into();
        if found == self.sum {
            return Ok(());
        }
        let what = format!("checksum of {}", path.display());
        Err(damaged(what, hex(found), hex(self.sum)))
    }
}

/// A header of no rows without checksums.
pub(crate) fn head(kind: SidecarKind, source: &Header) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&kind.magic);
    let words = [VERSION, source.dims_abstract, source.dims_grounded, kind.bits, kind.own, source.modality as u32];
    for (at, word) in words.into_iter().enumerate() {
        bytes[8 + 4 * at..][..4].copy_from_slice(&word.to_le_bytes());
    }
    bytes[32..40].copy_from_slice(&source.number.to_le_bytes());
    bytes
}

/// Writes what follows the header.
pub(crate) struct Body {
    out: BufWriter<File>,
    sum: Sha256,
}

impl Body {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}

/// Writes a file for all rows of `segment` to `path`, replacing what is there; `fill` writes the body and returns bytes
/// 48..56 of the header.
pub(crate) fn write(
    path: &Path,
    segment: &Segment,
    kind: SidecarKind,
    fill: impl FnOnce(&mut Body) -> std::io::Result<[u8; 8]>,
) -> Result<()> {
    let mut new = path.as_os_str().to_os_string();
    new.push(".new");
    let new = Path::new(&new);
    let done = write_new(new, segment, kind, fill).map_err(|e| Error::io("cannot write", new, e));
    if let Err(error) = done {
        // Half a file helps nobody, and the disk may be full.
        let _ = fs::remove_file(new);
        return Err(error);
    }
    fs::rename(new, path).map_err(|e| Error::io("cannot put in place", path, e))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn write_new(
    path: &Path,
    segment: &Segment,
    kind: SidecarKind,
    fill: impl FnOnce(&mut Body) -> std::io::Result<[u8; 8]>,
) -> std::io::Result<()> {
    let out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut body = Body { out, sum: Sha256::new() };
    body.out.write_all(&[0; HEADER_BYTES])?;
    let own = fill(&mut body)?;
    let mut bytes = head(kind, segment.header());
    bytes[40..48].copy_from_slice(&(segment.len() as u64).to_le_bytes());
    bytes[48..56].copy_from_slice(&own);
    if let Some(last) = segment.len().checked_sub(1) {
        let record = segment.record(last);
        bytes[56..64].copy_from_slice(&record[record.len() - 8..]);
    }
    bytes[64..96].copy_from_slice(&body.sum.finalize());
    let check = Sha256::digest(&bytes[..96]);
    bytes[96..].copy_from_slice(&check);
    body.out.flush()?;
    let mut file = body.out.into_inner()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&bytes)?;
    file.sync_all()
}
