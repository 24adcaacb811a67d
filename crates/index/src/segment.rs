//! A file of f16 rows that only grows. The catalogue holds how many of its rows count, and their checksum.
//!
//! All numbers are little-endian. Header of version 2, 128 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `GXNROWS\0` |
//! | 8..12 | version, u32 |
//! | 12..16 | values of h, u32 |
//! | 16..20 | values of l, u32 |
//! | 20..24 | bits of a value, u32: 16 |
//! | 24..28 | bytes of a record, u32 |
//! | 28..32 | modality, u32: 0 images, 1 captions |
//! | 32..40 | number of the file, u64 |
//! | 40..96 | zeros |
//! | 96..128 | SHA-256 of bytes 0..96 |
//!
//! A record is the row `[h ; l]`, zeros up to a multiple of 64 bytes, and in its last 16 bytes: 1 / ‖row‖ as f32 (0 for a
//! zero row), four zeros, and the first 8 bytes of the SHA-256 of all before. The checksum of the first n rows is
//! cₙ = SHA-256(cₙ₋₁ ‖ the 8 bytes of row n), c₀ = 32 zeros, so that appending rows does not read earlier ones again.

use crate::file::check_length;
use crate::query::inverse_length;
use gxn_base::Modality;
use gxn_base::words::hex;
use gxn_base::{Error, Remedy, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::{Mmap, MmapOptions};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;

#[cfg(target_endian = "big")]
compile_error!("rows are mapped as they lie on disk, little-endian");

/// Version of the row file that this build reads and writes.
pub const ROWS_VERSION: u32 = 2;
/// Length of the header in bytes.
pub(crate) const HEADER_BYTES: usize = 128;
/// Bytes at the end of a record that are not the row's.
const TRAILER_BYTES: usize = 16;
/// Records start at multiples of this, as vector loads like best.
const ALIGN: usize = 64;
const MAGIC: [u8; 8] = *b"GXNROWS\0";

/// Checksum of the first rows of a file; see the module.
pub(crate) type Chain = [u8; 32];

/// The first bytes of a row file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Values of h.
    pub dims_abstract: u32,
    /// Values of l.
    pub dims_grounded: u32,
    /// What the rows are.
    pub modality: Modality,
    /// Number of the file, which its name has too.
    pub number: u64,
}

impl Header {
    /// The bytes of this header.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        let words = [ROWS_VERSION, self.dims_abstract, self.dims_grounded, 16, self.record_bytes() as u32];
        for (at, value) in words.into_iter().chain([self.modality as u32]).enumerate() {
            bytes[8 + 4 * at..][..4].copy_from_slice(&value.to_le_bytes());
        }
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
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
            return Err(crate::fault::damaged_rows(what("header"), found, format!("{HEADER_BYTES} bytes")));
        };
        if bytes[..8] != MAGIC {
            let found = format!("\"{}\"", bytes[..8].escape_ascii());
            return Err(crate::fault::damaged_rows(what("first bytes"), found, "\"GXNROWS\\x00\""));
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(8) != ROWS_VERSION {
            return Err(Error::unsupported(what("version"), word(8).to_string(), ROWS_VERSION.to_string())
                .with_remedy(Remedy::IndexAgain));
        }
        let check: [u8; 32] = Sha256::digest(&bytes[..96]).into();
        if bytes[96..] != check {
            let found = hex(check);
            return Err(crate::fault::damaged_rows(what("header checksum"), found, hex(&bytes[96..])));
        }
        let modality = match word(28) {
            0 => Modality::Image,
            1 => Modality::Text,
            other => return Err(crate::fault::damaged_rows(what("modality"), other.to_string(), "0 or 1")),
        };
        let number = u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes"));
        let header = Self { dims_abstract: word(12), dims_grounded: word(16), modality, number };
        let (widest, record) = (1 << 24, u64::from(word(24)));
        let sane = (1..=widest).contains(&header.dims_abstract) && header.dims_grounded <= widest;
        if word(20) != 16 || !sane || record != header.record_bytes() as u64 {
            let found = format!("{} + {} values of {} bits in {record} bytes", word(12), word(16), word(20));
            return Err(crate::fault::damaged_rows(
                what("row layout"),
                found,
                "at least one value of 16 bits, none left over",
            ));
        }
        Ok(header)
    }

    /// Values of a row.
    pub fn dims(&self) -> usize {
        self.dims_abstract as usize + self.dims_grounded as usize
    }

    /// Bytes from one row to the next.
    pub fn record_bytes(&self) -> usize {
        (self.dims() * 2 + TRAILER_BYTES).next_multiple_of(ALIGN)
    }

    /// Length of a file of `rows` rows; `None` if no file can be so long.
    pub fn file_bytes(&self, rows: u64) -> Option<u64> {
        rows.checked_mul(self.record_bytes() as u64)?.checked_add(HEADER_BYTES as u64)
    }

    /// Refuses a header that is not `expected`, the one in the catalogue.
    pub(crate) fn require(&self, expected: &Self, name: &Path) -> Result<()> {
        if self == expected {
            return Ok(());
        }
        let show = |h: &Self| {
            format!(
                "file {} of {} with {} + {} values",
                h.number,
                h.modality.plural(),
                h.dims_abstract,
                h.dims_grounded
            )
        };
        let what = name.display().to_string();
        Err(crate::fault::damaged_rows(what, show(self), show(expected)))
    }
}

