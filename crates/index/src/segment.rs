//! A flat file of f16 rows: header, rows, and the inverse length of every row.
//!
//! All numbers are little-endian. Header of version 1, 128 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `GXNROWS\0` |
//! | 8..12 | version, u32 |
//! | 12..16 | values of h, u32 |
//! | 16..20 | values of l, u32 |
//! | 20..24 | bits of a value, u32: 16 |
//! | 24..32 | number of rows, u64 |
//! | 32..64 | SHA-256 of everything after the header |
//! | 64..96 | zeros |
//! | 96..128 | SHA-256 of bytes 0..96 |
//!
//! The rows follow, `[rows, h + l]` f16, then `[rows]` f32 of 1 / ‖row‖ (0 for a zero row).

use crate::error::{Error, Result};
use crate::file::{FileRecord, HashedFile, REINDEX, check_length, hex};
use crate::query::inverse_length;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

#[cfg(target_endian = "big")]
compile_error!("rows are mapped as they lie on disk, little-endian");

/// Version of the row file that this build reads and writes.
pub const ROWS_VERSION: u32 = 1;
/// Length of the header in bytes.
pub(crate) const HEADER_BYTES: usize = 128;
const MAGIC: [u8; 8] = *b"GXNROWS\0";

/// What the first bytes of a row file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Values of h.
    pub dims_abstract: u32,
    /// Values of l.
    pub dims_grounded: u32,
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 of everything after the header.
    pub body_sha256: [u8; 32],
}

impl Header {
    /// The bytes of this header.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        for (at, value) in [(8, ROWS_VERSION), (12, self.dims_abstract), (16, self.dims_grounded), (20, 16)] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes[24..32].copy_from_slice(&self.rows.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.body_sha256);
        let check = Sha256::digest(&bytes[..96]);
        bytes[96..].copy_from_slice(&check);
        bytes
    }

    /// Reads the header at the start of `bytes`; `name` is the file's, for messages.
    ///
    /// # Errors
    /// If the bytes are too few, no row file, of another version, or damaged.
    pub fn parse(bytes: &[u8], name: &Path) -> Result<Self> {
        let what = |part: &str| format!("{part} of {}", name.display());
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            let found = format!("{} bytes", bytes.len());
            return Err(Error::unexpected(what("header"), found, format!("{HEADER_BYTES} bytes")).with_hint(REINDEX));
        };
        if bytes[..8] != MAGIC {
            let found = format!("\"{}\"", bytes[..8].escape_ascii());
            return Err(Error::unexpected(what("first bytes"), found, "\"GXNROWS\\x00\"")
                .with_hint("this is no row file of an index, or its writing was cut off"));
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(8) != ROWS_VERSION {
            return Err(Error::unexpected(what("version"), word(8).to_string(), ROWS_VERSION.to_string())
                .with_hint("the index was made by another version of this program: make it again"));
        }
        let check: [u8; 32] = Sha256::digest(&bytes[..96]).into();
        if bytes[96..] != check {
            let found = hex(&check);
            return Err(Error::unexpected(what("header checksum"), found, hex(&bytes[96..])).with_hint(REINDEX));
        }
        if word(20) != 16 || word(12) == 0 {
            let found = format!("{} values of {} bits", word(12), word(20));
            return Err(Error::unexpected(what("row layout"), found, "at least one value of 16 bits"));
        }
        let rows = u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes"));
        let body_sha256 = bytes[32..64].try_into().expect("32 bytes");
        Ok(Self { dims_abstract: word(12), dims_grounded: word(16), rows, body_sha256 })
    }

    /// Values of a row.
    pub fn dims(&self) -> usize {
        self.dims_abstract as usize + self.dims_grounded as usize
    }

    /// Length of the whole file; `None` if no file can be so long.
    pub fn file_bytes(&self) -> Option<u64> {
        let row = self.dims() as u64 * 2 + 4;
        self.rows.checked_mul(row)?.checked_add(HEADER_BYTES as u64)
    }
}

/// Writes a row file.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    pub(crate) file: HashedFile,
    header: Header,
    half: Vec<f16>,
    inverse_lengths: Vec<f32>,
}

impl SegmentWriter {
    pub(crate) fn create(path: PathBuf, dims_abstract: u32, dims_grounded: u32) -> Result<Self> {
        let header = Header { dims_abstract, dims_grounded, rows: 0, body_sha256: [0; 32] };
        let mut file = HashedFile::create(path)?;
        // The true header comes last: a file whose writing was cut off is none.
        file.write_unhashed(&[0; HEADER_BYTES])?;
        Ok(Self { file, half: vec![f16::ZERO; header.dims()], header, inverse_lengths: Vec::new() })
    }

