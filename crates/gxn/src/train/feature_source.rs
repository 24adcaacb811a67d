//! [`FeatureSource`]: where a step's image features come from: the cache of a frozen network, rows of another program, or
//! images through a CNN that is trained.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use rayon::prelude::*;

use super::augmentation::Augmentation;
use crate::look::ImagePipeline;
use crate::look::backbone::{Backbone, Inference};
use crate::look::features::{FeatureStore, ViewChoice};
use crate::look::{Init, Phase};
use crate::model::Gxn;
use crate::seed::mix;
use gxn_base::{Error, Kind, Progress, Result};
use gxn_data::{ContentHash, ImageLimits, ImageSource, Preprocess, load_image};

/// Bytes of decoded images that are kept; beyond it an image is decoded again in every step.
const DECODED_BYTES: usize = 2 << 30;

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
    Images {
        /// Where each image is.
        sources: Vec<ImageSource>,
        /// Decoded images, as many as fit.
        decoded: Vec<Option<RgbImage>>,
        /// The CNN's input.
        input: ImagePipeline,
        /// Where a step shows them with a random crop, mirror and light change of colours: what is done to such an image.
        augmented: Option<Preprocess>,
    },
}

impl FeatureSource {
    /// Decodes the images at `sources` and keeps as many as fit into memory. Those that cannot be read are left out; the
    /// second result has their positions in `sources`, ascending, and the reasons.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] when `progress` is cancelled.
    pub fn decode(
        sources: Vec<ImageSource>,
        input: ImagePipeline,
        augmented: Option<Preprocess>,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<(usize, String)>)> {
        let room = AtomicUsize::new(DECODED_BYTES);
        let decode = |source: &ImageSource| -> Result<Option<RgbImage>> {
            if progress.cancelled() {
                return Err(Error::interrupted());
            }
            let image = load_image(source, &ImageLimits::default())?;
            let fits = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(image.len()));
            Ok(fits.is_ok().then_some(image))
        };
        let outcomes: Vec<Result<Option<RgbImage>>> = sources.par_iter().map(decode).collect();
        let (mut kept, mut decoded, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (source, outcome)) in sources.into_iter().zip(outcomes).enumerate() {
            match outcome {
                Ok(image) => {
                    kept.push(source);
                    decoded.push(image);
                }
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                Err(error) => bad.push((at, error.in_full())),
            }
        }
        Ok((Self::Images { sources: kept, decoded, input, augmented }, bad))
    }

    /// The features of a training step: of each image one view, or one that is augmented, drawn from the step's seed.
    ///
    /// # Errors
    /// When an image can no longer be read.
    ///
    /// # Shapes
    /// `B` positions → `[B, F]`
    pub fn step_features(&self, model: &Gxn, images: &[usize], phase: Phase, device: &Device) -> Result<Tensor<2>> {
        let drawn = |slot: usize| match phase {
            Phase::Train { seed } => mix(seed, 1000 + slot as u64),
            Phase::Evaluate => 0,
        };
        let view_of = |slot: usize, views: usize| (drawn(slot) % views as u64) as usize;
        match self {
            Self::Cached { store, contents } => {
                let [views, feature_dim] = store.shape();
                let chosen: Vec<usize> = (0..images.len()).map(|slot| view_of(slot, views)).collect();
                let values = store.gather(&of(contents, images), ViewChoice::Each(&chosen))?;
                Ok(Tensor::from_data(TensorData::new(values, [images.len(), feature_dim]), device))
            }
            Self::Stored { rows, width } => {
                let values = TensorData::new(rows_at(rows, *width, images), [images.len(), *width]);
                Ok(Tensor::from_data(values, device))
            }
            Self::Images { input, augmented, .. } => {
                let augmented = augmented.as_ref().filter(|_| matches!(phase, Phase::Train { .. }));
                let side = augmented.unwrap_or(&input.preprocess).side_px as usize;
                let planes = images.par_iter().enumerate().map(|(slot, &image)| {
                    let image = self.image(image)?;
                    Ok(match augmented {
                        Some(preprocess) => Augmentation::drawn(drawn(slot)).apply(&image, preprocess),
                        None => input.preprocess.apply(&image, input.views[view_of(slot, input.views.len())]),
                    })
                });
                let planes: Result<Vec<Vec<f32>>> = planes.collect();
                let shape = [images.len(), 3, side, side];
                let pixels = Tensor::from_data(TensorData::new(planes?.concat(), shape), device);
                Ok(trained_backbone(model).forward(pixels))
            }
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
            Self::Images { input, .. } => {
                let inference = Inference::new(trained_backbone(model));
                let feature = |&image: &usize| input.mean_feature(&inference, &*self.image(image)?);
                let features: Result<Vec<Vec<f32>>> = images.par_iter().map(feature).collect();
                Ok(features?.concat())
            }
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
            Self::Images { .. } => {
                let width = trained_backbone(model).kind().feature_dim();
                let features = self.mean_features(model, images)?;
                model.image.fit(std::iter::once(features), width, init);
            }
        }
        Ok(())
    }

    /// A decoded image.
    fn image(&self, at: usize) -> Result<Cow<'_, RgbImage>> {
        let Self::Images { sources, decoded, .. } = self else {
            unreachable!("only images have pixels");
        };
        match &decoded[at] {
            Some(image) => Ok(Cow::Borrowed(image)),
            None => load_image(&sources[at], &ImageLimits::default()).map(Cow::Owned),
        }
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
