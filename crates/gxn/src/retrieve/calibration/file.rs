//! A calibration as a file: two banks as halves with their hubness, all else as JSON in the header.

use std::collections::HashMap;
use std::path::Path;

use gxn_base::{Error, Remedy, Result};
use gxn_eval::HubnessScale;
use gxn_index::{Space, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::bank::Bank;
use super::{Calibration, Curves, Direction, Relevance};

/// File in a checkpoint's folder.
pub const CALIBRATION_FILE: &str = "relevance.safetensors";

/// Version of the header: 2 says what counted as relevant in the fit, 3 corrects hubs. The first had no number; there own
/// captions were relevant.
const VERSION: u32 = 3;

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
    /// Where hubs are corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hubness: Option<HubnessScale>,
}

fn first_version() -> u32 {
    1
}

fn own() -> Relevance {
    Relevance::Own
}

impl Calibration {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let fitted = |d: &Direction| Fitted {
            curves: d.curves.clone(),
            none_below: d.none_below,
            hubness: d.bank.hubness_scale,
        };
        let header = Header {
            version: VERSION,
            relevance: self.relevance,
            space: self.space,
            fingerprint: self.fingerprint.clone(),
            images: fitted(&self.images),
            captions: fitted(&self.captions),
        };
        let dims = self.space.dims();
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, Direction { bank, .. }) in [("images", &self.images), ("captions", &self.captions)] {
            let halves = bank.rows.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
            tensors.push((name.into(), Dtype::F16, vec![bank.rows.len() / dims, dims], halves));
            if bank.hubness_scale.is_some() {
                let singles = bank.hubness.iter().flat_map(|v| v.to_le_bytes()).collect();
                tensors.push((hubness_of(name), Dtype::F32, vec![bank.hubness.len()], singles));
            }
        }
        let tensors = tensors.iter().map(|(name, kind, shape, bytes)| {
            (name, TensorView::new(*kind, shape.clone(), bytes).expect("whole rows"))
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
            let rows: Vec<f32> = halves.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect();
            let count = rows.len() / header.space.dims();
            let Fitted { curves, none_below, hubness: hubness_scale } = fitted;
            let hubness = match hubness_scale {
                Some(_) => {
                    let tensor = tensors.tensor(&hubness_of(name)).map_err(|e| damaged(e.to_string()))?;
                    tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
                }
                None => vec![0.0; count],
            };
            let is_finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
            let sound = curves.best.is_sound() && curves.others.is_sound() && none_below.is_finite();
            let sound = sound && is_finite(&rows) && is_finite(&hubness) && hubness.len() == count;
            if !whole || count == 0 || !sound {
                return Err(damaged(format!("the bank of {name} or its curves out of order")));
            }
            Ok(Direction { bank: Bank { rows, hubness, hubness_scale }, curves, none_below })
        };
        let (images, captions) = (direction("images", header.images)?, direction("captions", header.captions)?);
        // The bank of the other modality shows the hubness of each.
        for (Direction { bank, .. }, queries) in [(&images, &captions), (&captions, &images)] {
            let is_sound = |scale: HubnessScale| {
                let HubnessScale { temperature, own, share } = scale;
                let is_own_less = own < queries.bank.hubness.len();
                temperature.is_finite() && temperature > 0.0 && (0.0..=1.0).contains(&share) && is_own_less
            };
            if !bank.hubness_scale.is_none_or(is_sound) {
                return Err(damaged("a scale of hubness out of order".into()));
            }
        }
        Ok(Self { space, fingerprint: header.fingerprint, relevance: header.relevance, images, captions })
    }
}

/// The tensor with the hubness of the bank `name`.
fn hubness_of(name: &str) -> String {
    format!("{name}.hubness")
}
