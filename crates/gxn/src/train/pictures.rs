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
use crate::Result;
use crate::config::RunConfig;
use crate::data::{ContentHash, Split};
use crate::imagine::picture::{ImaginedPicture, contact_sheet, imagine_pictures, root_mean_square};
use crate::look::backbone::Inference;
use crate::look::phase::mix;
use crate::model::{Gxn, Rows};

/// Sentences whose pictures are looked at after each epoch, one an image.
const LOOKED_AT: usize = 100;
/// Pictures on a sheet, and in a row of it.
const SHEET: usize = 16;
const SHEET_ROW: usize = 4;
/// Seeds of the noise of validation pictures: the same in every epoch.
const SEEDS: [u64; 2] = [1, 2];

/// Pictures of train and validation images.
#[derive(Debug)]
pub struct PictureTask {
    /// Train pictures.
    pub pixels: PixelStore,
    /// Of each image of the data set its row among them.
    pub row_of: Vec<usize>,
    /// Positions of the validation images that are looked at, and a caption of each.
    looked_at: Vec<(usize, usize)>,
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
        let images = &data.dataset.images;
        let mut used: Vec<usize> = data.train_captions.iter().map(|&c| data.caption_image[c]).collect();
        used.dedup();
        let mut row_of = vec![usize::MAX; images.len()];
        used.iter().enumerate().for_each(|(row, &image)| row_of[image] = row);
        let contents: Vec<ContentHash> = match &data.feed {
            Feed::Cached { contents, .. } => used.iter().map(|&image| contents[image]).collect(),
            Feed::Pictures { .. } => {
                used.iter().map(|&image| images[image].source.content_hash()).collect::<Result<_>>()?
            }
        };
        let sources: Vec<_> = used.iter().map(|&image| &images[image].source).collect();
        let pixels = PixelStore::build(folder, &sources, &contents, &data.input, stop, report)?;
        let captions: Vec<usize> = data.dataset.captions_in(Split::Val).collect();
        let looked_at = (data.dataset.split_indices(Split::Val).into_iter())
            .filter_map(|image| Some((image, *captions.iter().find(|&&c| data.caption_image[c] == image)?)))
            .take(LOOKED_AT)
            .collect();
        Ok(Some(Self { pixels, row_of, looked_at }))
    }

    /// Imagines a picture for a caption of each validation image that is looked at, twice, and measures them. The network must
    /// be on a device without gradients. Also returns the sheet of the first ones.
    ///
    /// # Errors
    /// When a photo can no longer be read.
    pub fn validate(
        &self,
        model: &Gxn,
        data: &Prepared,
        config: &RunConfig,
        device: &Device,
    ) -> Result<(PictureValidation, RgbImage)> {
        let captions: Vec<&[u32]> =
            self.looked_at.iter().map(|&(_, caption)| data.tokens[caption].as_slice()).collect();
        let pictures = &config.imagine.pictures;
        let seeded = |seed: u64| {
            let seeds: Vec<u64> = vec![mix(seed, 0x5a); captions.len()];
            imagine_pictures(model, &captions, &seeds, pictures)
        };
        let [first, second] = SEEDS.map(seeded);
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let same = first.iter().zip(&second).map(|(a, b)| root_mean_square(a, b)).collect();
        let other = first.iter().zip(first.iter().skip(1)).map(|(a, b)| root_mean_square(a, b)).collect();

        let images: Vec<usize> = self.looked_at.iter().map(|&(image, _)| image).collect();
        let photos = data.feed.mean_features(model, &images)?;
        let width = photos.len() / images.len().max(1);
        let photos = model.embed_features(&photos, width, device);
        let backbone = data.frozen.as_ref().or(model.backbone.as_ref()).expect("a run has a CNN");
        let encoded = encoded_again(model, &Inference::new(backbone), data, &first, device)?;
        let validation = PictureValidation {
            same_sentence: mean(same),
            other_sentence: mean(other),
            own_photo: mean(own_photo_ranks(&encoded, &photos)),
        };
        let sheet: Vec<RgbImage> = first.into_iter().take(SHEET).map(ImaginedPicture::into_rgb).collect();
        Ok((validation, contact_sheet(&sheet, SHEET_ROW)))
    }
}

/// v_h and v_l of imagined pictures, looked at as photos are.
fn encoded_again(
    model: &Gxn,
    inference: &Inference,
    data: &Prepared,
    pictures: &[ImaginedPicture],
    device: &Device,
) -> Result<Rows> {
    use rayon::prelude::*;
    let features: Result<Vec<Vec<f32>>> =
        pictures.par_iter().map(|picture| data.input.mean_feature(inference, &picture.to_rgb())).collect();
    let features = features?.concat();
    let width = features.len() / pictures.len().max(1);
    Ok(model.embed_features(&features, width.max(1), device))
}

/// Of each picture the rank of the photo in the same row under the cosine of `[h ; l]`, as a share of the other photos.
pub fn own_photo_ranks(pictures: &Rows, photos: &Rows) -> Vec<f64> {
    let photos: Vec<Vec<f32>> = (0..photos.count).map(|row| photos.joined(row)).collect();
    (0..pictures.count)
        .map(|row| {
            let picture = pictures.joined(row);
            // Rows of unit levels all have the same length: the inner product orders as the cosine does.
            let score = |photo: &Vec<f32>| picture.iter().zip(photo).map(|(a, b)| a * b).sum::<f32>();
            let own = score(&photos[row]);
            let before = photos.iter().enumerate().filter(|&(at, photo)| at != row && score(photo) >= own).count();
            before as f64 / (photos.len().max(2) - 1) as f64
        })
        .collect()
}
