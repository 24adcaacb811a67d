//! NumPy's `.npy` files: matrices of floats in, `f32` out.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, versions 1 to 3.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use half::f16;

use crate::floats::Floats;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// A row-major matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyMatrix {
    /// Number of rows.
    pub rows: usize,
    /// Values in a row.
    pub dim: usize,
    /// `[rows, dim]`.
    pub values: Floats,
}

/// Reads a two-dimensional C-order array of little-endian `f16`, `f32` or `f64`. Values of `f32` stay in the file.
///
/// # Errors
/// When the file cannot be read, is another kind of array, is cut short, or has something behind its data.
pub fn read_npy(path: &Path) -> Result<NpyMatrix> {
    let fail = |source| Error::io("cannot read", path, source);
    let file = std::fs::File::open(path).map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    if !meta.is_file() || meta.len() == 0 {
        // A pipe is read to its end.
        let bytes = std::fs::read(path).map_err(fail)?;
        return Ok(parse(&bytes, &path.display().to_string())?.matrix(&bytes));
    }
    // SAFETY: as in `Floats::of_file`.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(fail)?;
    let layout = parse(&map, &path.display().to_string())?;
    if layout.width == size_of::<f32>() {
        let Layout { rows, dim, data, .. } = layout;
        return Ok(NpyMatrix { rows, dim, values: Floats::of_map(map, data) });
    }
    Ok(layout.matrix(&map))
}

/// What the header of a file says.
#[derive(Debug)]
struct Layout {
    rows: usize,
    dim: usize,
    /// Bytes of a value.
    width: usize,
    /// Where the values are.
    data: Range<usize>,
}

impl Layout {
    /// The values of the file's `bytes`, read.
    fn matrix(self, bytes: &[u8]) -> NpyMatrix {
        let data = &bytes[self.data];
        let values: Vec<f32> = match self.width {
            2 => data.as_chunks::<2>().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
            4 => data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            _ => data.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
        };
        NpyMatrix { rows: self.rows, dim: self.dim, values: values.into() }
    }
}

fn parse(bytes: &[u8], name: &str) -> Result<Layout> {
    let unlike = |found: &str| {
        Error::invalid(name, found, "a NumPy array (.npy)").with_hint("write it with numpy.save(path, array)")
    };
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(unlike("a zip archive, perhaps .npz"));
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| unlike("other bytes at its start"))?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (u32::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        [version @ (0 | 4..), ..] => return Err(unlike(&format!("format version {version}"))),
        _ => return Err(unlike("a file cut short in its header")),
    };
    let (header, data) =
        rest.split_at_checked(length as usize).ok_or_else(|| unlike("a file cut short in its header"))?;
    let header = String::from_utf8_lossy(header);
    let field = |key: &str| {
        let found = header.split_once(&format!("'{key}':")).map(|(_, value)| value.trim_start());
        found.ok_or_else(|| unlike(&format!("a header without {key}")))
    };
    if !field("fortran_order")?.starts_with("False") {
        return Err(Error::unsupported(format!("{name}: layout"), "Fortran order", "C order")
            .with_hint("write it with numpy.save(path, numpy.ascontiguousarray(array))"));
    }
    let descr = field("descr")?;
    let descr = descr.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or("a structured type");
    let width = match descr {
        "<f2" => 2,
        "<f4" => 4,
        "<f8" => 8,
        _ => {
            return Err(Error::unsupported(format!("{name}: values"), format!("`{descr}`"), "`<f2`, `<f4` or `<f8`")
                .with_hint("convert with array.astype('<f4')"));
        }
    };
    let shape = field("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(shape, _)| shape);
    let sides: Option<Vec<usize>> =
        shape.split(',').map(str::trim).filter(|side| !side.is_empty()).map(|side| side.parse().ok()).collect();
    let Some([rows, dim]) = sides.as_deref().and_then(|sides| <[usize; 2]>::try_from(sides).ok()) else {
        let expected = "(rows, values in a row)";
        return Err(Error::invalid(format!("{name}: shape"), format!("({shape})"), expected)
            .with_hint("one row for each item: array.reshape(len(array), -1)"));
    };
    if rows == 0 || dim == 0 {
        return Err(Error::invalid(format!("{name}: shape"), format!("({rows}, {dim})"), "at least one row and value"));
    }
    let expected = rows.checked_mul(dim).and_then(|count| count.checked_mul(width));
    if expected != Some(data.len()) {
        let expected = format!("{rows} × {dim} × {width} bytes");
        return Err(Error::invalid(format!("{name}: data"), format!("{} bytes", data.len()), expected)
            .with_hint("the file is cut short or damaged: write it again"));
    }
    Ok(Layout { rows, dim, width, data: bytes.len() - data.len()..bytes.len() })
}

/// Writes rows of `dim` values as a version 1 file of `<f4`; it appears whole or not at all.
///
/// # Errors
/// When the values do not fill whole rows, or the file cannot be written.
pub fn write_npy(path: &Path, values: &[f32], dim: usize) -> Result<()> {
    if dim == 0 || !values.len().is_multiple_of(dim) {
        let found = format!("{} values", values.len());
        return Err(Error::invalid(path.display().to_string(), found, format!("whole rows of {dim}")));
    }
    write_npy_rows(path, values.len() / dim, dim, values.chunks_exact(dim).map(|row| Ok(row.to_vec())))
}

