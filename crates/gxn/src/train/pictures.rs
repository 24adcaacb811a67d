//! What the picture losses need beside the network: train pictures at the generator's size, and what is made of validation
//! sentences.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::feed::Feed;
use super::pixels::PixelStore;
use super::preparation::Prepared;
use crate::config::RunConfig;
use crate::evaluate::generated_images::{own_image_ranks, own_noise};
use crate::imagine::picture::{SmallPicture, contact_sheet, root_mean_square};
use crate::look::backbone::Inference;
use crate::model::{EmbeddingRows, Gxn};
use crate::seed::mix;
use gxn_base::Result;
use gxn_data::{ContentHash, Split};

/// Sentences whose pictures are looked at after each epoch, one an image.
const LOOKED_AT: usize = 100;
/// Pictures on a sheet, and in a row of it.
const SHEET: usize = 16;
const SHEET_ROW: usize = 4;
/// Seeds of the noise of validation pictures: the same in every epoch.
const SEEDS: [u64; 2] = [1, 2];
/// The seed that `gxn evaluate` takes if it is not told another.
const SHEET_SEED: u64 = 1;

/// Pictures of train and validation images.
#[derive(Debug)]
pub struct PictureTask {
    /// The images in [`Prepared::captioned`].
    pub pixels: PixelStore,
    /// Rows of the validation images that are looked at, and a caption of each.
    looked_at: Vec<(usize, usize)>,
    /// Captions whose pictures are on the sheet.
    shown: Vec<usize>,
}

/// What the pictures of validation sentences are like.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PictureValidation {
    /// Root mean square difference between two pictures of one sentence with different noise; values in 0..=1.
    pub same_sentence: f64,
    /// The same between pictures of different sentences with the same noise.
    pub other_sentence: f64,
    /// Mean rank of the sentence's own photo for the picture, encoded again, as a share: 0 is first, 0.5 is chance.
    pub own_photo: f64,
}

impl PictureValidation {
    /// All numbers by name.
    pub fn by_name(&self) -> [(&'static str, f64); 3] {
        [
            ("picture_same_sentence", self.same_sentence),
            ("picture_other_sentence", self.other_sentence),
            ("picture_own_photo", self.own_photo),
        ]
    }
}

impl PictureTask {
    /// Reads the train pictures of a run; none for a stage without pictures.
    ///
    /// # Errors
    /// As [`PixelStore::build`].
    pub fn new(
        data: &Prepared,
        config: &RunConfig,
        folder: &Path,
        stop: &AtomicBool,
        report: &mut dyn FnMut(Event),
    ) -> Result<Option<Self>> {
        if !config.train.stage.trains_pictures() {
            return Ok(None);
        }
        let (images, used) = (&data.dataset.images, &data.captioned);
        let contents: Vec<ContentHash> = match &data.feed {
            Feed::Cached { contents, .. } => used.iter().map(|&image| contents[image]).collect(),
            Feed::Pictures { .. } => {
                used.iter().map(|&image| images[image].source.content_hash()).collect::<Result<_>>()?
            }
        };
        let side_px = config.imagine.pictures.load_px;
        let sources: Vec<_> = used.iter().map(|&image| &images[image].source).collect();
        let pixels = PixelStore::build(folder, &sources, &contents, &data.input, side_px, stop, report)?;
        let first_captions = |split, count| -> Vec<(usize, usize)> {
            (data.dataset.split_indices(split).into_iter().enumerate())
                .filter_map(|(row, image)| Some((row, data.dataset.captions_of(image).next()?)))
                .take(count)
                .collect()
        };
        let looked_at = first_captions(Split::Val, LOOKED_AT);
        // Nothing is chosen by what people see: the sheet shows what the evaluation of test will show.
        let test = first_captions(Split::Test, SHEET);
        let sheet = if test.is_empty() { &looked_at[..looked_at.len().min(SHEET)] } else { &test };
        let shown = sheet.iter().map(|&(_, caption)| caption).collect();
        Ok(Some(Self { pixels, looked_at, shown }))
    }

    /// Imagines a picture for a caption of each validation image that is looked at, twice, and measures them; `photos` are the
    /// embeddings of all validation images. The network must be on a device without gradients. Also returns the epoch's sheet:
    /// the first captions of the first sixteen test images, or validation images where there is no test split, each with the
    /// same noise in every epoch and in `gxn evaluate --imagine`.
    ///
    /// # Errors
    /// When the CNN cannot take a picture.
    pub fn validate(
        &self,
        model: &Gxn,
        data: &Prepared,
        config: &RunConfig,
        photos: &EmbeddingRows,
        device: &Device,
    ) -> Result<(PictureValidation, RgbImage)> {
        let captions: Vec<&[u32]> =
            self.looked_at.iter().map(|&(_, caption)| data.tokens[caption].as_slice()).collect();
        let pictures = &config.imagine.pictures;
        let seeded = |seed: u64| {
            let seeds: Vec<u64> = vec![mix(seed, 0x5a); captions.len()];
            model.generate_images(&captions, &seeds, pictures)
        };
        let shown: Vec<&[u32]> = self.shown.iter().map(|&caption| data.tokens[caption].as_slice()).collect();
        let shown = model.generate_images(&shown, &own_noise(SHEET_SEED, shown.len()), pictures);
        let [first, second] = SEEDS.map(seeded);
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let same = first.iter().zip(&second).map(|(a, b)| root_mean_square(a, b)).collect();
        let other = first.iter().zip(first.iter().skip(1)).map(|(a, b)| root_mean_square(a, b)).collect();

        let rows: Vec<usize> = self.looked_at.iter().map(|&(row, _)| row).collect();
        let photos = photos.permuted(&rows);
        let backbone = data.frozen.as_ref().or(model.backbone.as_ref()).expect("a run has a CNN");
        let encoded = encoded_again(model, &Inference::new(backbone), data, &first, device)?;
        let validation = PictureValidation {
            same_sentence: mean(same),
            other_sentence: mean(other),
            own_photo: mean(own_image_ranks(&encoded, &photos)?),
        };
        let sheet: Vec<RgbImage> = shown.iter().map(|picture| picture.to_rgb()).collect();
        Ok((validation, contact_sheet(&sheet, SHEET_ROW)))
    }
}

/// v_h and v_l of imagined pictures, looked at as photos are.
fn encoded_again(
    model: &Gxn,
    inference: &Inference,
    data: &Prepared,
    pictures: &[SmallPicture],
    device: &Device,
) -> Result<EmbeddingRows> {
    use rayon::prelude::*;
    let features: Result<Vec<Vec<f32>>> =
        pictures.par_iter().map(|picture| data.input.mean_feature(inference, &picture.to_rgb())).collect();
    let features = features?.concat();
    let width = features.len() / pictures.len().max(1);
    Ok(model.embed_features(&features, width.max(1), device))
}
