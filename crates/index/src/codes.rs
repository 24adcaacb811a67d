//! A file of 8-bit codes of a row file's rows, derived of it: half the bytes to read, to find candidates by.
//!
//! It may be missing, damaged or behind; search then reads the rows themselves. It is written whole. All numbers are
//! little-endian. Header of version 1, 128 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `GXNCODE\0` |
//! | 8..12 | version, u32 |
//! | 12..16 | values of h, u32 |
//! | 16..20 | values of l, u32 |
//! | 20..24 | bits of a value, u32: 8 |
//! | 24..28 | bytes of a record, u32 |
//! | 28..32 | side, u32: 0 images, 1 captions |
//! | 32..40 | number of the row file, u64 |
//! | 40..48 | rows, u64: the first ones of the row file |
//! | 48..56 | steps of h and of l, f32: a code c stands for c · step |
//! | 56..64 | the last 8 bytes of the last of these rows |
//! | 64..96 | SHA-256 of all after the header |
//! | 96..128 | SHA-256 of bytes 0..96 |
//!
//! The records follow, codes and zeros up to a multiple of 64 bytes, then 1 / ‖row‖ of every row as f32.

use crate::error::{Error, Result};
use crate::file::{check_length, hex, sync_dir};
use crate::kernel::MOST_COLUMNS;
use crate::segment::{HEADER_BYTES, Header, Segment};
use half::f16;
use memmap2::Mmap;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

const MAGIC: [u8; 8] = *b"GXNCODE\0";
const VERSION: u32 = 1;
const ALIGN: usize = 64;
/// Rows coded at once.
const BATCH: usize = 4096;
/// Share of the rows whose largest value must fit the codes; larger values of the others are cut to the largest code.
const FITTING: f64 = 0.999;
const LARGEST: f32 = 127.0;

/// What a damaged file of codes means.
pub(crate) const DERIVED: &str = "the file is derived of the rows: remove it, the next `gxn index` makes it again";

/// The codes of the first rows of a row file, mapped into memory.
#[derive(Debug)]
pub(crate) struct Codes {
    map: Mmap,
    header: Header,
    rows: usize,
    /// Of h and of l.
    pub(crate) steps: [f32; 2],
    last: [u8; 8],
    body: [u8; 32],
}

impl Codes {
    /// Opens the codes at `path` if they are of `segment`.
    pub(crate) fn open(path: &Path, segment: &Segment) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        // SAFETY: the file was put in place whole; it is removed but never changed.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", path, e))?;
        let (rows, steps, last, body) = parse(&map, segment.header(), path)?;
        let record = record_bytes(segment.header().dims()) as u64;
        let least = rows.checked_mul(record + 4).and_then(|n| n.checked_add(HEADER_BYTES as u64)).unwrap_or(u64::MAX);
        check_length(path, map.len() as u64, least).map_err(|e| e.with_hint(DERIVED))?;
        let codes = Self { map, header: segment.header().clone(), rows: rows as usize, steps, last, body };
        let there = codes.rows <= segment.len();
        if !there || codes.rows > 0 && segment.record(codes.rows - 1).last_chunk() != Some(&codes.last) {
            let what = path.display().to_string();
            return Err(
                Error::unexpected(what, "codes of other rows", "codes of the rows beside it").with_hint(DERIVED)
            );
        }
        Ok(codes)
    }

    /// How many of the row file's rows have codes.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Bytes from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        record_bytes(self.header.dims())
    }

    pub(crate) fn dims(&self) -> usize {
        self.header.dims()
    }

    /// Values of h.
    pub(crate) fn split(&self) -> usize {
        self.header.dims_abstract as usize
    }

    /// The records of some rows.
    pub(crate) fn values(&self, rows: Range<usize>) -> &[i8] {
        let stride = self.stride();
        bytemuck::cast_slice(&self.map[HEADER_BYTES + rows.start * stride..HEADER_BYTES + rows.end * stride])
    }

    /// 1 / ‖row‖.
    pub(crate) fn inverse_length(&self, row: usize) -> f32 {
        let at = HEADER_BYTES + self.rows * self.stride() + row * 4;
        f32::from_le_bytes(*self.map[at..].first_chunk().expect("the length was checked"))
    }

    /// Compares everything with its checksum.
    pub(crate) fn verify(&self, path: &Path) -> Result<()> {
        let found: [u8; 32] = Sha256::digest(&self.map[HEADER_BYTES..]).into();
        if found == self.body {
            return Ok(());
        }
        let what = format!("checksum of {}", path.display());
        Err(Error::unexpected(what, hex(&found), hex(&self.body)).with_hint(DERIVED))
    }
}

