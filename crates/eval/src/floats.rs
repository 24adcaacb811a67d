//! [`Floats`]: many values, in memory or in a file.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use gxn_base::{Error, Result};
use memmap2::Mmap;

/// `f32` values in memory, or in a mapped file, of which only what is used is read: it may be larger than memory. Copies share them.
#[derive(Clone)]
pub struct Floats(Kept);

#[derive(Clone)]
enum Kept {
    Memory(Arc<[f32]>),
    File(Arc<Mmap>, Range<usize>),
}

impl Floats {
    /// The little-endian values in `bytes` of the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is shorter, or has parts of values there.
    pub fn of_file(path: &Path, bytes: Range<usize>) -> Result<Self> {
        let fail = |error| Error::io("cannot read", path, error);
        let file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        if bytes.is_empty() {
            return Ok(Self::from(Vec::new()));
        }
        if bytes.end as u64 > length || !bytes.len().is_multiple_of(size_of::<f32>()) {
            let (found, expected) =
                (format!("{length} bytes"), format!("values in bytes {} to {}", bytes.start, bytes.end));
            return Err(Error::invalid(path.display().to_string(), found, expected));
        }
        // SAFETY: the map is only read. Files of embeddings are written once; a file that someone changes under the map gives wrong
        // numbers, as it would to any reader.
        let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
        Ok(Self::of_map(map, bytes))
    }

    /// The little-endian values in `bytes` of a mapped file.
    pub(crate) fn of_map(map: Mmap, bytes: Range<usize>) -> Self {
        let is_usable =
            cfg!(target_endian = "little") && bytemuck::try_cast_slice::<u8, f32>(&map[bytes.clone()]).is_ok();
        if is_usable {
            return Self(Kept::File(Arc::new(map), bytes));
        }
        let values = map[bytes].as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value));
        Self::from(values.collect::<Vec<_>>())
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Kept::Memory(values) => values,
            Kept::File(map, bytes) => bytemuck::cast_slice(&map[bytes.clone()]),
        }
    }
}

impl From<Vec<f32>> for Floats {
    fn from(values: Vec<f32>) -> Self {
        Self(Kept::Memory(values.into()))
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Floats {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.iter().take(8)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_file_are_those_that_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let values = [1.5f32, -2.0, 0.25, f32::MIN_POSITIVE];
        let mut bytes = b"head".to_vec();
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes.push(7);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(*Floats::of_file(&path, 4..20).unwrap(), values);
        assert_eq!(*Floats::of_file(&path, 8..16).unwrap(), values[1..3]);
        assert!(Floats::of_file(&path, 9..9).unwrap().is_empty());
        // Bytes that no f32 may start at are copied.
        assert_eq!(Floats::of_file(&path, 1..17).unwrap().len(), 4);
        for bytes in [4..24, 4..19] {
            assert!(Floats::of_file(&path, bytes).is_err());
        }
        assert_eq!(Floats::from(values.to_vec()), Floats::of_file(&path, 4..20).unwrap());
    }
}
