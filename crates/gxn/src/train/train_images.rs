//! [`TrainImages`]: images for a CNN that is trained, and their pixels in a step.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use rayon::prelude::*;

use super::augmentation::Augmentation;
use crate::look::backbone::Backbone;
use crate::look::{FeatureNetwork, ImagePipeline, Phase};
use crate::seed::mix;
use gxn_base::{Error, Kind, Progress, Result};
use gxn_data::{ImageLimits, ImageSource, Preprocess, load_image};

/// Bytes of decoded images that are kept; beyond it an image is decoded again in every step.
const DECODED_BYTES: usize = 2 << 30;

/// Images that are encoded together.
const TOGETHER: usize = 64;

/// The images of a dataset, by their position in it.
#[derive(Debug)]
pub struct TrainImages {
    images: Arc<Images>,
    /// Pixels of this step and the next that are being made, in the order of the steps.
    ahead: Mutex<VecDeque<Ahead>>,
}

#[derive(Debug)]
struct Images {
    /// Where each image is.
    sources: Vec<ImageSource>,
    /// Decoded images, as many as fit.
    decoded: Vec<Option<RgbImage>>,
    /// The CNN's input.
    input: ImagePipeline,
    /// Where a step shows them with a random crop, mirror and light change of colours: what is done to such an image.
    augmented: Option<Preprocess>,
}

/// Pixels of a step's images, made on a thread of its own.
#[derive(Debug)]
struct Ahead {
    images: Vec<usize>,
    phase: Phase,
    pixels: JoinHandle<Result<Vec<f32>>>,
}

impl TrainImages {
    /// Decodes the images at `sources` and keeps as many as fit into memory. Those that cannot be read are left out; the
    /// second result has their positions in `sources`, ascending, and the reasons.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] when `progress` is cancelled.
    pub fn decode(
        sources: Vec<ImageSource>,
        input: ImagePipeline,
        augmented: Option<Preprocess>,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<(usize, String)>)> {
        let room = AtomicUsize::new(DECODED_BYTES);
        let decode = |source: &ImageSource| -> Result<Option<RgbImage>> {
            if progress.cancelled() {
                return Err(Error::interrupted());
            }
            let image = load_image(source, &ImageLimits::default())?;
            let fits = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(image.len()));
            Ok(fits.is_ok().then_some(image))
        };
        let outcomes: Vec<Result<Option<RgbImage>>> = sources.par_iter().map(decode).collect();
        let (mut kept, mut decoded, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (source, outcome)) in sources.into_iter().zip(outcomes).enumerate() {
            match outcome {
                Ok(image) => {
                    kept.push(source);
                    decoded.push(image);
                }
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                Err(error) => bad.push((at, error.in_full())),
            }
        }
        let images = Arc::new(Images { sources: kept, decoded, input, augmented });
        Ok((Self { images, ahead: Mutex::default() }, bad))
    }

    /// Begins to make the pixels of a coming step, for a device that computes meanwhile. [`TrainImages::pixels`] has them then.
    pub fn prepare(&self, images: &[usize], phase: Phase) {
        let (shared, wanted) = (self.images.clone(), images.to_vec());
        let pixels = std::thread::spawn(move || shared.pixels(&wanted, phase));
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.push_back(Ahead { images: images.to_vec(), phase, pixels });
        while ahead.len() > 2 {
            ahead.pop_front();
        }
    }

    /// The pixels of a step's images: of each one view, or one that is augmented, drawn from the phase's seed.
    ///
    /// # Errors
    /// When an image can no longer be read.
    ///
    /// # Shapes
    /// `B` positions → `[B, 3, side, side]`
    pub fn pixels(&self, images: &[usize], phase: Phase, device: &Device) -> Result<Tensor<4>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let found = ahead.iter().position(|ahead| ahead.phase == phase && ahead.images == images);
        let prepared = found.and_then(|at| ahead.drain(..=at).next_back());
        drop(ahead);
        let values = match prepared {
            Some(ahead) => ahead.pixels.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?,
            None => self.images.pixels(images, phase)?,
        };
        let side = self.images.augmented(phase).unwrap_or(&self.images.input.preprocess).side_px as usize;
        Ok(Tensor::from_data(TensorData::new(values, [images.len(), 3, side, side]), device))
    }

    /// The mean feature over views of each image, `[N, F]` row-major.
    ///
    /// # Errors
    /// When an image can no longer be read.
    pub fn mean_features(&self, backbone: &Backbone, images: &[usize]) -> Result<Vec<f32>> {
        let device = backbone.devices().first().cloned().unwrap_or_else(Device::flex);
        let network = FeatureNetwork::cnn(backbone, self.images.input.clone(), &device);
        let features = images.chunks(TOGETHER).map(|images| {
            let pixels = images.par_iter().map(|&image| Ok(self.images.image(image)?.into_owned()));
            network.mean_features(&pixels.collect::<Result<Vec<RgbImage>>>()?)
        });
        Ok(features.collect::<Result<Vec<_>>>()?.concat())
    }
}

impl Images {
    fn pixels(&self, images: &[usize], phase: Phase) -> Result<Vec<f32>> {
        let augmented = self.augmented(phase);
        let planes = images.par_iter().enumerate().map(|(slot, &image)| {
            let image = self.image(image)?;
            Ok(match augmented {
                Some(preprocess) => Augmentation::drawn(drawn(phase, slot)).apply(&image, preprocess),
                None => {
                    let view = self.input.views[view_of(phase, slot, self.input.views.len())];
                    self.input.preprocess.apply(&image, view)
                }
            })
        });
        let planes: Result<Vec<Vec<f32>>> = planes.collect();
        Ok(planes?.concat())
    }

    /// What is done to an image that is augmented.
    fn augmented(&self, phase: Phase) -> Option<&Preprocess> {
        self.augmented.as_ref().filter(|_| matches!(phase, Phase::Train { .. }))
    }

    /// A decoded image.
    fn image(&self, at: usize) -> Result<Cow<'_, RgbImage>> {
        match &self.decoded[at] {
            Some(image) => Ok(Cow::Borrowed(image)),
            None => load_image(&self.sources[at], &ImageLimits::default()).map(Cow::Owned),
        }
    }
}

/// Which of the `views` of an image a step shows in this place of its batch.
pub(super) fn view_of(phase: Phase, slot: usize, views: usize) -> usize {
    (drawn(phase, slot) % views as u64) as usize
}

/// The number that decides how a step shows the image in this place of its batch.
fn drawn(phase: Phase, slot: usize) -> u64 {
    match phase {
        Phase::Train { seed } => mix(seed, 1000 + slot as u64),
        Phase::Evaluate => 0,
    }
}