/// Writes the record of `row` over `record`, which has its length; `id` is for messages.
pub(crate) fn encode_record(record: &mut [u8], id: &str, row: &[f32], dims: usize) -> Result<()> {
    let what = || format!("embedding of {id}");
    if row.len() != dims {
        return Err(Error::invalid(what(), format!("{} values", row.len()), format!("{dims} values")));
    }
    record.fill(0);
    let half: &mut [f16] = bytemuck::cast_slice_mut(record);
    half[..dims].convert_from_f32_slice(row);
    if let Some(at) = half[..dims].iter().position(|v| !v.is_finite()) {
        return Err(not_finite(id, row, at));
    }
    let inverse = inverse_length(&half[..dims]);
    let (sum_at, length_at) = (record.len() - 8, record.len() - TRAILER_BYTES);
    record[length_at..length_at + 4].copy_from_slice(&inverse.to_le_bytes());
    let sum = record_sum(record);
    record[sum_at..].copy_from_slice(&sum);
    Ok(())
}

/// The value of `row` at place `at` is beyond f16; `id` is for messages.
pub(crate) fn not_finite(id: &str, row: &[f32], at: usize) -> Error {
    let expected = "a finite number within ±65504, the range of f16";
    Error::invalid(format!("embedding of {id}"), format!("{} at place {at}", row[at]), expected)
        .with_hint("the encoder returned an unusable vector: check the model's weights and this item")
}

/// What the last 8 bytes of a sound record are.
fn record_sum(record: &[u8]) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(&record[..record.len() - 8]).into();
    *digest.first_chunk().expect("32 bytes hold 8")
}

/// The chain after one more record, or its checksum alone.
pub(crate) fn chained(chain: Chain, record: &[u8]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(chain);
    hash.update(&record[record.len() - 8..]);
    hash.finalize().into()
}

/// The adopted rows of a row file, mapped into memory.
#[derive(Debug)]
pub struct Segment {
    map: Mmap,
    header: Header,
    rows: usize,
}

