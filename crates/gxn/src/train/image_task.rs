//! [`ImageTask`]: what the updates of discriminator and generator need beside the network: train images at the generator's
//! size, and validation sentences to generate images for.

use std::path::Path;

use burn::tensor::Device;
use image::RgbImage;

use super::feature_source::FeatureSource;
use super::metrics::NamedMetrics;
use super::pixel_cache::PixelCache;
use super::training_data::{TrainingData, feature_network};
use crate::config::{RunConfig, Update};
use crate::evaluate::generated_images::{own_image_ranks, own_noise};
use crate::imagine::small_image::{SmallImage, contact_sheet, root_mean_square};
use crate::look::FeatureNetwork;
use crate::model::{EmbeddingRows, Gxn};
use crate::seed::mix;
use gxn_base::{Progress, Result};
use gxn_data::{ContentHash, Split};

/// Sentences that images are generated for after each epoch, one for each validation image.
const SENTENCES: usize = 100;
/// Images on a sheet, and in a row of it.
const SHEET: usize = 16;
const SHEET_ROW: usize = 4;
/// Seeds of the noise of validation images: the same in every epoch.
const SEEDS: [u64; 2] = [1, 2];
/// The default seed of the evaluation, so that its sheet is that of the last epoch.
const SHEET_SEED: u64 = 1;

/// Root mean square difference between two images of one sentence with different noise; values in 0..=1. The log has called
/// these numbers `picture_…` from the beginning.
pub const SAME_SENTENCE: &str = "picture_same_sentence";
/// The same between images of different sentences with the same noise.
pub const OTHER_SENTENCE: &str = "picture_other_sentence";
/// Mean rank of the sentence's own photo for the generated image, encoded, as a share: 0 is first, 0.5 is chance.
pub const OWN_PHOTO: &str = "picture_own_photo";

/// Real train images, and validation sentences.
#[derive(Debug)]
pub struct ImageTask {
    /// The images in [`TrainingData::captioned`].
    pub pixels: PixelCache,
    /// EmbeddingRows of validation images, and a caption of each.
    sentences: Vec<(usize, usize)>,
    /// Captions whose images are on the sheet.
    shown: Vec<usize>,
}

impl ImageTask {
    /// Reads the train images of a run; none for a stage without the generator's update.
    ///
    /// # Errors
    /// As [`PixelCache::build`].
    pub fn new(
        data: &TrainingData,
        config: &RunConfig,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Option<Self>> {
        if !config.train.stage.has(Update::Generator) {
            return Ok(None);
        }
        let (images, used) = (&data.dataset.images, &data.captioned);
        let contents: Vec<ContentHash> = match &data.features {
            FeatureSource::Cached { contents, .. } => used.iter().map(|&image| contents[image]).collect(),
            FeatureSource::Images(_) | FeatureSource::Stored { .. } => {
                used.iter().map(|&image| images[image].source.content_hash()).collect::<Result<_>>()?
            }
        };
        let side_px = config.imagine.image.load_px;
        let sources: Vec<_> = used.iter().map(|&image| &images[image].source).collect();
        let pixels = PixelCache::build(folder, &sources, &contents, &data.input, side_px, progress)?;
        let first_captions = |split, count| -> Vec<(usize, usize)> {
            (data.dataset.split_indices(split).into_iter().enumerate())
                .filter_map(|(row, image)| Some((row, data.dataset.captions_of(image).next()?)))
                .take(count)
                .collect()
        };
        let sentences = first_captions(Split::Val, SENTENCES);
        // The sheet chooses nothing: it may show test sentences, those of the evaluation.
        let test = first_captions(Split::Test, SHEET);
        let sheet = if test.is_empty() { &sentences[..sentences.len().min(SHEET)] } else { &test };
        let shown = sheet.iter().map(|&(_, caption)| caption).collect();
        Ok(Some(Self { pixels, sentences, shown }))
    }

    /// Generates an image for a caption of each of some validation images, twice, and measures them; `photos` are the embeddings
    /// of all validation images. The network must be on a device without gradients. Also returns the epoch's sheet: the first
    /// captions of the first sixteen test images, or validation images where there is no test split, each with the same noise in
    /// every epoch and in the evaluation.
    ///
    /// # Errors
    /// When the CNN cannot take an image, or the files of a pretrained encoder cannot be read.
    pub fn validate(
        &self,
        model: &Gxn,
        data: &TrainingData,
        config: &RunConfig,
        photos: &EmbeddingRows,
        device: &Device,
    ) -> Result<(NamedMetrics, RgbImage)> {
        let generated = |captions: &[usize], seeds: &[u64]| {
            let tokens: Vec<&[u32]> = captions.iter().map(|&caption| data.tokens[caption].as_slice()).collect();
            model.generate_images(&tokens, data.text_features_of(captions).as_ref(), seeds, &config.imagine.image)
        };
        let captions: Vec<usize> = self.sentences.iter().map(|&(_, caption)| caption).collect();
        let seeded = |seed: u64| generated(&captions, &vec![mix(seed, 0x5a); captions.len()]);
        let shown = generated(&self.shown, &own_noise(SHEET_SEED, self.shown.len()));
        let [first, second] = SEEDS.map(seeded);
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let same = first.iter().zip(&second).map(|(a, b)| root_mean_square(a, b)).collect();
        let other = first.iter().zip(first.iter().skip(1)).map(|(a, b)| root_mean_square(a, b)).collect();

        let rows: Vec<usize> = self.sentences.iter().map(|&(row, _)| row).collect();
        let photos = photos.permuted(&rows);
        let backbone = data.frozen.as_ref().or(model.backbone.as_ref());
        let network = feature_network(&data.encoders, backbone, &data.input, device)?;
        let encoded = encoded(model, &network, &first, device)?;
        let ranks = own_image_ranks(&encoded, &photos)?;
        let found = [(SAME_SENTENCE, mean(same)), (OTHER_SENTENCE, mean(other)), (OWN_PHOTO, mean(ranks))];
        let sheet: Vec<RgbImage> = shown.iter().map(|image| image.to_rgb()).collect();
        Ok((found.into(), contact_sheet(&sheet, SHEET_ROW)))
    }
}

/// v_h and v_l of generated images, encoded as photos are.
fn encoded(model: &Gxn, network: &FeatureNetwork, images: &[SmallImage], device: &Device) -> Result<EmbeddingRows> {
    let images: Vec<RgbImage> = images.iter().map(SmallImage::to_rgb).collect();
    let features = network.mean_features(&images)?;
    let width = features.len() / images.len().max(1);
    Ok(model.embed_features(&features, width.max(1), device))
}
