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
        let mut mean = vec![0.0; inference.kind().feature_dim()];
        for &view in &self.views {
            add(&mut mean, &inference.feature(&self.preprocess.apply(image, view))?);
        }
        self.divide(&mut mean);
        Ok(mean)
    }

    /// The same from the features of all views, `[views, F]`; bit by bit the same.
    pub(crate) fn mean_of_views(&self, views: &[f32]) -> Vec<f32> {
        let width = views.len() / self.views.len();
        let mut mean = vec![0.0; width];
        views.chunks_exact(width).for_each(|view| add(&mut mean, view));
        self.divide(&mut mean);
        mean
    }

    fn divide(&self, sum: &mut [f32]) {
        sum.iter_mut().for_each(|value| *value /= self.views.len() as f32);
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