/// [`write_npy`] for `count` rows that need not be in memory together.
///
/// # Errors
/// When there are more or fewer rows, one has another width or is an error, or the file cannot be written.
pub fn write_npy_rows(
    path: &Path,
    count: usize,
    dim: usize,
    rows: impl Iterator<Item = Result<Vec<f32>>>,
) -> Result<()> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {dim}), }}").into_bytes();
    // The data starts at a multiple of 64; the header ends with a line feed.
    let start = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64);
    header.resize(start - MAGIC.len() - 5, b' ');
    header.push(b'\n');
    let mut failed = None;
    let written = write_atomically(path, |file| {
        file.write_all(MAGIC)?;
        file.write_all(&[1, 0])?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(&header)?;
        let mut seen = 0;
        // The reason is kept: the file must not appear.
        let mut refuse = |error: Error| {
            failed = Some(error);
            std::io::Error::other("a row is missing")
        };
        for row in rows {
            let row = row.map_err(&mut refuse)?;
            if row.len() != dim || seen == count {
                let found = format!("row {seen} of {} values", row.len());
                let expected = format!("{count} rows of {dim} values");
                return Err(refuse(Error::invalid(path.display().to_string(), found, expected)));
            }
            file.write_all(&row.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
            seen += 1;
        }
        if seen != count {
            let found = format!("{seen} rows");
            return Err(refuse(Error::invalid(path.display().to_string(), found, format!("{count}"))));
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    /// 1.0 and -0.5 in the three widths: f16 3C00 B800, f32 3F800000 BF000000, f64 3FF0… BFE0….
    #[test]
    fn widths_and_versions() {
        let wide: Vec<u8> = [1.0f64, -0.5].iter().flat_map(|value| value.to_le_bytes()).collect();
        let cases: [(&str, &[u8]); 3] =
            [("<f2", &[0, 0x3c, 0, 0xb8]), ("<f4", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf]), ("<f8", &wide)];
        for (version, (descr, data)) in [1, 2, 3].into_iter().zip(cases) {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, 2), }}   \n");
            let bytes = file(version, &header, data);
            let found = parse(&bytes, "x").unwrap().matrix(&bytes);
            assert_eq!(found, NpyMatrix { rows: 1, dim: 2, values: vec![1.0, -0.5].into() });
        }
    }

    #[test]
    fn written_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write_npy(&path, &[1.0, 2.0, 3.0, 4.5, -5.0, 6.0], 3).unwrap();
        assert_eq!(
            read_npy(&path).unwrap(),
            NpyMatrix { rows: 2, dim: 3, values: vec![1.0, 2.0, 3.0, 4.5, -5.0, 6.0].into() }
        );
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 128 + 24);
        assert_eq!(bytes[127], b'\n');
        assert!(write_npy(&path, &[1.0; 5], 3).is_err());
        let before = std::fs::read(&path).unwrap();
        let rows = |widths: &[usize]| widths.iter().map(|&n| Ok(vec![0.0; n])).collect::<Vec<Result<Vec<f32>>>>();
        for (widths, reason) in [(&[3][..], "found 1 rows"), (&[3, 3, 3], "row 2 of 3"), (&[3, 2], "row 1 of 2 values")]
        {
            let error = write_npy_rows(&path, 2, 3, rows(widths).into_iter()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before, "the file that was there stays");
    }

    #[test]
    fn bad_files_are_explained() {
        let refused = |bytes: &[u8]| parse(bytes, "a.npy").unwrap_err().to_string();
        let header = |descr: &str, order: &str, shape: &str| {
            file(1, &format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"), &[0; 8])
        };
        assert!(refused(b"hello").contains("other bytes"));
        assert!(refused(b"PK\x03\x04..").contains(".npz"));
        assert!(refused(b"\x93NUMPY\x01\x00\xff\xffshort").contains("cut short in its header"));
        assert!(refused(b"\x93NUMPY\x07\x00\xff\xff").contains("format version 7"));
        assert!(refused(&header("'<f4'", "True", "(1, 2)")).contains("Fortran order"));
        assert!(refused(&header("'>f4'", "False", "(1, 2)")).contains("`>f4`"));
        assert!(refused(&header("'|O'", "False", "(1, 2)")).contains("`|O`"));
        assert!(refused(&header("[('a', '<f4')]", "False", "(1, 2)")).contains("a structured type"));
        assert!(refused(&header("'<f4'", "False", "(2,)")).contains("found (2,)"));
        assert!(refused(&header("'<f4'", "False", "(1, 2, 1)")).contains("expected (rows, values in a row)"));
        assert!(refused(&header("'<f4'", "False", "(0, 2)")).contains("at least one row"));
        assert!(refused(&header("'<f4'", "False", "(2, 2)")).contains("found 8 bytes, expected 2 × 2 × 4 bytes"));
        assert!(refused(&header("'<f4'", "False", "(18446744073709551615, 2)")).contains("found 8 bytes"));
        assert!(refused(&file(1, "{}", &[])).contains("without fortran_order"));
    }
}
