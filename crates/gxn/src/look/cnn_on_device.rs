//! [`CnnOnDevice`]: a CNN that is not trained, on a GPU, which takes many views at once.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use rayon::prelude::*;

use super::ImagePipeline;
use super::backbone::{Backbone, BackboneKind};

/// Views that the device takes at once.
const VIEWS: usize = 64;

/// A CNN on a device, behind its preprocessing, which all cores do.
#[derive(Debug)]
pub struct CnnOnDevice {
    network: Backbone,
    pipeline: ImagePipeline,
    device: Device,
}

impl CnnOnDevice {
    /// The network with its weights on `device`.
    pub fn new(backbone: &Backbone, pipeline: ImagePipeline, device: &Device) -> Self {
        Self { network: backbone.clone().to_device(device), pipeline, device: device.clone() }
    }

    /// Which network it is.
    pub fn kind(&self) -> BackboneKind {
        self.network.kind()
    }

    /// From image to input.
    pub fn pipeline(&self) -> &ImagePipeline {
        &self.pipeline
    }

    /// The features of all views of images, `[N, views, F]`.
    pub fn features(&self, images: &[RgbImage]) -> Vec<f32> {
        let ImagePipeline { preprocess, views } = &self.pipeline;
        let side = preprocess.side_px as usize;
        let shown: Vec<_> = images.iter().flat_map(|image| views.iter().map(move |&view| (image, view))).collect();
        let mut features = Vec::with_capacity(shown.len() * self.kind().feature_dim());
        for shown in shown.chunks(VIEWS) {
            let planes: Vec<Vec<f32>> = shown.par_iter().map(|&(image, view)| preprocess.apply(image, view)).collect();
            let values = TensorData::new(planes.concat(), [shown.len(), 3, side, side]);
            features.extend(self.network.forward(Tensor::from_data(values, &self.device)).into_data().iter::<f32>());
        }
        features
    }

    /// The mean feature over the views of each image, `[N, F]`.
    pub fn mean_features(&self, images: &[RgbImage]) -> Vec<f32> {
        let length = self.pipeline.views.len() * self.kind().feature_dim();
        self.features(images).chunks_exact(length).flat_map(|views| self.pipeline.mean(views)).collect()
    }
}