fn record_bytes(dims: usize) -> usize {
    dims.next_multiple_of(ALIGN)
}

type Parsed = (u64, [f32; 2], [u8; 8], [u8; 32]);

/// Rows, steps, end of the last row, checksum of the body.
fn parse(bytes: &[u8], source: &Header, name: &Path) -> Result<Parsed> {
    let wrong = |found: String, expected: &str| {
        Err(Error::unexpected(format!("header of {}", name.display()), found, expected).with_hint(DERIVED))
    };
    let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
        return wrong(format!("{} bytes", bytes.len()), "128 bytes");
    };
    let check: [u8; 32] = Sha256::digest(&bytes[..96]).into();
    if bytes[..8] != MAGIC || bytes[96..] != check {
        return wrong(format!("\"{}\"", bytes[..8].escape_ascii()), "\"GXNCODE\\x00\" and a checksum that agrees");
    }
    if bytes[8..40] != head(source)[8..40] {
        return wrong("another version, width or file".into(), "that of the row file beside it");
    }
    let part = |at: usize| -> [u8; 8] { *bytes[at..].first_chunk().expect("the header is longer") };
    let step = |at: usize| f32::from_le_bytes(*bytes[at..].first_chunk().expect("the header is longer"));
    let steps = [step(48), step(52)];
    if !steps.iter().all(|step| step.is_finite() && *step > 0.0) {
        return wrong(format!("steps {steps:?}"), "steps above 0");
    }
    Ok((u64::from_le_bytes(part(40)), steps, part(56), *bytes[64..].first_chunk().expect("the header is longer")))
}

/// A header without rows, steps and checksums.
fn head(source: &Header) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    let record = record_bytes(source.dims()) as u32;
    let words = [VERSION, source.dims_abstract, source.dims_grounded, 8, record, source.side as u32];
    for (at, word) in words.into_iter().enumerate() {
        bytes[8 + 4 * at..][..4].copy_from_slice(&word.to_le_bytes());
    }
    bytes[32..40].copy_from_slice(&source.number.to_le_bytes());
    bytes
}

/// True if rows of this width can have codes.
pub(crate) fn can_be_coded(dims: usize) -> bool {
    dims <= MOST_COLUMNS
}

/// Writes the codes of all rows of `segment` to `path`, replacing what is there.
pub(crate) fn write(path: &Path, segment: &Segment) -> Result<()> {
    let new = path.with_extension("i8.new");
    let done = write_new(&new, segment).map_err(|e| Error::io("cannot write", &new, e));
    if let Err(error) = done {
        // Half a file of codes helps nobody, and the disk may be full.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    fs::rename(&new, path).map_err(|e| Error::io("cannot put in place", path, e))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn write_new(path: &Path, segment: &Segment) -> std::io::Result<()> {
    let header = segment.header();
    let (split, dims) = (header.dims_abstract as usize, header.dims());
    let steps = [step(segment, 0..split), step(segment, split..dims)];
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(&[0; HEADER_BYTES])?;
    let mut hash = Sha256::new();
    let stride = record_bytes(dims);
    let mut records = vec![0i8; BATCH * stride];
    for first in (0..segment.len()).step_by(BATCH) {
        let rows = first..segment.len().min(first + BATCH);
        let records = &mut records[..rows.len() * stride];
        records.par_chunks_mut(stride).zip(rows).for_each(|(record, row)| {
            let values = segment.row(row);
            for (level, columns) in [0..split, split..dims].into_iter().enumerate() {
                for (code, value) in record[columns.clone()].iter_mut().zip(&values[columns]) {
                    *code = encode(value.to_f32_const(), steps[level]);
                }
            }
        });
        hash.update(bytemuck::cast_slice::<i8, u8>(records));
        out.write_all(bytemuck::cast_slice(records))?;
    }
    for row in 0..segment.len() {
        let inverse = segment.inverse_length(row).to_le_bytes();
        hash.update(inverse);
        out.write_all(&inverse)?;
    }
    let mut bytes = head(header);
    bytes[40..48].copy_from_slice(&(segment.len() as u64).to_le_bytes());
    bytes[48..52].copy_from_slice(&steps[0].to_le_bytes());
    bytes[52..56].copy_from_slice(&steps[1].to_le_bytes());
    if let Some(last) = segment.len().checked_sub(1) {
        let record = segment.record(last);
        bytes[56..64].copy_from_slice(&record[record.len() - 8..]);
    }
    bytes[64..96].copy_from_slice(&hash.finalize());
    let check = Sha256::digest(&bytes[..96]);
    bytes[96..].copy_from_slice(&check);
    out.flush()?;
    let mut file = out.into_inner()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&bytes)?;
    file.sync_all()
}

