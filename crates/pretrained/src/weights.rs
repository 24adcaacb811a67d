//! [`Weights`]: the tensors of one or more safetensors files, by name.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gxn_base::{Error, Result};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

/// The tensors of an encoder. Files are mapped, not read: a tensor costs memory when it is used.
#[derive(Debug)]
pub(crate) struct Weights {
    files: Vec<Arc<Shard>>,
    /// What comes before every name, such as `bert.`.
    prefix: String,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    tensors: HashMap<String, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Bytes of the file.
    range: std::ops::Range<usize>,
}

impl Weights {
    /// The tensors of `paths`.
    ///
    /// # Errors
    /// A file that cannot be opened or is no safetensors file.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let files = paths.iter().map(|path| Shard::open(path).map(Arc::new)).collect::<Result<_>>()?;
        Ok(Self { files, prefix: String::new() })
    }

    /// The same tensors by names that lack `prefix`, where `sample` is only there with it.
    pub(crate) fn without_prefix(mut self, prefix: &str, sample: &str) -> Self {
        if !self.contains(sample) && self.contains(&format!("{prefix}{sample}")) {
            prefix.clone_into(&mut self.prefix);
        }
        self
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<(&Arc<Shard>, &Place)> {
        let name = format!("{}{name}", self.prefix);
        self.files.iter().find_map(|file| Some((file, file.tensors.get(&name)?)))
    }

    /// The tensor `name`, whose shape must be `shape`.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape, or of numbers other than f32, f16 and bf16.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let Some((file, place)) = self.find(name) else {
            let paths: Vec<_> = self.files.iter().map(|file| file.path.display().to_string()).collect();
            let expected = format!("{}{name} {shape:?}", self.prefix);
            return Err(Error::not_found(paths.join(", "), "no tensor of that name", expected)
                .with_hint("config.json and the weights must be of the same model"));
        };
        let what = || format!("{}: tensor {}{name}", file.path.display(), self.prefix);
        if place.shape != shape {
            return Err(Error::invalid(what(), format!("shape {:?}", place.shape), format!("{shape:?}"))
                .with_hint("config.json and the weights must be of the same model"));
        }
        if !matches!(place.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(Error::unsupported(what(), format!("{:?}", place.dtype), "F32, F16 or BF16"));
        }
        Ok(Tensor { file: file.clone(), place: place.clone() })
    }

    /// The values of tensor `name`; see [`Weights::tensor`].
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(self.tensor(name, shape)?.values())
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io("cannot open", path, source))?;
        // SAFETY: the map is only read. Weights are files that nobody changes in place; one that is cut while it is
        // mapped ends the program, as it does for every reader of mapped files.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io("cannot map", path, source))?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|error| {
            Error::invalid(path.display().to_string(), error.to_string(), "a complete safetensors file").with_hint(
                "a small file that begins with \"version https://git-lfs\" is a pointer: fetch the file itself",
            )
        })?;
        let start = header + size_of::<u64>();
        let place = |info: &safetensors::tensor::TensorInfo| Place {
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: start + info.data_offsets.0..start + info.data_offsets.1,
        };
        let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, place(info))).collect();
        Ok(Self { path: path.to_owned(), map, tensors })
    }
}

/// One tensor of a mapped file.
#[derive(Debug)]
pub(crate) struct Tensor {
    file: Arc<Shard>,
    place: Place,
}

impl Tensor {
    /// All values, row by row. The file's pages are given back to the system.
    pub(crate) fn values(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.place.shape.iter().product()];
        self.read(0, &mut out);
        #[cfg(unix)]
        // SAFETY: the map is shared, unwritten and backed by a file: a page that is dropped comes back from there.
        // Advice that is refused costs memory only.
        let _ = unsafe {
            let (offset, len) = (self.place.range.start, self.place.range.len());
            self.file.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len)
        };
        out
    }

    /// Length of the first dimension.
    pub(crate) fn rows(&self) -> usize {
        self.place.shape.first().copied().unwrap_or_default()
    }

    /// Writes row `row`, or `None` where there is none.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) -> Option<()> {
        (row < self.rows()).then(|| self.read(row * out.len(), out))
    }

    /// Writes `out.len()` values from the `first` on.
    fn read(&self, first: usize, out: &mut [f32]) {
        let size = self.place.dtype.bitsize() / 8;
        let bytes = &self.file.map[self.place.range.clone()][first * size..][..out.len() * size];
        match self.place.dtype {
            Dtype::F16 => convert(bytes, out, |bits, to| bytemuck::cast_slice::<_, f16>(bits).convert_to_f32_slice(to)),
            Dtype::BF16 => {
                convert(bytes, out, |bits, to| bytemuck::cast_slice::<_, bf16>(bits).convert_to_f32_slice(to))
            }
            _ => {
                for (to, from) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *to = f32::from_le_bytes(*from);
                }
            }
        }
    }
}

/// Converts 16-bit numbers, which need not be aligned in the file, piece by piece.
fn convert(bytes: &[u8], out: &mut [f32], numbers: impl Fn(&[u16], &mut [f32])) {
    const PIECE: usize = 256;
    for (to, from) in out.chunks_mut(PIECE).zip(bytes.chunks(2 * PIECE)) {
        let mut bits = [0_u16; PIECE];
        for (bits, from) in bits.iter_mut().zip(from.as_chunks::<2>().0) {
            *bits = u16::from_le_bytes(*from);
        }
        numbers(&bits[..to.len()], to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert")
    }

    fn weights() -> Weights {
        Weights::open(&[folder().join("model.safetensors")]).unwrap()
    }

    #[test]
    fn a_tensor_that_is_missing_or_misshapen_is_named() {
        let error = weights().tensor("pooler", &[2, 3]).unwrap_err();
        assert!(
            error.to_string().ends_with("model.safetensors: found no tensor of that name, expected pooler [2, 3]"),
            "{error}"
        );
        let error = weights().tensor("embeddings.LayerNorm.weight", &[8]).unwrap_err();
        let expected = "model.safetensors: tensor embeddings.LayerNorm.weight: found shape [16], expected [8]";
        assert!(error.to_string().ends_with(expected), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_row_is_part_of_its_tensor() {
        let name = "embeddings.word_embeddings.weight";
        let (tensor, values) = (weights().tensor(name, &[30, 16]).unwrap(), weights().values(name, &[30, 16]).unwrap());
        let mut row = [0.0; 16];
        tensor.row(29, &mut row).unwrap();
        assert_eq!(row, values[29 * 16..]);
        assert!(tensor.row(30, &mut row).is_none());
    }

    #[test]
    fn a_cut_file_is_no_safetensors_file() {
        let (temporary, bytes) =
            (tempfile::tempdir().unwrap(), std::fs::read(folder().join("model.safetensors")).unwrap());
        let path = temporary.path().join("model.safetensors");
        for length in [0, 4, 100, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = Weights::open(std::slice::from_ref(&path)).unwrap_err();
            assert!(error.to_string().contains("expected a complete safetensors file"), "{error}");
        }
    }
}
