//! [`Encoder`]: a checkpoint ready to embed images and texts, to caption images and to generate images.
//!
//! Loading one reads what texts need. The CNN is read with the first image.

mod generate;
mod images;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::Device;

pub use generate::GeneratedCaption;
pub use images::{ImageFeature, ImageInput};

use crate::checkpoint::{Card, StoredCheckpoint};
use crate::config::RunConfig;
use crate::look::ImagePipeline;
use crate::look::backbone::Inference;
use crate::look::features::{FeatureCache, FeatureSpec};
use crate::model::{EmbeddingRows, Gxn};
use gxn_base::{Error, Result};
use gxn_data::Vocabulary;

/// A trained network ready to embed, caption and generate. All methods take `&self`; threads may share one.
#[derive(Debug)]
pub struct Encoder {
    path: PathBuf,
    stored: StoredCheckpoint,
    /// Without the CNN.
    model: Gxn,
    inference: OnceLock<Inference>,
    /// Held while the CNN is read.
    loading: Mutex<()>,
    cnn_fingerprint: OnceLock<String>,
    cache: Option<FeatureCache>,
    device: Device,
}

impl Encoder {
    /// Loads the checkpoint at `path`, which may also be a run.
    ///
    /// # Errors
    /// When files are missing, damaged or of another version, and when weights do not fit. The CNN's weights are
    /// verified when they are read, with the first image.
    pub fn load(path: &Path) -> Result<Self> {
        let device = Device::flex();
        let stored = StoredCheckpoint::open(path)?;
        let model = stored.network(&device)?;
        let cnn_fingerprint = stored.cnn_fingerprint.clone().map_or_else(OnceLock::new, OnceLock::from);
        let (inference, loading) = (OnceLock::new(), Mutex::new(()));
        Ok(Self { path: path.to_path_buf(), stored, model, inference, loading, cnn_fingerprint, cache: None, device })
    }

    /// The same, with the features that training and other commands have cached beside the run, or that they will find
    /// there: an image that was seen before is not decoded again. Bit by bit the features are those of
    /// [`Encoder::image_feature`]. Nothing changes where the checkpoint is not part of a run.
    ///
    /// # Errors
    /// When the cache is damaged, or the CNN cannot be read.
    pub fn with_feature_cache(self) -> Result<Self> {
        let Some(folder) = FeatureCache::folder_of(&self.stored.folder) else { return Ok(self) };
        let spec = FeatureSpec::new(self.config().look.backbone, self.pipeline().clone());
        let cache = Some(FeatureCache::open(&folder, &spec, self.cnn_weights()?)?);
        Ok(Self { cache, ..self })
    }

    /// The run or checkpoint that it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's configuration.
    pub fn config(&self) -> &RunConfig {
        &self.stored.config
    }

    /// The words it knows.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.stored.vocabulary
    }

    /// From image to feature.
    pub fn pipeline(&self) -> &ImagePipeline {
        &self.stored.pipeline
    }

    /// Where the model comes from.
    pub fn card(&self) -> &Card {
        &self.stored.card
    }

    /// The checkpoint's fingerprint.
    pub fn fingerprint(&self) -> &str {
        &self.stored.fingerprint
    }

    /// Fingerprint of the CNN and of what is done to an image before it: models in which these are equal see the same
    /// features.
    ///
    /// # Errors
    /// When the CNN cannot be read.
    pub fn cnn_fingerprint(&self) -> Result<String> {
        let pipeline = serde_json::to_string(self.pipeline()).expect("plain data is valid JSON");
        Ok(format!("{} {pipeline}", self.cnn_weights()?))
    }

    /// λ of the combined score.
    pub fn lambda(&self) -> f64 {
        self.config().matching.effective_lambda()
    }

    /// Width of one level's embedding, `D`.
    pub fn dim(&self) -> usize {
        self.model.image.embed_dim()
    }

    /// Width of the CNN's feature, `F`.
    pub fn feature_dim(&self) -> usize {
        self.config().look.backbone.feature_dim()
    }

    /// Whether the model has two levels.
    pub fn has_grounded_level(&self) -> bool {
        self.model.image.has_grounded_level()
    }

    /// t_h and t_l of a text.
    pub fn encode_text(&self, text: &str) -> EmbeddingRows {
        self.encode_texts(&[text])
    }

    /// t_h and t_l of texts, in their order.
    pub fn encode_texts<S: AsRef<str>>(&self, texts: &[S]) -> EmbeddingRows {
        self.model.embed_captions(&self.tokens(texts))
    }

    /// Token ids of texts.
    fn tokens<S: AsRef<str>>(&self, texts: &[S]) -> Vec<Vec<u32>> {
        let most = self.config().data.token_limit();
        texts.iter().map(|text| self.vocabulary().encode_at_most(text.as_ref(), most)).collect()
    }

    /// The CNN, read at the first call.
    fn inference(&self) -> Result<&Inference> {
        if let Some(inference) = self.inference.get() {
            return Ok(inference);
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.inference.get().is_none() {
            let inference = apart(|| Ok::<_, Error>(Inference::new(&self.stored.backbone(&self.device)?)))?;
            return Ok(self.inference.get_or_init(|| inference));
        }
        self.inference()
    }

    /// Fingerprint of the CNN's weights alone.
    fn cnn_weights(&self) -> Result<&str> {
        if let Some(fingerprint) = self.cnn_fingerprint.get() {
            return Ok(fingerprint);
        }
        let fingerprint = self.stored.backbone(&self.device)?.fingerprint();
        Ok(self.cnn_fingerprint.get_or_init(|| fingerprint))
    }
}

/// Runs `work` on threads of its own. A thread of the common pool that waits takes other work meanwhile, which here would
/// wait for the lock that this thread holds.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("the system grants two threads");
    let outcome = std::thread::scope(|scope| scope.spawn(|| pool.install(work)).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests;
