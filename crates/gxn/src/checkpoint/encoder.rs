//! [`Encoder`]: a checkpoint ready to embed pictures and sentences.

use std::path::Path;

use burn::tensor::Device;
use image::RgbImage;
use rayon::prelude::*;

use super::{Checkpoint, fingerprint_of, resolve};
use crate::config::RunConfig;
use crate::imagine::beam::beam_search;
use crate::imagine::small_image::SmallImage;
use crate::look::Phase;
use crate::look::backbone::Inference;
use crate::model::{Rows, effective_lambda, feature_batches};
use gxn_base::{Error, Result};
use gxn_data::{ContentHash, ImageLimits, ImageSource, View, decode_image, read_limited};

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

/// What the model says about a picture.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ImaginedCaption {
    /// Its words, joined by spaces.
    pub caption: String,
    /// ln p of its words and its end.
    pub log_probability: f64,
}

/// Pictures that are described together.
const CAPTION_BATCH: usize = 128;

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
        let backbone = checkpoint
            .frozen
            .as_ref()
            .or(checkpoint.model.backbone.as_ref())
            .ok_or_else(|| Error::invalid(path.display().to_string(), "no CNN", "the weights of the image side"))?;
        Ok(Self { inference: Inference::new(backbone), fingerprint, device, checkpoint })
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Fingerprint of the CNN and of what is done to a picture before it: models in which these are equal see the same
    /// features.
    pub fn look_fingerprint(&self) -> String {
        let checkpoint = &self.checkpoint;
        let backbone = checkpoint.frozen.as_ref().or(checkpoint.model.backbone.as_ref()).expect("asked when loading");
        let input = serde_json::to_string(&checkpoint.input).expect("plain data is valid JSON");
        format!("{} {input}", backbone.fingerprint())
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
        let picture = gxn_data::load_image(source, &ImageLimits::default())?;
        Ok(self.embed_features(&self.picture_feature(&picture)?))
    }

    /// What the model says about pictures given by their features (`[N, F]`, row-major): of each the `beam` likeliest
    /// captions that beam search finds, best first.
    ///
    /// # Errors
    /// When the model has no caption decoder, and when `beam` is 0.
    pub fn describe(&self, features: &[f32], beam: usize) -> Result<Vec<Vec<ImaginedCaption>>> {
        let model = &self.checkpoint.model;
        let Some(decoder) = &model.caption_decoder else {
            return Err(Error::invalid(
                "the model",
                format!("one of stage {:?}, which has no caption decoder", self.config().train.stage),
                "a model that can describe pictures",
            )
            .with_hint("train one with --stage i2t_xe --start-from RUN"));
        };
        if beam == 0 {
            return Err(Error::invalid("the beam", "width 0", "at least 1"));
        }
        let width = self.inference.kind().feature_dim();
        let most = self.config().imagine.caption.max_words;
        let mut captions = Vec::with_capacity(features.len() / width);
        for batch in feature_batches(features, width, CAPTION_BATCH, &self.device) {
            let v_l = model
                .ground_image(batch, Phase::Evaluate)
                .ok_or_else(|| Error::invalid("the model", "one level", "two levels: captions are made from v_l"))?;
            for found in beam_search(decoder, &model.sentence, v_l, most, beam) {
                let worded = found.into_iter().map(|generated| ImaginedCaption {
                    caption: self.checkpoint.vocabulary.decode(&generated.tokens),
                    log_probability: generated.log_probability,
                });
                captions.push(worded.collect());
            }
        }
        Ok(captions)
    }

    /// What the model expects pictures of these sentences to look like, 64×64 pixels; `seeds[i]` decides the noise of the
    /// picture of `texts[i]`, so that sentences can be compared under one noise.
    ///
    /// # Errors
    /// When the model has no generator, or there are not as many seeds as sentences.
    pub fn imagine<S: AsRef<str>>(&self, texts: &[S], seeds: &[u64]) -> Result<Vec<SmallImage>> {
        if self.checkpoint.model.image_generator.is_none() {
            return Err(Error::invalid(
                "the model",
                format!("one of stage {:?}, which has no picture generator", self.config().train.stage),
                "a model that can imagine pictures",
            )
            .with_hint("train one with --stage t2i_pretrain --start-from RUN, then --stage t2i"));
        }
        if texts.len() != seeds.len() {
            return Err(Error::invalid("the seeds", seeds.len().to_string(), format!("{}, one a text", texts.len())));
        }
        let tokens = self.tokens(texts);
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        Ok(self.checkpoint.model.imagine(&tokens, seeds, &self.config().imagine.image))
    }

    /// A photo as the discriminator is shown photos, without the chance: the middle 64×64 pixels of the picture of
    /// `imagine.image.load_px`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn small_photo(&self, source: &ImageSource) -> Result<SmallImage> {
        let side_px = self.config().imagine.image.load_px;
        let photo = gxn_data::load_image(source, &ImageLimits::default())?;
        let values = self.checkpoint.input.preprocess.small(side_px).apply(&photo, View::FULL);
        Ok(SmallImage::middle_of(&values, side_px))
    }

    /// What the discriminator makes of pictures with sentences: of each pair the logit of "a real picture of this sentence".
    /// None where the model has no discriminator.
    ///
    /// # Panics
    /// If there are not as many pictures as sentences.
    pub fn judge<S: AsRef<str>>(&self, pictures: &[&SmallImage], texts: &[S]) -> Option<Vec<f32>> {
        self.checkpoint.model.discriminator.as_ref()?;
        let tokens = self.tokens(texts);
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        Some(self.checkpoint.model.judge(pictures, &tokens))
    }

    /// t_h and t_l of sentences, in their order.
    pub fn embed_texts<S: AsRef<str>>(&self, texts: &[S]) -> Rows {
        self.checkpoint.model.embed_captions(&self.tokens(texts))
    }

    /// Token numbers of sentences.
    fn tokens<S: AsRef<str>>(&self, texts: &[S]) -> Vec<Vec<u32>> {
        let most = match self.config().look.sentence.max_words {
            0 => usize::MAX,
            words => words,
        };
        let vocabulary = &self.checkpoint.vocabulary;
        texts.iter().map(|text| vocabulary.encode_at_most(text.as_ref(), most)).collect()
    }
}
