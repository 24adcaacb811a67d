//! [`Encoder`]: a checkpoint ready to embed pictures and sentences.

use std::path::Path;

use burn::tensor::Device;
use image::RgbImage;
use rayon::prelude::*;

use super::{Checkpoint, fingerprint_of, resolve};
use crate::config::RunConfig;
use crate::data::{ContentHash, ImageLimits, ImageSource, decode_image, read_limited};
use crate::look::backbone::Inference;
use crate::model::{Rows, effective_lambda};
use crate::{Error, Result};

/// A picture's feature with what is known of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureFeature {
    /// The CNN's feature, mean over the model's views, `[F]`.
    pub feature: Vec<f32>,
    /// Hash of the file's content.
    pub content: ContentHash,
    /// Width and height in pixels, after the camera's orientation is applied.
    pub size: (u32, u32),
}

/// A trained network ready to embed pictures and sentences.
#[derive(Debug)]
pub struct Encoder {
    checkpoint: Checkpoint,
    inference: Inference,
    fingerprint: String,
    device: Device,
}

impl Encoder {
    /// Loads the checkpoint at `path`, which may also be a run.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load(path: &Path) -> Result<Self> {
        let device = Device::flex();
        // A run's `best` may come to point elsewhere meanwhile: weights and fingerprint are of one checkpoint.
        let folder = resolve(path)?;
        let folder = std::fs::canonicalize(&folder).map_err(|e| Error::io("cannot open", &folder, e))?;
        let checkpoint = Checkpoint::load(&folder, &device)?;
        let fingerprint = fingerprint_of(&folder)?;
        let backbone =
            checkpoint.frozen.as_ref().or(checkpoint.model.backbone.as_ref()).ok_or_else(|| {
                Error::unexpected(path.display().to_string(), "no CNN", "the weights of the image side")
            })?;
        Ok(Self { inference: Inference::new(backbone), fingerprint, device, checkpoint })
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The run's configuration.
    pub fn config(&self) -> &RunConfig {
        &self.checkpoint.config
    }

    /// The checkpoint's fingerprint.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// λ of the combined score.
    pub fn lambda(&self) -> f64 {
        effective_lambda(&self.checkpoint.config)
    }

    /// Width of one level's embedding, `D`.
    pub fn dim(&self) -> usize {
        self.checkpoint.model.image.embed_dim()
    }

    /// Whether the model has two levels.
    pub fn has_grounded_level(&self) -> bool {
        self.checkpoint.model.image.has_grounded_level()
    }

    /// The feature of a decoded picture.
    ///
    /// # Errors
    /// When the CNN cannot take the model's input size.
    pub fn picture_feature(&self, picture: &RgbImage) -> Result<Vec<f32>> {
        self.checkpoint.input.mean_feature(&self.inference, picture)
    }

    /// Reads, decodes and looks at pictures, on all cores; each has its own outcome.
    pub fn features(&self, sources: &[ImageSource], limits: &ImageLimits) -> Vec<Result<PictureFeature>> {
        sources
            .par_iter()
            .map(|source| {
                let bytes = read_limited(source, limits)?;
                let picture = decode_image(&bytes, &source.to_string(), limits)?;
                let feature = self.picture_feature(&picture)?;
                Ok(PictureFeature { feature, content: ContentHash::of(&bytes), size: picture.dimensions() })
            })
            .collect()
    }

    /// v_h and v_l of features, `[N, F]` row-major.
    pub fn embed_features(&self, features: &[f32]) -> Rows {
        self.checkpoint.model.embed_features(features, self.inference.kind().feature_dim(), &self.device)
    }

    /// v_h and v_l of one picture file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn embed_picture(&self, source: &ImageSource) -> Result<Rows> {
        let picture = crate::data::load_image(source, &ImageLimits::default())?;
        Ok(self.embed_features(&self.picture_feature(&picture)?))
    }

    /// t_h and t_l of sentences, in their order.
    pub fn embed_texts<S: AsRef<str>>(&self, texts: &[S]) -> Rows {
        let most = match self.config().look.sentence.max_words {
            0 => usize::MAX,
            words => words,
        };
        let vocabulary = &self.checkpoint.vocabulary;
        let tokens: Vec<Vec<u32>> = texts.iter().map(|text| vocabulary.encode_at_most(text.as_ref(), most)).collect();
        self.checkpoint.model.embed_captions(&tokens)
    }
}
