//! [`Encoder`]: a checkpoint ready to embed images and texts, to caption images and to generate images; or a pretrained
//! encoder, which embeds as it is.
//!
//! Loading one reads what texts need. The CNN is read with the first image.

mod generate;
mod images;
mod likelihood;
mod pretrained;
mod prompts;
mod trained;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

pub use generate::GeneratedCaption;
pub use images::{ImageFeature, ImageInput};
pub(crate) use likelihood::LIKELIHOOD_IMAGES;
pub use trained::Trained;

use burn::tensor::Device;

use crate::config::RunConfig;
use crate::look::features::FeatureCache;
use crate::model::EmbeddingRows;
use crate::train::caption_texts::{note_cut, note_cut_by_encoder, note_cut_texts};
use gxn_base::{Error, Progress, Remedy, Result};
use gxn_data::{Dataset, UNKNOWN, tokenize};
use gxn_pretrained::PretrainedEncoder;
use pretrained::Pretrained;
pub(crate) use pretrained::is_pretrained;
use prompts::Prompts;

/// A model ready to embed, and, where it was trained to, to caption and generate. All methods take `&self`; threads may
/// share one.
#[derive(Debug)]
pub struct Encoder {
    path: PathBuf,
    network: Network,
    cache: Option<FeatureCache>,
}

#[derive(Debug)]
enum Network {
    Trained(Box<Trained>),
    Pretrained(Box<Pretrained>),
}

