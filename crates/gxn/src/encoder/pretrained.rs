//! [`Pretrained`]: an encoder that others trained, as it is.

use std::path::Path;

use super::prompts::Prompts;
use crate::config::{Levels, RunConfig};
use crate::model::EmbeddingRows;
use gxn_base::{Result, Similarity};
use gxn_pretrained::PretrainedEncoder;

/// Whether `path` is an encoder's folder as model hubs lay it out, rather than a run or a checkpoint.
pub(crate) fn is_pretrained(path: &Path) -> bool {
    path.join("config.json").is_file() || path.join("refs").join("main").is_file()
}

/// A pretrained encoder in the place of a network: one level, cosine similarity.
#[derive(Debug)]
pub(super) struct Pretrained {
    pub encoder: PretrainedEncoder,
    /// The defaults, but for how it scores.
    pub config: RunConfig,
    pub fingerprint: String,
    pub prompts: Prompts,
}

impl Pretrained {
    pub fn open(path: &Path) -> Result<Self> {
        let encoder = PretrainedEncoder::open(path)?;
        let fingerprint = encoder.fingerprint()?;
        let mut config = RunConfig::default();
        (config.matching.levels, config.matching.similarity) = (Levels::Abstract, Similarity::Cosine);
        Ok(Self { encoder, config, fingerprint, prompts: Prompts::default() })
    }

    /// Values of an embedding; images and texts have as many.
    pub fn dim(&self) -> usize {
        self.encoder.image_width().or(self.encoder.text_width()).unwrap_or_default()
    }

    pub fn rows(&self, embeddings: Vec<f32>) -> EmbeddingRows {
        let dim = self.dim();
        EmbeddingRows { count: embeddings.len() / dim.max(1), dim, abstract_level: embeddings, grounded_level: None }
    }

    pub fn encode_texts<S: AsRef<str>>(&self, texts: &[S]) -> Result<EmbeddingRows> {
        let filled = self.prompts.filled(texts);
        let filled: Vec<&str> = filled.iter().map(String::as_str).collect();
        Ok(self.rows(self.prompts.mean(self.encoder.embed_texts(&filled)?.0, self.dim())))
    }
}
