//! Images to features to embeddings.

use std::borrow::Cow;
use std::path::Path;

use image::RgbImage;
use rayon::prelude::*;

use super::Encoder;
use crate::model::EmbeddingRows;
use gxn_base::{Error, Result};
use gxn_data::image_size;
use gxn_data::{ContentHash, ImageLimits, ImageSource, decode_image, read_limited};

/// An image: a file, a file's bytes, or pixels.
#[derive(Debug, Clone, Copy)]
pub enum ImageInput<'a> {
    /// A file, or a member of an archive.
    Source(&'a ImageSource),
    /// A file.
    File(&'a Path),
    /// The bytes of a file.
    Bytes {
        /// JPEG, PNG or another known format.
        bytes: &'a [u8],
        /// Stands in errors.
        name: &'a str,
        /// Their hash, where the caller has it already.
        content: Option<ContentHash>,
    },
    /// Decoded pixels.
    Pixels(&'a RgbImage),
}

impl<'a> From<&'a ImageSource> for ImageInput<'a> {
    fn from(source: &'a ImageSource) -> Self {
        Self::Source(source)
    }
}

impl<'a> From<&'a Path> for ImageInput<'a> {
    fn from(path: &'a Path) -> Self {
        Self::File(path)
    }
}

impl<'a> From<&'a [u8]> for ImageInput<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes { bytes, name: "the image", content: None }
    }
}

impl<'a> From<&'a RgbImage> for ImageInput<'a> {
    fn from(pixels: &'a RgbImage) -> Self {
        Self::Pixels(pixels)
    }
}

/// An image's feature with what is known of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageFeature {
    /// The CNN's feature, mean over the model's views, `[F]`.
    pub feature: Vec<f32>,
    /// Hash of the file's content; none for pixels.
    pub content: Option<ContentHash>,
    /// Width and height in pixels, after the camera's orientation is applied.
    pub size: (u32, u32),
}

impl Encoder {
    /// The feature of an image. A file is read and hashed once, and decoded only if its feature is not in the cache.
    ///
    /// # Errors
    /// When the image cannot be read or is over `limits`, and when the CNN cannot be read.
    pub fn image_feature<'a>(&self, image: impl Into<ImageInput<'a>>, limits: &ImageLimits) -> Result<ImageFeature> {
        let read =
            |source: &ImageSource| Ok::<_, Error>((Cow::Owned(read_limited(source, limits)?), source.to_string()));
        let mut known = None;
        let (bytes, name) = match image.into() {
            ImageInput::Pixels(pixels) => {
                let feature = self.pipeline().mean_feature(self.inference()?, pixels)?;
                return Ok(ImageFeature { feature, content: None, size: pixels.dimensions() });
            }
            ImageInput::Source(source) => read(source)?,
            ImageInput::File(path) => read(&ImageSource::File(path.to_owned()))?,
            ImageInput::Bytes { bytes, name, content } => {
                known = content;
                (Cow::Borrowed(bytes), name.to_owned())
            }
        };
        let content = known.unwrap_or_else(|| ContentHash::of(&bytes));
        if let Some(feature) = self.cache.as_ref().and_then(|cache| cache.get(&content)) {
            let size = image_size(&bytes, &name, limits)?;
            return Ok(ImageFeature { feature, content: Some(content), size });
        }
        let pixels = decode_image(&bytes, &name, limits)?;
        let feature = self.pipeline().mean_feature(self.inference()?, &pixels)?;
        if let Some(cache) = &self.cache {
            cache.insert(content, &feature);
        }
        Ok(ImageFeature { feature, content: Some(content), size: pixels.dimensions() })
    }

    /// The features of images, on all cores; each has its own outcome.
    ///
    /// # Errors
    /// When the CNN cannot be read.
    pub fn image_features<'a, I: Into<ImageInput<'a>> + Copy + Sync>(
        &self,
        images: &[I],
        limits: &ImageLimits,
    ) -> Result<Vec<Result<ImageFeature>>> {
        let feature = |&image: &I| self.image_feature(image, limits);
        let found: Vec<_> = images.par_iter().with_max_len(1).map(feature).collect();
        if found.iter().any(Result::is_err) {
            self.inference()?; // the images may be sound
        }
        Ok(found)
    }

    /// v_h and v_l of features, `[N, F]` row-major.
    pub fn encode_features(&self, features: &[f32]) -> EmbeddingRows {
        self.model.embed_features(features, self.feature_dim(), &self.device)
    }

    /// v_h and v_l of one image.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn encode_image<'a>(&self, image: impl Into<ImageInput<'a>>) -> Result<EmbeddingRows> {
        Ok(self.encode_features(&self.image_feature(image, &ImageLimits::default())?.feature))
    }
}