impl Encoder {
    /// Loads the checkpoint at `path`, which may also be a run, or the pretrained encoder in the folder `path`.
    ///
    /// # Errors
    /// When files are missing, damaged or of another version, and when weights do not fit. The CNN's weights are
    /// verified when they are read, with the first image.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_on(path, &Device::flex())
    }

    /// The same with the network on a device, such as [`DeviceChoice::open`](crate::device::DeviceChoice::open) gives. A CNN that
    /// makes features stays on the CPU, and so does a pretrained encoder.
    ///
    /// # Errors
    /// As [`Encoder::load`].
    pub fn load_on(path: &Path, device: &Device) -> Result<Self> {
        let network = if is_pretrained(path) {
            Network::Pretrained(Box::new(Pretrained::open(path)?))
        } else {
            Network::Trained(Box::new(Trained::load(path, device)?))
        };
        Ok(Self { path: path.to_path_buf(), network, cache: None })
    }

    /// The same, with the features that training and other commands have cached beside the run, or that they will find
    /// there: an image that was seen before is not decoded again. Bit by bit the features are those of
    /// [`Encoder::image_feature`]. Nothing changes where the checkpoint is not part of a run.
    ///
    /// # Errors
    /// When the cache is damaged, or the CNN cannot be read.
    pub fn with_feature_cache(self) -> Result<Self> {
        let cache = match &self.network {
            Network::Trained(trained) => trained.feature_cache()?,
            Network::Pretrained(_) => None,
        };
        Ok(Self { cache, ..self })
    }

    /// A pretrained encoder that puts each text into templates such as `a photo of {}` and takes the mean of their embeddings.
    /// Without templates nothing changes.
    ///
    /// # Errors
    /// A template in which `{}` does not stand once; any at all for a network that gxn trained.
    pub fn with_prompts(mut self, templates: &[String]) -> Result<Self> {
        let prompts = Prompts::new(templates)?;
        match &mut self.network {
            Network::Pretrained(pretrained) => pretrained.prompts = prompts,
            Network::Trained(_) if templates.is_empty() => {}
            Network::Trained(_) => {
                return Err(Error::unsupported(
                    format!("prompts for {}", self.path.display()),
                    "a model that gxn trained on captions as they are",
                    "a pretrained encoder",
                ));
            }
        }
        Ok(self)
    }

    /// The templates that texts are put into.
    pub fn prompts(&self) -> &[String] {
        match &self.network {
            Network::Trained(_) => &[],
            Network::Pretrained(pretrained) => pretrained.prompts.templates(),
        }
    }

    /// The run, checkpoint or folder that it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The network that gxn trained.
    ///
    /// # Errors
    /// For a pretrained encoder.
    pub fn trained(&self) -> Result<&Trained> {
        match &self.network {
            Network::Trained(trained) => Ok(trained),
            Network::Pretrained(_) => {
                let found = "a pretrained encoder, which only embeds";
                Err(Error::unsupported(self.path.display().to_string(), found, "a run or checkpoint")
                    .with_remedy(Remedy::NameRun))
            }
        }
    }

    /// The encoder that others trained, if it is one.
    pub fn pretrained(&self) -> Option<&PretrainedEncoder> {
        match &self.network {
            Network::Trained(_) => None,
            Network::Pretrained(pretrained) => Some(&pretrained.encoder),
        }
    }

    /// The run's configuration; of a pretrained encoder, one that says how it scores.
    pub fn config(&self) -> &RunConfig {
        match &self.network {
            Network::Trained(trained) => trained.config(),
            Network::Pretrained(pretrained) => &pretrained.config,
        }
    }

    /// The fingerprint of the checkpoint or of the encoder.
    pub fn fingerprint(&self) -> &str {
        match &self.network {
            Network::Trained(trained) => trained.fingerprint(),
            Network::Pretrained(pretrained) => &pretrained.fingerprint,
        }
    }

    /// λ of the combined score.
    pub fn lambda(&self) -> f64 {
        self.config().matching.effective_lambda()
    }

    /// Width of one level's embedding, `D`.
    pub fn dim(&self) -> usize {
        match &self.network {
            Network::Trained(trained) => trained.model.image.embed_dim(),
            Network::Pretrained(pretrained) => pretrained.dim(),
        }
    }

    /// Width of an image's feature, `F`.
    pub fn feature_dim(&self) -> usize {
        match &self.network {
            Network::Trained(trained) => trained.feature_dim(),
            Network::Pretrained(pretrained) => pretrained.dim(),
        }
    }

    /// Whether the model has two levels.
    pub fn has_grounded_level(&self) -> bool {
        match &self.network {
            Network::Trained(trained) => trained.model.image.has_grounded_level(),
            Network::Pretrained(_) => false,
        }
    }

    /// Whether the model embeds texts; of pretrained encoders some read images alone.
    pub fn can_embed_texts(&self) -> bool {
        self.pretrained().is_none_or(|encoder| encoder.text_width().is_some())
    }

    /// Whether the model embeds images.
    pub fn can_embed_images(&self) -> bool {
        self.pretrained().is_none_or(|encoder| encoder.image_width().is_some())
    }

    /// Whether the model generates captions.
    pub fn can_caption(&self) -> bool {
        self.trained().is_ok_and(|trained| trained.model.caption_decoder.is_some())
    }

    /// Whether the model generates images.
    pub fn can_generate_images(&self) -> bool {
        self.trained().is_ok_and(|trained| trained.model.image_generator.is_some())
    }

    /// Whether the model knows a word. A pretrained encoder, whose tokens are parts of words, knows all.
    pub fn knows(&self, word: &str) -> bool {
        match &self.network {
            Network::Trained(trained) => trained.vocabulary().number(word) != UNKNOWN,
            Network::Pretrained(_) => true,
        }
    }

    /// The words of texts that the model does not know, each once.
    pub fn unknown_words<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Vec<String> {
        let mut seen = HashSet::new();
        let is_new = |word: &String| !self.knows(word) && seen.insert(word.clone());
        texts.into_iter().flat_map(tokenize).filter(is_new).collect()
    }

    /// t_h and t_l of a text.
    ///
    /// # Errors
    /// As [`Encoder::encode_texts`].
    pub fn encode_text(&self, text: &str) -> Result<EmbeddingRows> {
        self.encode_texts(&[text])
    }

    /// t_h and t_l of texts, in their order.
    ///
    /// # Errors
    /// When the files of a pretrained encoder cannot be read, or it is one of images alone.
    pub fn encode_texts<S: AsRef<str>>(&self, texts: &[S]) -> Result<EmbeddingRows> {
        match &self.network {
            Network::Trained(trained) => trained.encode_texts(texts),
            Network::Pretrained(pretrained) => pretrained.encode_texts(texts),
        }
    }

    /// t_h and t_l of a dataset's captions at these positions, in this order.
    ///
    /// # Errors
    /// As [`Encoder::encode_texts`]; and for a model on files of embeddings, when a caption has no row there.
    pub fn encode_captions(&self, dataset: &Dataset, captions: &[usize]) -> Result<EmbeddingRows> {
        match &self.network {
            Network::Trained(trained) => trained.encode_captions(dataset, captions),
            Network::Pretrained(pretrained) => {
                let texts: Vec<&str> = captions.iter().map(|&at| dataset.captions[at].text.as_str()).collect();
                pretrained.encode_texts(&texts)
            }
        }
    }

    /// Reports texts of which the model reads a part only.
    ///
    /// # Errors
    /// Where there are some and `strict` is true, and when the files of a pretrained encoder cannot be read.
    pub fn note_cut_texts<'a>(
        &self,
        texts: impl Iterator<Item = &'a str>,
        strict: bool,
        progress: &dyn Progress,
    ) -> Result<()> {
        match &self.network {
            Network::Trained(trained) => {
                let texts: Vec<&str> = texts.collect();
                note_cut_texts(texts.iter().copied(), &trained.config().data, strict, progress)?;
                let encoder = trained.encoders.texts.as_ref();
                encoder.map_or(Ok(()), |encoder| note_cut_by_encoder(encoder, &texts, strict, progress))
            }
            Network::Pretrained(pretrained) => {
                let filled = pretrained.prompts.filled(&texts.collect::<Vec<_>>());
                let (cut, tokens) = pretrained.encoder.count_cut(filled.iter().map(String::as_str))?;
                note_cut(cut, &format!("{tokens} tokens"), "shorten them", strict, progress)
            }
        }
    }
}

#[cfg(test)]
mod tests;
