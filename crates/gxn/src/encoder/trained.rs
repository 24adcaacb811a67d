//! [`Trained`]: a checkpoint, whose CNN or image encoder is read with the first image.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::Device;

use crate::checkpoint::{Card, StoredCheckpoint};
use crate::config::RunConfig;
use crate::look::features::{FeatureCache, FeatureSpec};
use crate::look::{
    EmbeddingFiles, FeatureNetwork, ImagePipeline, ImageTower, PretrainedEncoders, TextEncoder, TextFeatures,
};
use crate::model::{EmbeddingRows, Gxn};
use gxn_base::{Error, Result};
use gxn_data::{Dataset, Vocabulary};
use image::RgbImage;

/// A network that gxn trained, with what its checkpoint says of it.
#[derive(Debug)]
pub struct Trained {
    stored: StoredCheckpoint,
    /// Without the CNN.
    pub(super) model: Gxn,
    pub(super) features: OnceLock<FeatureNetwork>,
    /// Held while the CNN is read.
    loading: Mutex<()>,
    cnn_fingerprint: OnceLock<String>,
    pub(super) device: Device,
    pub(super) encoders: PretrainedEncoders,
}

impl Trained {
    pub(super) fn load(path: &Path, device: &Device) -> Result<Self> {
        let stored = StoredCheckpoint::open(path)?;
        let model = stored.network(device)?;
        let cnn_fingerprint = stored.cnn_fingerprint.clone().map_or_else(OnceLock::new, OnceLock::from);
        let (features, loading) = (OnceLock::new(), Mutex::new(()));
        let encoders = PretrainedEncoders::open(&stored.config)?;
        Ok(Self { stored, model, features, loading, cnn_fingerprint, device: device.clone(), encoders })
    }

    /// The cache beside the run that the checkpoint is part of, if it is part of one.
    pub(super) fn feature_cache(&self) -> Result<Option<FeatureCache>> {
        let Some(folder) = FeatureCache::folder_of(&self.stored.folder) else { return Ok(None) };
        if self.image_files().is_some() {
            return Ok(None);
        }
        let spec = match &self.encoders.images {
            Some(tower) => FeatureSpec::encoder(tower.width()),
            None => FeatureSpec::cnn(self.config().look.backbone, self.pipeline().clone()),
        };
        FeatureCache::open(&folder, &spec, &self.weights_fingerprint()?).map(Some)
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

    /// Fingerprint of the CNN and of what is done to an image before it, or of the pretrained encoder: models in which these
    /// are equal see the same features.
    ///
    /// # Errors
    /// When the CNN cannot be read.
    pub fn feature_fingerprint(&self) -> Result<String> {
        let weights = self.weights_fingerprint()?;
        if self.encoders.images.is_some() {
            return Ok(weights);
        }
        let pipeline = serde_json::to_string(self.pipeline()).expect("plain data is valid JSON");
        Ok(format!("{weights} {pipeline}"))
    }

    /// Embeddings of another program in the place of image features, if the model was trained on such.
    pub fn image_files(&self) -> Option<&EmbeddingFiles> {
        self.encoders.images.as_ref().and_then(ImageTower::files)
    }

    /// t_h and t_l of a dataset's captions at these positions.
    pub(super) fn encode_captions(&self, dataset: &Dataset, captions: &[usize]) -> Result<EmbeddingRows> {
        let texts: Vec<&str> = captions.iter().map(|&at| dataset.captions[at].text.as_str()).collect();
        let features = match self.encoders.texts.as_ref().and_then(TextEncoder::files) {
            Some(files) => Some(files.text_features(dataset, captions)?),
            None => self.text_features(&texts)?,
        };
        Ok(self.model.embed_captions(&self.tokens(&texts), features.as_ref()))
    }

    /// Width of an image's feature, `F`.
    pub(super) fn feature_dim(&self) -> usize {
        self.config().look.feature_dim()
    }

    /// Whether every core makes the feature of an image by itself.
    pub(super) fn is_fed_one_by_one(&self) -> bool {
        self.encoders.images.is_none() && self.device == Device::flex()
    }

    /// The feature of an image, mean over the model's views, `[F]`.
    pub(super) fn feature(&self, image: &RgbImage) -> Result<Vec<f32>> {
        self.features()?.mean_features(std::slice::from_ref(image))
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
        self.encoders.texts.as_ref().map(|encoder| encoder.features(&texts)).transpose()
    }

    /// Token ids of texts.
    pub(super) fn tokens<S: AsRef<str>>(&self, texts: &[S]) -> Vec<Vec<u32>> {
        let most = self.config().data.token_limit();
        texts.iter().map(|text| self.vocabulary().encode_at_most(text.as_ref(), most)).collect()
    }

    /// What makes features, read at the first call.
    pub(super) fn features(&self) -> Result<&FeatureNetwork> {
        if let Some(features) = self.features.get() {
            return Ok(features);
        }
        if let Some(tower) = &self.encoders.images {
            let tower = FeatureNetwork::Tower(tower.clone());
            tower.load()?;
            return Ok(self.features.get_or_init(|| tower));
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.features.get().is_none() {
            let read = || {
                let backbone = self.stored.backbone(&Device::flex())?;
                Ok::<_, Error>(FeatureNetwork::cnn(&backbone, self.pipeline().clone(), &self.device))
            };
            let features = apart(read)?;
            return Ok(self.features.get_or_init(|| features));
        }
        self.features()
    }

    /// Fingerprint of the CNN's weights alone, or of the pretrained encoder.
    fn weights_fingerprint(&self) -> Result<String> {
        if let Some(tower) = &self.encoders.images {
            return tower.fingerprint();
        }
        if let Some(fingerprint) = self.cnn_fingerprint.get() {
            return Ok(fingerprint.clone());
        }
        let fingerprint = self.stored.backbone(&Device::flex())?.fingerprint();
        Ok(self.cnn_fingerprint.get_or_init(|| fingerprint).clone())
    }
}

/// Runs `work` on threads of its own. A thread of the common pool that waits takes other work meanwhile, which here would
/// wait for the lock that this thread holds.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("the system grants two threads");
    let outcome = std::thread::scope(|scope| scope.spawn(|| pool.install(work)).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
