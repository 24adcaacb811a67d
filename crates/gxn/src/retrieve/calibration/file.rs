//! A calibration as a file: two banks as halves, all else as JSON in the header.

use std::collections::HashMap;
use std::path::Path;

use gxn_base::{Error, Remedy, Result};
use gxn_index::{Space, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Calibration, Curves, Direction, Relevance};

/// File in a checkpoint's folder.
pub const CALIBRATION_FILE: &str = "relevance.safetensors";

/// Version of the header: 2 says what counted as relevant in the fit. The first had no number; there own captions did.
const VERSION: u32 = 2;

/// The part of [`Calibration`] that is written as JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(default = "first_version")]
    version: u32,
    #[serde(default = "own")]
    relevance: Relevance,
    space: Space,
    fingerprint: String,
    images: Fitted,
    captions: Fitted,
}

#[derive(Serialize, Deserialize)]
struct Fitted {
    curves: Curves,
    none_below: f32,
}

fn first_version() -> u32 {
    1
}

fn own() -> Relevance {
    Relevance::Own
}

impl Calibration {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let fitted = |d: &Direction| Fitted { curves: d.curves.clone(), none_below: d.none_below };
        let header = Header {
            version: VERSION,
            relevance: self.relevance,
            space: self.space,
            fingerprint: self.fingerprint.clone(),
            images: fitted(&self.images),
            captions: fitted(&self.captions),
        };
        let halves = |bank: &[f32]| -> Vec<u8> { bank.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect() };
        let banks = [("images", halves(&self.images.bank)), ("captions", halves(&self.captions.bank))];
        let dims = self.space.dims();
        let tensors = banks.iter().map(|(name, bytes)| {
            let shape = vec![bytes.len() / 2 / dims, dims];
            (name.to_string(), TensorView::new(Dtype::F16, shape, bytes).expect("whole rows"))
        });
        let json = serde_json::to_string(&header).expect("plain data is valid JSON");
        safetensors::serialize(tensors, Some(HashMap::from([("calibration".to_string(), json)])))
            .expect("the tensors have the shapes they say")
    }

    /// Reads the file at `path`, which must be one for this model.
    pub(super) fn from_bytes(bytes: &[u8], space: Space, fingerprint: &str, path: &Path) -> Result<Self> {
        let damaged = |found: String| {
            Error::damaged(path.display().to_string(), found, "the calibration of this model")
                .with_remedy(Remedy::Recalibrate)
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get("calibration"));
        let json = json.ok_or_else(|| damaged("no calibration".into()))?;
        let later = serde_json::from_str::<serde_json::Value>(json).ok().and_then(|header| header["version"].as_u64());
        if let Some(version) = later.filter(|&version| version > u64::from(VERSION)) {
            let (found, expected) = (format!("version {version}"), format!("version 1 to {VERSION}"));
            return Err(
                Error::unsupported(path.display().to_string(), found, expected).with_remedy(Remedy::Recalibrate)
            );
        }
        let header: Header = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
        if header.fingerprint != fingerprint || header.space != space {
            let found = format!("a calibration of {}", header.fingerprint);
            return Err(Error::conflict(path.display().to_string(), found, "the calibration of this model")
                .with_remedy(Remedy::Recalibrate));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
        let direction = |name: &str, fitted: Fitted| -> Result<Direction> {
            let tensor = tensors.tensor(name).map_err(|e| damaged(e.to_string()))?;
            let whole = tensor.dtype() == Dtype::F16 && tensor.shape().get(1) == Some(&header.space.dims());
            let halves = tensor.data().as_chunks::<2>().0;
            let bank: Vec<f32> = halves.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect();
            let Fitted { curves, none_below } = fitted;
            let sound = curves.best.is_sound() && curves.others.is_sound() && none_below.is_finite();
            if !whole || bank.is_empty() || bank.iter().any(|v| !v.is_finite()) || !sound {
                return Err(damaged(format!("the bank of {name} or its curves out of order")));
            }
            Ok(Direction { bank, curves, none_below })
        };
        let (images, captions) = (direction("images", header.images)?, direction("captions", header.captions)?);
        Ok(Self { space, fingerprint: header.fingerprint, relevance: header.relevance, images, captions })
    }
}
