//! [`calibrate_run`]: what follows the training of a run.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use gxn_base::{Progress, Result};
use gxn_data::Split;

use super::{Calibration, ENOUGH_IMAGES, Relevance, evenly_spread};
use crate::encoder::Encoder;
use crate::evaluate::{EncodeOptions, encode_dataset};
use crate::train::training_data::open_configured;

/// Val images that a run is calibrated on, at most.
const IMAGES: usize = 1000;

/// Fits the calibration of a run's best checkpoint, on `device`, on its val split and saves it there; returns the file, or `None` where
/// val has fewer than [`ENOUGH_IMAGES`] images.
///
/// # Errors
/// When the run or its data cannot be read, the calibration cannot be written, or `progress` cancels.
pub fn calibrate_run(run: &Path, device: &Device, progress: &dyn Progress) -> Result<Option<PathBuf>> {
    let encoder = Encoder::load_on(run, device)?.with_feature_cache()?;
    let trained = encoder.trained()?;
    let data = trained.config().data.clone().located(&trained.card().data_from_run, run);
    let dataset = open_configured(&data)?;
    let val = dataset.split_indices(Split::Val);
    if val.len() < ENOUGH_IMAGES {
        return Ok(None);
    }
    let val: Vec<usize> = evenly_spread(val.len(), IMAGES).into_iter().map(|at| val[at]).collect();
    let dataset = dataset.subset(&val);
    let encoded = encode_dataset(&encoder, &dataset, EncodeOptions::default(), progress)?;
    Calibration::fit(&encoder, &encoded, &dataset, Relevance::default(), progress)?.save(run).map(Some)
}
