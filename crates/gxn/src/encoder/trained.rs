//! [`Trained`]: a checkpoint, whose CNN is read with the first image.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::Device;

use crate::checkpoint::{Card, StoredCheckpoint};
use crate::config::RunConfig;
use crate::look::backbone::Inference;
use crate::look::features::{FeatureCache, FeatureSpec};
use crate::look::{ImagePipeline, TextEncoder, TextFeatures};
use crate::model::{EmbeddingRows, Gxn};
use gxn_base::{Error, Result};
use gxn_data::Vocabulary;
use image::RgbImage;

/// A network that gxn trained, with what its checkpoint says of it.
#[derive(Debug)]
pub struct Trained {
    stored: StoredCheckpoint,
    /// Without the CNN.
    pub(super) model: Gxn,
    pub(super) inference: OnceLock<Inference>,
    /// Held while the CNN is read.
    loading: Mutex<()>,
    cnn_fingerprint: OnceLock<String>,
    pub(super) device: Device,
    text_encoder: Option<TextEncoder>,
}

impl Trained {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let device = Device::flex();
        let stored = StoredCheckpoint::open(path)?;
        let model = stored.network(&device)?;
        let cnn_fingerprint = stored.cnn_fingerprint.clone().map_or_else(OnceLock::new, OnceLock::from);
        let (inference, loading) = (OnceLock::new(), Mutex::new(()));
        let text_encoder = stored.config.look.sentence.encoder.as_ref().map(TextEncoder::open).transpose()?;
        Ok(Self { stored, model, inference, loading, cnn_fingerprint, device, text_encoder })
    }

    /// The cache beside the run that the checkpoint is part of, if it is part of one.
    pub(super) fn feature_cache(&self) -> Result<Option<FeatureCache>> {
        let Some(folder) = FeatureCache::folder_of(&self.stored.folder) else { return Ok(None) };
        let spec = FeatureSpec::new(self.config().look.backbone, self.pipeline().clone());
        FeatureCache::open(&folder, &spec, self.cnn_weights()?).map(Some)
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

    pub(super) fn fingerprint(&self) -> &str {
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

    /// Width of the CNN's feature, `F`.
    pub(super) fn feature_dim(&self) -> usize {
        self.config().look.backbone.feature_dim()
    }

    /// The CNN's feature of an image, mean over the model's views, `[F]`.
    pub(super) fn feature(&self, image: &RgbImage) -> Result<Vec<f32>> {
        self.pipeline().mean_feature(self.inference()?, image)
    }

    pub(super) fn encode_features(&self, features: &[f32]) -> EmbeddingRows {
        self.model.embed_features(features, self.feature_dim(), &self.device)
    }

    pub(super) fn encode_texts<S: AsRef<str>>(&self, texts: &[S]) -> Result<EmbeddingRows> {
        Ok(self.model.embed_captions(&self.tokens(texts), self.text_features(texts)?.as_ref()))
    }

    /// What the pretrained text encoder makes of texts, where the model has one.
    pub(super) fn text_features<S: AsRef<str>>(&self, texts: &[S]) -> Result<Option<TextFeatures>> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.text_encoder.as_ref().map(|encoder| encoder.features(&texts, |_| Ok(()))).transpose()
    }

    /// Token ids of texts.
    pub(super) fn tokens<S: AsRef<str>>(&self, texts: &[S]) -> Vec<Vec<u32>> {
        let most = self.config().data.token_limit();
        texts.iter().map(|text| self.vocabulary().encode_at_most(text.as_ref(), most)).collect()
    }

    /// The CNN, read at the first call.
    pub(super) fn inference(&self) -> Result<&Inference> {
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
