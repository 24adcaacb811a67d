//! Images that the generator makes of captions, and what the discriminator says of images.

use burn::tensor::{Tensor, TensorData};

use super::Gxn;
use crate::config::ImageConfig;
use crate::config::SIDE_PX;
use crate::imagine::Noise;
use crate::imagine::small_image::SmallImage;
use crate::look::{Phase, TextFeatures, TokenBatch};

/// Images in a batch.
const BATCH: usize = 64;

impl Gxn {
    /// Images generated from captions (token ids), one each; `seeds[i]` decides the noise of caption `i`, so that equal
    /// seeds mean equal noise. The network must be on a device without gradients.
    ///
    /// # Panics
    /// If the model has no generator, or there are not as many seeds as captions.
    pub fn generate_images(
        &self,
        captions: &[&[u32]],
        features: Option<&TextFeatures>,
        seeds: &[u64],
        config: &ImageConfig,
    ) -> Vec<SmallImage> {
        assert_eq!(captions.len(), seeds.len(), "one seed a caption");
        let generator = self.image_generator.as_ref().expect("a model that generates images has a generator");
        let mut images = Vec::with_capacity(captions.len());
        for (at, (captions, seeds)) in captions.chunks(BATCH).zip(seeds.chunks(BATCH)).enumerate() {
            let t_l = self.t_l(captions, features, at * BATCH);
            let noise = Noise::seeded(config, seeds, &t_l.device());
            let pixels = generator.forward(t_l, noise, Phase::Evaluate).pixels;
            let values: Vec<f32> = pixels.into_data().iter().collect();
            images.extend(values.chunks_exact(3 * SIDE_PX * SIDE_PX).map(SmallImage::of));
        }
        images
    }

    /// The discriminator's logit of "a real image of this caption" for each pair of image and caption (token ids). The
    /// network must be on a device without gradients.
    ///
    /// # Panics
    /// If the model has no discriminator, or there are not as many images as captions.
    pub fn discriminate(
        &self,
        images: &[&SmallImage],
        captions: &[&[u32]],
        features: Option<&TextFeatures>,
    ) -> Vec<f32> {
        assert_eq!(images.len(), captions.len(), "one image a caption");
        let discriminator = self.discriminator.as_ref().expect("a model that judges images has a discriminator");
        let mut logits = Vec::with_capacity(images.len());
        for (at, (images, captions)) in images.chunks(BATCH).zip(captions.chunks(BATCH)).enumerate() {
            let t_l = self.t_l(captions, features, at * BATCH);
            let values: Vec<f32> = images.iter().flat_map(|image| image.values()).copied().collect();
            let values = TensorData::new(values, [images.len(), 3, SIDE_PX, SIDE_PX]);
            let pixels = Tensor::from_data(values, &t_l.device());
            logits.extend(discriminator.forward(pixels, t_l, Phase::Evaluate).0.into_data().iter::<f32>());
        }
        logits
    }

    /// t_l of captions, whose features are the rows from `first` on.
    fn t_l(&self, captions: &[&[u32]], features: Option<&TextFeatures>, first: usize) -> Tensor<2> {
        let rows: Vec<usize> = (first..first + captions.len()).collect();
        let batch = TokenBatch::new(captions).with_features(features.map(|features| features.gather(&rows)));
        self.encode_text_grounded(&batch, Phase::Evaluate).expect("two levels")
    }
}
