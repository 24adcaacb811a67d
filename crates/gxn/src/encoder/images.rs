//! Images to features to embeddings.

use std::borrow::Cow;
use std::path::Path;

use image::RgbImage;
use rayon::prelude::*;

use super::{Encoder, Network};
use crate::model::EmbeddingRows;
use gxn_base::{Error, Result};
use gxn_data::{ContentHash, ImageLimits, ImageSource, decode_image, image_size, read_limited};

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
    /// The CNN's feature, mean over the model's views, or a pretrained encoder's embedding, `[F]`.
    pub feature: Vec<f32>,
    /// Hash of the file's content; none for pixels.
    pub content: Option<ContentHash>,
    /// Width and height in pixels, after the camera's orientation is applied.
    pub size: (u32, u32),
}

/// An image that was read.
enum Read<'a> {
    /// Its feature is in the cache.
    Known(ImageFeature),
    /// It is decoded.
    Pixels(Cow<'a, RgbImage>, Option<ContentHash>),
}

/// Images that a pretrained encoder, or a CNN on a GPU, sees together; all are decoded at once.
const TOGETHER: usize = 16;

impl Encoder {
    /// The feature of an image. A file is read and hashed once, and decoded only if its feature is not in the cache.
    ///
    /// # Errors
    /// When the image cannot be read or is over `limits`, and when the CNN or encoder cannot be read or reads no images.
    pub fn image_feature<'a>(&self, image: impl Into<ImageInput<'a>>, limits: &ImageLimits) -> Result<ImageFeature> {
        match self.read(image.into(), limits)? {
            Read::Known(feature) => Ok(feature),
            Read::Pixels(pixels, content) => {
                let feature = match &self.network {
                    Network::Trained(trained) => trained.feature(&pixels)?,
                    Network::Pretrained(pretrained) => pretrained.encoder.embed_image(&pixels)?,
                };
                Ok(self.kept(feature, content, pixels.dimensions()))
            }
        }
    }

    /// Reads an image as far as its feature is not in the cache.
    fn read<'a>(&self, image: ImageInput<'a>, limits: &ImageLimits) -> Result<Read<'a>> {
        let read =
            |source: &ImageSource| Ok::<_, Error>((Cow::Owned(read_limited(source, limits)?), source.to_string()));
        let mut known = None;
        let (bytes, name) = match image {
            ImageInput::Pixels(pixels) => return Ok(Read::Pixels(Cow::Borrowed(pixels), None)),
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
            return Ok(Read::Known(ImageFeature { feature, content: Some(content), size }));
        }
        Ok(Read::Pixels(Cow::Owned(decode_image(&bytes, &name, limits)?), Some(content)))
    }

    /// A feature that was computed; the cache gets it too.
    fn kept(&self, feature: Vec<f32>, content: Option<ContentHash>, size: (u32, u32)) -> ImageFeature {
        if let (Some(cache), Some(content)) = (&self.cache, content) {
            cache.insert(content, &feature);
        }
        ImageFeature { feature, content, size }
    }

    /// The features of images, on all cores; each has its own outcome.
    ///
    /// # Errors
    /// When the CNN or encoder cannot be read or reads no images.
    pub fn image_features<'a, I: Into<ImageInput<'a>> + Copy + Sync>(
        &self,
        images: &[I],
        limits: &ImageLimits,
    ) -> Result<Vec<Result<ImageFeature>>> {
        match &self.network {
            Network::Trained(trained) if trained.is_fed_one_by_one() => {
                let feature = |&image: &I| self.image_feature(image, limits);
                let found: Vec<_> = images.par_iter().with_max_len(1).map(feature).collect();
                if found.iter().any(Result::is_err) {
                    trained.features()?; // the images may be sound
                }
                Ok(found)
            }
            Network::Trained(trained) => {
                let network = trained.features()?;
                self.in_batches(&|pixels| network.mean_features(pixels), images, limits)
            }
            Network::Pretrained(pretrained) => {
                self.in_batches(&|pixels| pretrained.encoder.embed_images(pixels), images, limits)
            }
        }
    }

    /// The features of images, which `embed` sees a few at a time.
    fn in_batches<'a, I: Into<ImageInput<'a>> + Copy + Sync>(
        &self,
        embed: &dyn Fn(&[RgbImage]) -> Result<Vec<f32>>,
        images: &[I],
        limits: &ImageLimits,
    ) -> Result<Vec<Result<ImageFeature>>> {
        let mut found = Vec::with_capacity(images.len());
        for images in images.chunks(TOGETHER) {
            found.extend(self.features_together(embed, images, limits)?);
        }
        Ok(found)
    }

    /// The features of a few images, which `embed` sees as one batch.
    fn features_together<'a, I: Into<ImageInput<'a>> + Copy + Sync>(
        &self,
        embed: &dyn Fn(&[RgbImage]) -> Result<Vec<f32>>,
        images: &[I],
        limits: &ImageLimits,
    ) -> Result<Vec<Result<ImageFeature>>> {
        let read: Vec<_> = images.par_iter().map(|&image| self.read(image.into(), limits)).collect();
        let mut pixels = Vec::with_capacity(read.len());
        let mut found = Vec::with_capacity(read.len());
        for outcome in read {
            found.push(outcome.map(|read| match read {
                Read::Known(feature) => feature,
                Read::Pixels(image, content) => {
                    let feature = ImageFeature { feature: Vec::new(), content, size: image.dimensions() };
                    pixels.push(image.into_owned());
                    feature
                }
            }));
        }
        let embedded = embed(&pixels)?;
        let mut rows = embedded.chunks_exact(self.feature_dim());
        for feature in found.iter_mut().flatten().filter(|feature| feature.feature.is_empty()) {
            feature.feature = rows.next().expect("one row for each image").to_vec();
        }
        Ok(found)
    }

    /// v_h and v_l of features, `[N, F]` row-major.
    pub fn encode_features(&self, features: &[f32]) -> EmbeddingRows {
        match &self.network {
            Network::Trained(trained) => trained.encode_features(features),
            // Its features are the embeddings.
            Network::Pretrained(pretrained) => pretrained.rows(features.to_vec()),
        }
    }

    /// v_h and v_l of one image.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn encode_image<'a>(&self, image: impl Into<ImageInput<'a>>) -> Result<EmbeddingRows> {
        Ok(self.encode_features(&self.image_feature(image, &ImageLimits::default())?.feature))
    }
}
