//! [`PretrainedEncoders`]: the pretrained encoders of a configuration, of images in the CNN's place and of texts beside the
//! GRUs. Beyond the paper.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gxn_base::{Error, Kind, Remedy, Result};
use gxn_pretrained::PretrainedEncoder;
use image::RgbImage;

use super::EmbeddingFiles;
use super::held_encoders::{Side, place};
use super::text_encoder::TextEncoder;
use crate::config::{ImageEncoderFolder, RunConfig, TextEncoderFolder};

/// Advice where the files are others than in training.
const PUT_BACK: &str = "put the files that the model was trained with into that folder";

/// The frozen encoders that a configuration names.
#[derive(Debug, Clone, Default)]
pub struct PretrainedEncoders {
    /// In the place of the CNN.
    pub images: Option<ImageTower>,
    /// Beside the GRUs, or in their place.
    pub texts: Option<TextEncoder>,
}

/// The image side of a frozen encoder; its weights are read with the first image. Or what one made of a dataset's images.
#[derive(Debug, Clone)]
pub struct ImageTower {
    source: EncoderSource,
    width: usize,
}

/// A frozen encoder, or embeddings that one made.
#[derive(Debug, Clone)]
pub(super) enum EncoderSource {
    Network(Arc<PretrainedEncoder>),
    Files(Arc<EmbeddingFiles>),
}

impl EncoderSource {
    fn open(path: &Path) -> Result<Self> {
        if EmbeddingFiles::are_in(path) {
            return Ok(Self::Files(Arc::new(EmbeddingFiles::read(path)?)));
        }
        PretrainedEncoder::open(path).map(Arc::new).map(Self::Network)
    }

    /// What decides its embeddings, as a hash.
    pub(super) fn fingerprint(&self) -> Result<String> {
        match self {
            Self::Network(encoder) => encoder.fingerprint(),
            Self::Files(files) => Ok(files.fingerprint().to_owned()),
        }
    }

    /// The files, if it has no network.
    pub(super) fn files(&self) -> Option<&EmbeddingFiles> {
        match self {
            Self::Network(_) => None,
            Self::Files(files) => Some(files),
        }
    }
}

impl PretrainedEncoders {
    /// Opens what `config` names. One folder in both places is read once.
    ///
    /// # Errors
    /// When files are missing or cannot be read, an encoder lacks images or texts, or it is not the one that the run was
    /// trained with; and when the run begins as an encoder's own scores and names two.
    pub fn open(config: &RunConfig) -> Result<Self> {
        let look = &config.look;
        let open_images = |named: &ImageEncoderFolder| {
            let path = place(look, Side::Images, &named.path)?;
            Named { side: "image encoder", path, fingerprint: &named.fingerprint }.open(None)
        };
        let images = look.encoder.as_ref().map(open_images).transpose()?;
        let open_texts = |named: &TextEncoderFolder| {
            let is_same = look.encoder.as_ref().is_some_and(|other| other.path == named.path);
            let path = place(look, Side::Texts, &named.path)?;
            Named { side: "text encoder", path, fingerprint: &named.fingerprint }
                .open(images.as_ref().filter(|_| is_same))
        };
        let texts = look.sentence.encoder.as_ref().map(open_texts).transpose()?;
        let found =
            Self { images: images.map(ImageTower::new).transpose()?, texts: texts.map(TextEncoder::new).transpose()? };
        if config.matching.prior {
            found.require_one()?;
        }
        Ok(found)
    }

    /// Refuses two encoders: the embeddings of one have nothing to say of the other's.
    fn require_one(&self) -> Result<()> {
        let (Some(images), Some(texts)) = (&self.images, &self.texts) else { return Ok(()) };
        let [found, expected] = [texts.fingerprint()?, images.fingerprint()?];
        if found == expected && texts.width() == images.width {
            return Ok(());
        }
        let found = format!("one of fingerprint {found} and width {}", texts.width());
        let expected = format!(
            "that of look.encoder, of fingerprint {expected} and width {}: matching.prior begins with its scores",
            images.width
        );
        Err(Error::conflict("the encoder of look.sentence.encoder", found, expected))
    }

    /// The configuration with what the files say of its encoders; the joint space is as wide as theirs where it begins there.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn described(&self, mut config: RunConfig) -> Result<RunConfig> {
        if let (Some(named), Some(tower)) = (&mut config.look.encoder, &self.images) {
            (named.width, named.fingerprint) = (tower.width, tower.fingerprint()?);
            if config.matching.prior {
                config.look.embed_dim = tower.width;
            }
        }
        if let (Some(named), Some(texts)) = (&mut config.look.sentence.encoder, &self.texts) {
            (named.width, named.fingerprint) = (texts.width(), texts.fingerprint()?);
        }
        Ok(config)
    }
}

impl ImageTower {
    fn new(source: EncoderSource) -> Result<Self> {
        let width = match &source {
            EncoderSource::Files(files) => Some(files.width()),
            EncoderSource::Network(encoder) => encoder.image_width(),
        };
        match width {
            Some(width) => Ok(Self { source, width }),
            None => Err(Error::unsupported("look.encoder", "an encoder of texts alone", "an encoder of images")),
        }
    }

    /// Values of a feature, `F`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What decides its features, as a hash.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        self.source.fingerprint()
    }

    /// The rows by a dataset's ids that stand in the place of a network, if they do.
    pub fn files(&self) -> Option<&EmbeddingFiles> {
        self.source.files()
    }

    /// The features of images, `[N, F]`, each of length 1; computed together.
    ///
    /// # Errors
    /// When its files cannot be read, or there is no network.
    pub fn features(&self, images: &[RgbImage]) -> Result<Vec<f32>> {
        match &self.source {
            EncoderSource::Network(encoder) => encoder.embed_images(images),
            EncoderSource::Files(files) => Err(files.refusal("an image")),
        }
    }
}

/// A folder that a configuration names.
struct Named<'a> {
    /// For errors.
    side: &'static str,
    path: PathBuf,
    /// Of the encoder that the run was trained with; empty before training.
    fingerprint: &'a str,
}

impl Named<'_> {
    /// The encoder in it, which is `same` where that was opened from this path.
    fn open(&self, same: Option<&EncoderSource>) -> Result<EncoderSource> {
        let path = &self.path;
        let what = || format!("the {} in {}", self.side, path.display());
        let expected = format!("fingerprint {}", self.fingerprint);
        let is_known = !self.fingerprint.is_empty();
        if is_known && !path.exists() {
            return Err(Error::not_found(what(), "no such folder", format!("the encoder with {expected}"))
                .with_remedy(Remedy::Advice(PUT_BACK.into())));
        }
        let encoder = same.map_or_else(|| EncoderSource::open(path), |same| Ok(same.clone()))?;
        if is_known && encoder.fingerprint()? != self.fingerprint {
            let found = format!("fingerprint {}", encoder.fingerprint()?);
            return Err(Error::new(Kind::Conflict, what(), found, format!("{expected}, as in training"))
                .with_remedy(Remedy::Advice(PUT_BACK.into())));
        }
        Ok(encoder)
    }
}