/// The code nearest to a value.
pub(crate) fn encode(value: f32, step: f32) -> i8 {
    // Conversion cuts to the range of the type; the smallest code is left unused, so that codes are symmetric.
    (value / step).round().max(-LARGEST) as i8
}

/// The step that fits [`FITTING`] of the rows.
fn step(segment: &Segment, columns: Range<usize>) -> f32 {
    let largest = |row: usize| {
        let values: &[f16] = &segment.row(row)[columns.clone()];
        values.iter().map(|v| v.to_f32_const().abs()).fold(0.0, f32::max)
    };
    let mut largest: Vec<f32> = (0..segment.len()).into_par_iter().map(largest).collect();
    if largest.is_empty() {
        return 1.0;
    }
    let at = ((largest.len() as f64 * FITTING).ceil() as usize).clamp(1, largest.len()) - 1;
    let (_, fitting, _) = largest.select_nth_unstable_by(at, f32::total_cmp);
    if *fitting > 0.0 { (*fitting / LARGEST).max(f32::MIN_POSITIVE) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appender::Appender;
    use crate::metric::Side;
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn segment(rows: &[[f32; 3]]) -> (tempfile::TempDir, PathBuf, Segment) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images-7.f16");
        let header = Header { dims_abstract: 2, dims_grounded: 1, side: Side::Image, number: 7 };
        let mut file = Appender::create(path.clone(), header).unwrap();
        rows.iter().for_each(|row| file.push("a", row).unwrap());
        file.sync().unwrap();
        let segment = Segment::open(&path, rows.len() as u64).unwrap();
        (dir, path.with_extension("i8"), segment)
    }

    /// Largest of h 254 → step 2; of l 12.7 → step 0.1.
    #[test]
    fn worked_numbers() {
        let (_dir, path, rows) = segment(&[[254.0, -100.0, 0.0], [3.0, 1.0, 12.7], [0.0, -254.0, -12.7]]);
        write(&path, &rows).unwrap();
        let codes = Codes::open(&path, &rows).unwrap();
        codes.verify(&path).unwrap();
        assert_eq!((codes.len(), codes.stride(), codes.split(), codes.dims()), (3, 64, 2, 3));
        assert!((codes.steps[0] - 2.0).abs() < 1e-6 && (codes.steps[1] - 0.1).abs() < 1e-3);
        let all = codes.values(0..3);
        assert_eq!([&all[..4], &all[64..67], &all[128..131]].concat(), [127, -50, 0, 0, 2, 1, 127, 0, -127, -127]);
        assert_eq!(codes.inverse_length(1), rows.inverse_length(1));
    }

    #[test]
    fn rows_may_be_none_or_zero() {
        for rows in [&[][..], &[[0.0; 3]]] {
            let (_dir, path, rows) = segment(rows);
            write(&path, &rows).unwrap();
            assert_eq!(Codes::open(&path, &rows).unwrap().len(), rows.len());
        }
    }

    #[test]
    fn damage_and_other_rows_are_noticed() {
        let (_dir, path, rows) = segment(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        write(&path, &rows).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            assert!(Codes::open(&path, &rows).and_then(|codes| codes.verify(&path)).is_err(), "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(Codes::open(&path, &rows).is_err(), "cut at {at}");
        }
        fs::write(&path, &good).unwrap();
        Codes::open(&path, &rows).unwrap();
        for others in [&[[1.0, 2.0, 3.0]][..], &[[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]]] {
            let (_dir, _, others) = segment(others);
            let error = Codes::open(&path, &others).unwrap_err();
            assert!(error.to_string().contains("codes of other rows"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_header_gives_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300), rows in any::<u64>(), steps in any::<[u8; 8]>()) {
            let (_dir, path, segment) = segment(&[[1.0, 2.0, 3.0]]);
            fs::write(&path, &bytes).unwrap();
            prop_assert!(Codes::open(&path, &segment).is_err());
            // With all checks in order.
            let mut header = head(segment.header());
            header[40..48].copy_from_slice(&rows.to_le_bytes());
            header[48..56].copy_from_slice(&steps);
            let check = Sha256::digest(&header[..96]);
            header[96..].copy_from_slice(&check);
            fs::write(&path, [&header[..], &bytes].concat()).unwrap();
            let _ = Codes::open(&path, &segment);
        }
    }
}
