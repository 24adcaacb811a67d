//! [`FeatureNetwork`]: what makes the features of images where it is not trained.

use burn::tensor::Device;
use image::RgbImage;
use rayon::prelude::*;

use super::backbone::{Backbone, Inference};
use super::cnn_on_device::CnnOnDevice;
use super::features::FeatureSpec;
use super::{ImagePipeline, ImageTower};
use gxn_base::Result;

/// A frozen CNN behind its preprocessing, or the image side of a pretrained encoder.
#[derive(Debug)]
pub enum FeatureNetwork {
    /// A CNN on the CPU, an image on each core.
    Cnn {
        /// Its layers.
        network: Inference,
        /// From image to input.
        pipeline: ImagePipeline,
        /// Of its weights.
        fingerprint: String,
    },
    /// A CNN on a GPU, many images at once.
    CnnOnDevice {
        /// Its layers, and the way from image to input.
        network: CnnOnDevice,
        /// Of its weights.
        fingerprint: String,
    },
    /// A pretrained encoder, which has a preprocessing of its own.
    Tower(ImageTower),
}

impl FeatureNetwork {
    /// A CNN that reads images through `pipeline` and computes on `device`.
    pub fn cnn(backbone: &Backbone, pipeline: ImagePipeline, device: &Device) -> Self {
        let fingerprint = backbone.fingerprint();
        match *device == Device::flex() {
            true => Self::Cnn { network: Inference::new(backbone), pipeline, fingerprint },
            false => Self::CnnOnDevice { network: CnnOnDevice::new(backbone, pipeline, device), fingerprint },
        }
    }

    /// What its features are.
    pub fn spec(&self) -> FeatureSpec {
        match self {
            Self::Cnn { network, pipeline, .. } => FeatureSpec::cnn(network.kind(), pipeline.clone()),
            Self::CnnOnDevice { network, .. } => FeatureSpec::cnn(network.kind(), network.pipeline().clone()),
            Self::Tower(tower) => FeatureSpec::encoder(tower.width()),
        }
    }

    /// What decides its features beside [`FeatureNetwork::spec`], as a hash.
    ///
    /// # Errors
    /// When the files of an encoder cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        match self {
            Self::Cnn { fingerprint, .. } | Self::CnnOnDevice { fingerprint, .. } => Ok(fingerprint.clone()),
            Self::Tower(tower) => tower.fingerprint(),
        }
    }

    /// Reads the weights, which an encoder otherwise does with its first image.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load(&self) -> Result<()> {
        self.mean_features(&[]).map(|_| ())
    }

    /// The features that stand for images, `[N, F]`: mean over the views where there are several. On all cores.
    ///
    /// # Errors
    /// When the CNN cannot take the input size, or the files of an encoder cannot be read.
    pub fn mean_features(&self, images: &[RgbImage]) -> Result<Vec<f32>> {
        match self {
            Self::Cnn { network, pipeline, .. } => {
                let feature = |image: &RgbImage| pipeline.mean_feature(network, image);
                Ok(images.par_iter().map(feature).collect::<Result<Vec<_>>>()?.concat())
            }
            Self::CnnOnDevice { network, .. } => Ok(network.mean_features(images)),
            Self::Tower(tower) => tower.features(images),
        }
    }
}