impl Segment {
    /// Maps the first `rows` rows of `path` and checks its header and that it is long enough; checksums are left to
    /// [`Index::verify`](crate::Index::verify). What lies after those rows belongs to a writer.
    ///
    /// # Errors
    /// If the file cannot be read, is no row file of this version, or has fewer rows.
    pub fn open(path: &Path, rows: u64) -> Result<Self> {
        let open = File::open(path).map_err(|e| Error::io("cannot open", path, e));
        let file = open.map_err(|error| error.with_remedy(Remedy::RepairIndex))?;
        let found = file.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
        let start = (found as usize).min(HEADER_BYTES);
        // SAFETY: an index never changes bytes of a row file that were adopted, nor cuts them; it only removes whole
        // files, which leaves the mapping alive. Programs that do so all the same are outside this promise.
        let map = |len| unsafe { MmapOptions::new().len(len).map(&file) }.map_err(|e| Error::io("cannot map", path, e));
        // A mapping of nothing is refused by some systems.
        let header = if start == 0 { Header::parse(&[], path)? } else { Header::parse(&map(start)?, path)? };
        let least = header.file_bytes(rows).unwrap_or(u64::MAX);
        check_length(path, found, least)?;
        Ok(Self { map: map(least as usize)?, header, rows: rows as usize })
    }

    /// The file's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All records; see [`Segment::stride`].
    pub fn values(&self) -> &[f16] {
        // A mapping starts at a page and the header is even, so the rows are aligned.
        bytemuck::cast_slice(&self.map[HEADER_BYTES..])
    }

    /// Values from one row to the next.
    pub fn stride(&self) -> usize {
        self.header.record_bytes() / 2
    }

    /// A row, which must exist.
    pub fn row(&self, row: usize) -> &[f16] {
        &self.values()[row * self.stride()..][..self.header.dims()]
    }

    /// 1 / ‖row‖ of a row, which must exist; 0 for a zero row.
    pub fn inverse_length(&self, row: usize) -> f32 {
        stored_inverse_length(&self.values()[row * self.stride()..][..self.stride()])
    }

    /// A record as it lies on disk.
    pub(crate) fn record(&self, row: usize) -> &[u8] {
        let bytes = self.header.record_bytes();
        &self.map[HEADER_BYTES + row * bytes..][..bytes]
    }

    /// Compares every row with its checksum, and all of them with `chain`.
    ///
    /// # Errors
    /// If a row was damaged, or rows are in the wrong place; the error names the first.
    pub(crate) fn verify(&self, chain: &Chain, path: &Path) -> Result<()> {
        let mut found = [0; 32];
        for row in 0..self.rows {
            let record = self.record(row);
            let sum = record_sum(record);
            if record[record.len() - 8..] != sum {
                let what = format!("checksum of row {row} of {}", path.display());
                let expected = hex(&record[record.len() - 8..]);
                return Err(crate::fault::damaged_rows(what, hex(sum), expected));
            }
            found = chained(found, &sum);
        }
        if found != *chain {
            let what = format!("checksum of {}", path.display());
            return Err(crate::fault::damaged_rows(what, hex(found), hex(chain)));
        }
        Ok(())
    }

    /// The rows that are not what was written. Where the checksums of rows and that of all of them, `chain`, contradict each
    /// other, any row may be the wrong one, and all are returned.
    pub(crate) fn damaged_rows(&self, chain: &Chain) -> Vec<usize> {
        let (mut stored, mut computed, mut damaged) = ([0; 32], [0; 32], Vec::new());
        for row in 0..self.rows {
            let record = self.record(row);
            let (own, sum) = (&record[record.len() - 8..], record_sum(record));
            if *own != sum {
                damaged.push(row);
            }
            (stored, computed) = (chained(stored, own), chained(computed, &sum));
        }
        if stored == *chain || computed == *chain { damaged } else { (0..self.rows).collect() }
    }
}

/// 1 / ‖row‖ of a whole record.
pub(crate) fn stored_inverse_length(record: &[f16]) -> f32 {
    let at = record.len() - TRAILER_BYTES / 2;
    f32::from_bits(u32::from(record[at].to_bits()) | u32::from(record[at + 1].to_bits()) << 16)
}
