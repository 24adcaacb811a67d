//! A file of 8-bit codes of a row file's rows, [derived](crate::derived) of it: half the bytes to read, to find
//! candidates by.
//!
//! Its kind is `GXNCODE\0` with 8 bits. Bytes 24..28 of the header are the bytes of a record, u32; bytes 48..56 the steps
//! of h and of l, f32: a code c stands for c · step. The records follow, codes and zeros up to a multiple of 64 bytes,
//! then 1 / ‖row‖ of every row as f32.

use crate::derived::{self, Body, DERIVED, Derived, Kind};
use crate::file::check_length;
use crate::kernel::MOST_COLUMNS;
use crate::segment::{HEADER_BYTES, Header, Segment};
use gxn_base::{Error, Result};
use half::f16;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;

const ALIGN: usize = 64;
/// Rows coded at once.
const BATCH: usize = 4096;
/// Share of the rows whose largest value must fit the codes; larger values of the others are cut to the largest code.
const FITTING: f64 = 0.999;
const LARGEST: f32 = 127.0;

/// The codes of the first rows of a row file, mapped into memory.
#[derive(Debug)]
pub(crate) struct Codes {
    file: Derived,
    header: Header,
    /// Of h and of l.
    pub(crate) steps: [f32; 2],
}

impl Codes {
    /// Opens the codes at `path` if they are of `segment`.
    pub(crate) fn open(path: &Path, segment: &Segment) -> Result<Self> {
        let header = segment.header().clone();
        let file = Derived::open(path, segment, kind(&header))?;
        let steps: [f32; 2] = bytemuck::cast(file.own);
        if !steps.iter().all(|step| step.is_finite() && *step > 0.0) {
            let what = format!("header of {}", path.display());
            return Err(Error::invalid(what, format!("steps {steps:?}"), "steps above 0").with_hint(DERIVED));
        }
        // No overflow: there are at least as many rows, which are longer.
        let least = HEADER_BYTES + file.rows * (record_bytes(header.dims()) + 4);
        let found = HEADER_BYTES + file.body().len();
        check_length(path, found as u64, least as u64).map_err(|e| e.with_hint(DERIVED))?;
        Ok(Self { file, header, steps })
    }

    /// How many of the row file's rows have codes.
    pub(crate) fn len(&self) -> usize {
        self.file.rows
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
        bytemuck::cast_slice(&self.file.body()[rows.start * stride..rows.end * stride])
    }

    /// 1 / ‖row‖.
    pub(crate) fn inverse_length(&self, row: usize) -> f32 {
        let at = self.len() * self.stride() + row * 4;
        f32::from_le_bytes(*self.file.body()[at..].first_chunk().expect("the length was checked"))
    }

    /// Compares everything with its checksum.
    pub(crate) fn verify(&self, path: &Path) -> Result<()> {
        self.file.verify(path)
    }
}

fn record_bytes(dims: usize) -> usize {
    dims.next_multiple_of(ALIGN)
}

fn kind(source: &Header) -> Kind {
    Kind { magic: *b"GXNCODE\0", what: "codes", bits: 8, own: record_bytes(source.dims()) as u32 }
}

/// True if rows of this width can have codes.
pub(crate) fn can_be_coded(dims: usize) -> bool {
    dims <= MOST_COLUMNS
}

/// Writes the codes of all rows of `segment` to `path`, replacing what is there.
pub(crate) fn write(path: &Path, segment: &Segment) -> Result<()> {
    derived::write(path, segment, kind(segment.header()), |body| write_body(body, segment))
}

fn write_body(body: &mut Body, segment: &Segment) -> std::io::Result<[u8; 8]> {
    let (split, dims) = (segment.header().dims_abstract as usize, segment.header().dims());
    let steps = [step(segment, 0..split), step(segment, split..dims)];
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
        body.put(bytemuck::cast_slice(records))?;
    }
    for row in 0..segment.len() {
        body.put(&segment.inverse_length(row).to_le_bytes())?;
    }
    Ok(bytemuck::cast(steps))
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
    use gxn_base::Modality;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use std::fs;
    use std::path::PathBuf;

    fn segment(rows: &[[f32; 3]]) -> (tempfile::TempDir, PathBuf, Segment) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images-7.f16");
        let header = Header { dims_abstract: 2, dims_grounded: 1, side: Modality::Image, number: 7 };
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
            let mut header = derived::head(kind(segment.header()), segment.header());
            header[40..48].copy_from_slice(&rows.to_le_bytes());
            header[48..56].copy_from_slice(&steps);
            let check = Sha256::digest(&header[..96]);
            header[96..].copy_from_slice(&check);
            fs::write(&path, [&header[..], &bytes].concat()).unwrap();
            let _ = Codes::open(&path, &segment);
        }
    }
}
