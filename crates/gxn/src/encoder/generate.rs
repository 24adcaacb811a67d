//! Captions of images, and images of captions.

use super::{Encoder, ImageInput};
use crate::imagine::beam::beam_search;
use crate::imagine::small_image::SmallImage;
use crate::look::Phase;
use crate::model::feature_batches;
use gxn_base::{Error, Remedy, Result};
use gxn_data::{ImageLimits, ImageSource, View};

/// A caption that the model generated for an image.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct GeneratedCaption {
    /// Its words, joined by spaces.
    pub caption: String,
    /// ln p of its words and its end.
    pub log_probability: f64,
}

/// Images that are captioned together.
const BATCH: usize = 128;

impl Encoder {
    /// The `beam` likeliest captions of an image that beam search finds, best first.
    ///
    /// # Errors
    /// When the image cannot be read, and as [`Encoder::caption_features`].
    pub fn caption<'a>(&self, image: impl Into<ImageInput<'a>>, beam: usize) -> Result<Vec<GeneratedCaption>> {
        self.caption_features(&[], beam)?; // refused before the image is read
        let feature = self.image_feature(image, &ImageLimits::default())?.feature;
        Ok(self.caption_features(&feature, beam)?.into_iter().flatten().collect())
    }

    /// The same for images given by their features (`[N, F]`, row-major).
    ///
    /// # Errors
    /// When the model has no caption decoder or is a pretrained encoder, and when `beam` is 0.
    pub fn caption_features(&self, features: &[f32], beam: usize) -> Result<Vec<Vec<GeneratedCaption>>> {
        let trained = self.trained()?;
        let decoder = self.caption_decoder()?;
        if beam == 0 {
            return Err(Error::invalid("the beam", "width 0", "at least 1"));
        }
        let width = self.feature_dim();
        let most = self.config().imagine.caption.max_words;
        let mut captions = Vec::with_capacity(features.len() / width);
        for batch in feature_batches(features, width, BATCH, &trained.device) {
            let v_l = trained.model.encode_image_grounded(batch, Phase::Evaluate).ok_or_else(|| {
                Error::unsupported("the model", "one level", "two levels: captions are generated from v_l")
            })?;
            for found in beam_search(decoder, &trained.model.sentence, v_l, most, beam) {
                let worded = found.into_iter().map(|generated| GeneratedCaption {
                    caption: trained.vocabulary().decode(&generated.tokens),
                    log_probability: generated.log_probability,
                });
                captions.push(worded.collect());
            }
        }
        Ok(captions)
    }

    /// Images generated from texts, 64×64 pixels; `seeds[i]` decides the noise of the image of `texts[i]`, so that texts
    /// can be compared under one noise.
    ///
    /// # Errors
    /// When the model has no generator, or there are not as many seeds as texts.
    pub fn generate_images<S: AsRef<str>>(&self, texts: &[S], seeds: &[u64]) -> Result<Vec<SmallImage>> {
        let trained = self.trained()?;
        if trained.model.image_generator.is_none() {
            let found = format!("one of stage {:?}, which has no image generator", self.config().train.stage);
            return Err(Error::unsupported("the model", found, "a model that generates images")
                .with_remedy(Remedy::TrainGenerator));
        }
        if texts.len() != seeds.len() {
            return Err(Error::invalid("the seeds", seeds.len().to_string(), format!("{}, one per text", texts.len())));
        }
        let tokens = trained.tokens(texts);
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let features = trained.text_features(texts)?;
        Ok(trained.model.generate_images(&tokens, features.as_ref(), seeds, &self.config().imagine.image))
    }

    /// A real image as the discriminator is shown it, without the random crop: the middle 64×64 pixels at
    /// `imagine.image.load_px`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn small_image(&self, source: &ImageSource) -> Result<SmallImage> {
        let side_px = self.config().imagine.image.load_px;
        let image = gxn_data::load_image(source, &ImageLimits::default())?;
        let values = self.trained()?.pipeline().preprocess.small(side_px).apply(&image, View::FULL);
        Ok(SmallImage::middle_of(&values, side_px))
    }

    /// The discriminator's logit of "a real image of this text" for each pair; none where the model has no discriminator.
    ///
    /// # Errors
    /// For a pretrained encoder, and when the files of a pretrained text encoder cannot be read.
    pub fn discriminate(&self, pairs: &[(&SmallImage, &str)]) -> Result<Option<Vec<f32>>> {
        let trained = self.trained()?;
        if trained.model.discriminator.is_none() {
            return Ok(None);
        }
        let (images, texts): (Vec<&SmallImage>, Vec<&str>) = pairs.iter().copied().unzip();
        let tokens = trained.tokens(&texts);
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let features = trained.text_features(&texts)?;
        Ok(Some(trained.model.discriminate(&images, &tokens, features.as_ref())))
    }
}