    /// Appends a row; `id` is for messages.
    pub(crate) fn push(&mut self, id: &str, row: &[f32]) -> Result<()> {
        let what = || format!("embedding of {id}");
        if row.len() != self.half.len() {
            let expected = format!("{} values", self.half.len());
            return Err(Error::unexpected(what(), format!("{} values", row.len()), expected));
        }
        self.half.convert_from_f32_slice(row);
        if let Some(at) = self.half.iter().position(|v| !v.is_finite()) {
            let expected = "a finite number within ±65504, the range of f16";
            return Err(Error::unexpected(what(), format!("{} at place {at}", row[at]), expected)
                .with_hint("the encoder gave an unusable vector: check the model's weights and this item"));
        }
        self.file.write(bytemuck::cast_slice(&self.half))?;
        self.inverse_lengths.push(inverse_length(&self.half));
        self.header.rows += 1;
        Ok(())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.header.rows
    }

    pub(crate) fn finish(mut self) -> Result<FileRecord> {
        self.file.write(bytemuck::cast_slice(&self.inverse_lengths))?;
        self.header.body_sha256 = self.file.digest();
        self.file.finish(Some(&self.header.to_bytes()))
    }
}

/// An open row file, mapped into memory.
#[derive(Debug)]
pub struct Segment {
    map: Mmap,
    header: Header,
    inverse_lengths: Vec<f32>,
}

impl Segment {
    /// Maps `path` and checks header and length; the body's checksum is left to `Index::verify`.
    ///
    /// # Errors
    /// If the file cannot be read, or is no whole row file of this version.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        // SAFETY: an index never changes a row file once its header is written; it only removes whole files, which
        // leaves the mapping alive. Programs that cut the file while it is mapped are outside this promise.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", path, e))?;
        let header = Header::parse(&map, path)?;
        let expected = header.file_bytes().unwrap_or(u64::MAX);
        check_length(path, map.len() as u64, expected)?;
        let body = HEADER_BYTES + header.rows as usize * header.dims() * 2;
        let inverse_lengths = map[body..].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok(Self { map, header, inverse_lengths })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.inverse_lengths.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.inverse_lengths.is_empty()
    }

    /// All rows, `[rows, h + l]`.
    pub fn values(&self) -> &[f16] {
        let end = HEADER_BYTES + self.len() * self.header.dims() * 2;
        // A mapping starts at a page and the header is even, so the rows are aligned.
        bytemuck::cast_slice(&self.map[HEADER_BYTES..end])
    }

    /// 1 / ‖row‖ of every row; 0 for a zero row.
    pub fn inverse_lengths(&self) -> &[f32] {
        &self.inverse_lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(rows: &[[f32; 3]]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.f16");
        let mut writer = SegmentWriter::create(path.clone(), 2, 1).unwrap();
        rows.iter().for_each(|row| writer.push("a", row).unwrap());
        writer.finish().unwrap();
        (dir, path)
    }

    #[test]
    fn rows_come_back() {
        let (_dir, path) = written(&[[1.0, 0.5, -2.0], [0.0; 3], [3.0, 0.0, 4.0]]);
        let segment = Segment::open(&path).unwrap();
        assert_eq!(segment.values()[6..9], [3.0, 0.0, 4.0].map(f16::from_f32));
        assert_eq!(segment.inverse_lengths()[1..], [0.0, 0.2]);
        let (_dir, path) = written(&[]);
        assert!(Segment::open(&path).unwrap().is_empty());
    }

    #[test]
    fn unusable_rows_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SegmentWriter::create(dir.path().join("a"), 1, 1).unwrap();
        for bad in [[1.0, f32::NAN], [f32::INFINITY, 0.0], [1.0, 70000.0]] {
            let error = writer.push("cat.jpg", &bad).unwrap_err();
            assert!(error.to_string().starts_with("embedding of cat.jpg: found "), "{error}");
            assert!(error.hint().is_some());
        }
        assert!(writer.push("cat.jpg", &[1.0]).unwrap_err().to_string().contains("found 1 values, expected 2"));
        assert_eq!(writer.rows(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Header::parse(&bytes, Path::new("x")).is_err());
        }

        /// With the right magic, version and checksum, whatever the rest says.
        #[test]
        fn foreign_headers_never_panic(dims in any::<(u32, u32)>(), rows in any::<u64>(), tail in 0usize..300) {
            let header = Header { dims_abstract: dims.0.max(1), dims_grounded: dims.1, rows, body_sha256: [7; 32] };
            prop_assert_eq!(&Header::parse(&header.to_bytes(), Path::new("x")).unwrap(), &header);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            let mut bytes = header.to_bytes().to_vec();
            bytes.resize(HEADER_BYTES + tail, 1);
            std::fs::write(&path, &bytes).unwrap();
            let whole = header.file_bytes() == Some(bytes.len() as u64);
            prop_assert_eq!(Segment::open(&path).is_ok(), whole);
        }
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_noticed() {
        let (_dir, path) = written(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let good = std::fs::read(&path).unwrap();
        for at in 0..HEADER_BYTES {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                assert!(Header::parse(&bytes, &path).is_err(), "bit {bit} of byte {at}");
            }
        }
        for cut in 0..good.len() {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(Segment::open(&path).is_err(), "cut at {cut}");
        }
    }
}
