//! What a run opens late is tried before anything is computed.

use std::path::Path;

use burn::tensor::Device;

use super::training_data::{backbone_for, check_dataset, open_configured};
use crate::checkpoint::resolve;
use crate::config::{RunConfig, expand};
use crate::look::PretrainedEncoders;
use gxn_base::{Error, Result};

/// Opens all that a run of `config` reads, as far as it is there before the runs that it begins with: dataset, word vectors,
/// CNN or pretrained encoders. Nothing is kept; it takes as long as reading the dataset.
///
/// # Errors
/// As [`Trainer::new`](super::Trainer::new), but for what features and checkpoints tell.
pub fn check_inputs(config: &RunConfig) -> Result<()> {
    config.train.device.open()?;
    let dataset = open_configured(&config.data)?;
    check_dataset(&dataset, config)?;
    PretrainedEncoders::open(config)?;
    if config.train.init_from.is_none() {
        backbone_for(config, None, &Device::flex())?;
    }
    Ok(())
}

/// Finds the checkpoint that a run begins with.
///
/// # Errors
/// When there is none.
pub fn check_start(path: &str) -> Result<()> {
    resolve(&expand(path)?).map(|_| ())
}

/// Writes a file into the folder, or into the one that it will be made in, and removes it.
///
/// # Errors
/// When that fails.
pub fn check_writable(folder: &Path) -> Result<()> {
    let whole = std::path::absolute(folder).map_err(|e| Error::io("cannot find", folder, e))?;
    let there = whole.ancestors().find(|folder| folder.exists()).unwrap_or(&whole);
    match tempfile::tempfile_in(there) {
        Ok(_) => Ok(()),
        Err(_) if !there.is_dir() => Err(Error::invalid(there.display().to_string(), "a file", "a folder")),
        Err(error) => Err(Error::io("cannot write to the folder", there, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_tried_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let features = folder.path().join("a/b/features");
        check_writable(&features).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(check_writable(&features).unwrap_err().found(), Some("a file"));
    }
}
