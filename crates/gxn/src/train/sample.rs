//! [`Sample`]: some images of a dataset.

use super::training_data::used_train_images;
use crate::config::RunConfig;
use crate::retrieve::calibration::evenly_spread;
use gxn_data::{Dataset, Split};

/// Some images of a dataset, to find out what all of them will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Train images with captions, at most.
    pub train: usize,
    /// Validation images, at most.
    pub val: usize,
}

impl Sample {
    /// Their positions in a dataset, evenly spread over each split and ascending.
    pub fn of(self, dataset: &Dataset, config: &RunConfig) -> Vec<usize> {
        let captioned = |image: &usize| !dataset.captions_of(*image).is_empty();
        let train: Vec<usize> = used_train_images(dataset, config).into_iter().filter(captioned).collect();
        let val = dataset.split_indices(Split::Val);
        let some =
            |images: &[usize], most| evenly_spread(images.len(), most).into_iter().map(|at| images[at]).collect();
        let chosen: [Vec<usize>; 2] = [some(&train, self.train), some(&val, self.val)];
        let mut chosen = chosen.concat();
        chosen.sort_unstable();
        chosen
    }
}
