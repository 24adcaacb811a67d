//! [`ImagePipeline`]: from decoded pixels to the CNN's feature.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::backbone::Inference;
use gxn_base::Result;
use gxn_data::{Preprocess, View};

/// How an image becomes the CNN's input, and which views of it are averaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImagePipeline {
    /// How an image becomes a square.
    pub preprocess: Preprocess,
    /// The views whose mean feature stands for the image.
    pub views: Vec<View>,
}

impl ImagePipeline {
    /// The CNN's feature of an image, mean over the views, `[F]`.
    ///
    /// # Errors
    /// When the CNN cannot take the input size.
    pub fn mean_feature(&self, inference: &Inference, image: &RgbImage) -> Result<Vec<f32>> {
        Ok(self.mean(&self.features(inference, image)?))
    }

    /// The features of all views, `[views, F]`.
    pub(crate) fn features(&self, inference: &Inference, image: &RgbImage) -> Result<Vec<f32>> {
        let mut features = Vec::with_capacity(self.views.len() * inference.kind().feature_dim());
        for &view in &self.views {
            features.extend(inference.feature(&self.preprocess.apply(image, view))?);
        }
        Ok(features)
    }

    /// The mean of the features of all views, `[F]`.
    pub(crate) fn mean(&self, features: &[f32]) -> Vec<f32> {
        let views = self.views.len();
        let mut mean = vec![0.0; features.len() / views.max(1)];
        for feature in features.chunks_exact(mean.len().max(1)) {
            mean.iter_mut().zip(feature).for_each(|(sum, value)| *sum += value);
        }
        mean.iter_mut().for_each(|value| *value /= views as f32);
        mean
    }
}
