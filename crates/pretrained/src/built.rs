//! [`Built`]: an encoder whose layers are built here, from `model.safetensors`.

use gxn_base::Result;
use image::RgbImage;

use crate::config::Config;
use crate::image_tower::ImageTower;
use crate::lazy::Lazy;
use crate::network::Network;
use crate::text_tower::TextTower;
use crate::towers::{self, embedding};
use crate::weights::Weights;
use crate::{EncoderFolder, ImageProcessor, TextTokenizer, batches};

/// The weights of a tower are read at its first use.
#[derive(Debug)]
pub(crate) struct Built {
    folder: EncoderFolder,
    config: Config,
    images: Lazy<Images>,
    texts: Lazy<Texts>,
}

#[derive(Debug)]
struct Images {
    processor: ImageProcessor,
    tower: ImageTower,
}

#[derive(Debug)]
struct Texts {
    tokenizer: TextTokenizer,
    tower: TextTower,
}

impl Built {
    /// # Errors
    /// An encoder with layers that are not built here.
    pub(crate) fn open(folder: &EncoderFolder) -> Result<Self> {
        let config = Config::read(folder.family(), folder.config())?;
        Ok(Self { folder: folder.clone(), config, images: Lazy::default(), texts: Lazy::default() })
    }

    fn weights(&self) -> Result<Weights> {
        towers::weights(&self.config, &self.folder.weights()?)
    }

    fn images(&self) -> Result<&Images> {
        self.images.get(|| {
            self.image_width().ok_or_else(|| self.folder.lacks("images"))?;
            let processor = ImageProcessor::read(&self.folder)?;
            let tower = towers::images(&self.config, &self.weights()?, processor.size())?;
            Ok(Images { processor, tower })
        })
    }

    fn texts(&self) -> Result<&Texts> {
        self.texts.get(|| {
            self.text_width().ok_or_else(|| self.folder.lacks("texts"))?;
            let tokenizer = TextTokenizer::read(&self.folder)?;
            let tower = towers::texts(&self.config, &self.weights()?, self.folder.path())?;
            Ok(Texts { tokenizer, tower })
        })
    }
}

impl Network for Built {
    fn image_width(&self) -> Option<usize> {
        let image = self.config.image()?;
        Some(if let Config::Clip { embedding, .. } = self.config { embedding } else { image.stack.width })
    }

    fn text_width(&self) -> Option<usize> {
        let text = self.config.text()?;
        match self.config {
            Config::Clip { embedding, .. } | Config::Siglip { embedding, .. } => Some(embedding),
            _ => Some(text.stack.width),
        }
    }

    fn embed_images(&self, images: &[RgbImage]) -> Result<Vec<f32>> {
        let Images { processor, tower } = self.images()?;
        let tokens = tower.tokens.count();
        batches::run(
            images,
            |_| tokens,
            |images, threads| {
                let pixels: Vec<_> = images.iter().map(|image| processor.apply(image)).collect();
                let pooled = tower.pool(&pixels, threads);
                Ok(embedding(tower.project.as_ref(), tower.tokens.width(), pooled, threads))
            },
        )
    }

    fn embed_texts(&self, texts: &[&str]) -> Result<(Vec<f32>, usize)> {
        let Texts { tokenizer, tower } = self.texts()?;
        let (tokens, cut) = tokenizer.encode_all(texts)?;
        let tokens: Vec<_> = tokens.into_iter().map(|ids| tower.needed(ids, tokenizer.pad_id())).collect();
        let out = batches::run(&tokens, Vec::len, |texts, threads| {
            Ok(embedding(tower.project.as_ref(), tower.width, tower.pool(texts, threads)?, threads))
        })?;
        Ok((out, cut))
    }

    fn tokenizer(&self) -> Result<&TextTokenizer> {
        Ok(&self.texts()?.tokenizer)
    }
}
