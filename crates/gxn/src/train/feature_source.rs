//! [`FeatureSource`]: where a step's image features come from: the cache of a frozen network, rows of another program, or
//! images through a CNN that is trained.

use burn::tensor::{Device, Tensor, TensorData};

use super::train_images::{TrainImages, view_of};
use crate::look::backbone::Backbone;
use crate::look::features::{FeatureStore, ViewChoice};
use crate::look::{Init, Phase};
use crate::model::Gxn;
use gxn_base::Result;
use gxn_data::ContentHash;

/// The features of a dataset's images, by their position in it.
#[derive(Debug)]
pub enum FeatureSource {
    /// Features of a network that is not trained.
    Cached {
        /// The cache.
        store: Box<FeatureStore>,
        /// Content of each image.
        contents: Vec<ContentHash>,
    },
    /// Rows that another program made.
    Stored {
        /// `[N, F]`, row-major.
        rows: Vec<f32>,
        /// `F`.
        width: usize,
    },
    /// Images for a CNN that is trained.
    Images(TrainImages),
}

impl FeatureSource {
    /// Begins to make what a coming step reads, where that takes long: on a thread of its own, while a device computes.
    pub fn prepare(&self, images: &[usize], phase: Phase) {
        if let Self::Images(source) = self {
            source.prepare(images, phase);
        }
    }

    /// The features of a training step: of each image one view, or one that is augmented, drawn from the step's seed.
    ///
    /// # Errors
    /// When an image can no longer be read.
    ///
    /// # Shapes
    /// `B` positions → `[B, F]`
    pub fn step_features(&self, model: &Gxn, images: &[usize], phase: Phase, device: &Device) -> Result<Tensor<2>> {
        match self {
            Self::Cached { store, contents } => {
                let [views, feature_dim] = store.shape();
                let chosen: Vec<usize> = (0..images.len()).map(|slot| view_of(phase, slot, views)).collect();
                let values = store.gather(&of(contents, images), ViewChoice::Each(&chosen))?;
                Ok(Tensor::from_data(TensorData::new(values, [images.len(), feature_dim]), device))
            }
            Self::Stored { rows, width } => {
                let values = TensorData::new(rows_at(rows, *width, images), [images.len(), *width]);
                Ok(Tensor::from_data(values, device))
            }
            Self::Images(source) => Ok(trained_backbone(model).forward(source.pixels(images, phase, device)?)),
        }
    }

    /// The features that stand for images outside training: the mean over views, `[N, F]` row-major.
    ///
    /// # Errors
    /// When an image can no longer be read.
    pub fn mean_features(&self, model: &Gxn, images: &[usize]) -> Result<Vec<f32>> {
        match self {
            Self::Cached { store, contents } => store.gather(&of(contents, images), ViewChoice::Mean),
            Self::Stored { rows, width } => Ok(rows_at(rows, *width, images)),
            Self::Images(source) => source.mean_features(trained_backbone(model), images),
        }
    }

    /// Fits the model's feature transform on `images`: on all views where features are cached, on the mean features of
    /// the first weights where the CNN is trained.
    ///
    /// # Errors
    /// When an image can no longer be read.
    pub fn fit_transform(&self, model: &mut Gxn, images: &[usize], init: &Init) -> Result<()> {
        if !model.image.standardises() {
            return Ok(());
        }
        match self {
            Self::Cached { store, contents } => {
                let row = |&image: &usize| store.row(&contents[image]).unwrap_or_default();
                let values = images.iter().map(row).map(|row| row.iter().map(|x| x.to_f32()).collect());
                model.image.fit(values, store.shape()[1], init);
            }
            Self::Stored { rows, width } => {
                model.image.fit(std::iter::once(rows_at(rows, *width, images)), *width, init);
            }
            Self::Images(_) => {
                let width = trained_backbone(model).kind().feature_dim();
                let features = self.mean_features(model, images)?;
                model.image.fit(std::iter::once(features), width, init);
            }
        }
        Ok(())
    }
}

/// The rows at these positions.
fn rows_at(rows: &[f32], width: usize, images: &[usize]) -> Vec<f32> {
    images.iter().flat_map(|&image| &rows[image * width..(image + 1) * width]).copied().collect()
}

/// The contents of the images at these positions.
fn of(contents: &[ContentHash], images: &[usize]) -> Vec<ContentHash> {
    images.iter().map(|&image| contents[image]).collect()
}

fn trained_backbone(model: &Gxn) -> &Backbone {
    model.backbone.as_ref().expect("a model that reads images in training has a backbone")
}
