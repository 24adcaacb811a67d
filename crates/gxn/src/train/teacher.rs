//! [`Teacher`]: models that a run learns from beside its pairs (knowledge distillation, Hinton et al. 2015).

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use super::sampler::Batch;
use super::scale::fitted_scale;
use super::training_data::TrainingData;
use crate::config::{LossKind, RunConfig, TrainConfig, expand};
use crate::look::EmbeddingFiles;
use gxn_base::{Error, Result};

/// The mean cosines of models whose embeddings of the train pairs lie in files. One of them may be a run with another seed, or any
/// other program's encoder.
#[derive(Debug)]
pub struct Teacher {
    models: Vec<EmbeddingFiles>,
    /// 1 / temperature that fits the mean cosines of train pairs.
    scale: f32,
}

impl Teacher {
    /// Refuses teachers that cannot be, before data are read.
    ///
    /// # Errors
    /// When a folder holds no embeddings or those of a model whose scores are no cosines, the loss is no softmax, or a weight of
    /// teachers is set and none is named.
    pub fn check(config: &RunConfig) -> Result<()> {
        let (t, default) = (&config.train, TrainConfig::default().distillation);
        if t.teachers.is_empty() && t.distillation != default {
            let found = format!("none, with train.distillation = {}", t.distillation);
            return Err(Error::invalid("train.teachers", found, "the folders of the models to learn from")
                .with_hint("--set 'train.teachers=[\"DIR\"]'; gxn encode MODEL DATA --split train -o DIR writes one"));
        }
        for folder in &config.train.teachers {
            if config.matching.loss != LossKind::InfoNce {
                let expected = "matching.loss = \"info_nce\": teachers teach a softmax";
                return Err(Error::invalid("train.teachers", "another loss", expected));
            }
            if !EmbeddingFiles::are_in(&expand(folder)?) {
                let expected = "embeddings of the train pairs";
                return Err(Error::not_found(format!("the teacher {folder}"), "none", expected)
                    .with_hint("gxn encode MODEL DATA --split train -o DIR writes them"));
            }
            require_cosines(&expand(folder)?)?;
        }
        Ok(())
    }

    /// The teachers that a configuration names; none where it names none.
    ///
    /// # Errors
    /// When their files cannot be read or lack a train pair.
    pub fn open(config: &RunConfig, data: &TrainingData, device: &Device) -> Result<Option<Self>> {
        if config.train.teachers.is_empty() {
            return Ok(None);
        }
        let read = |folder: &String| EmbeddingFiles::read(&expand(folder)?);
        let models = config.train.teachers.iter().map(read).collect::<Result<Vec<_>>>()?;
        models.iter().try_for_each(|model| model.check(&data.dataset, &data.captioned))?;
        let mut teacher = Self { models, scale: 1.0 };
        teacher.scale = fitted_scale(data, config, device, |batch| teacher.logits(data, batch, device))?;
        Ok(Some(teacher))
    }

    /// What the teachers' softmax is taken of.
    ///
    /// # Errors
    /// As [`EmbeddingFiles::caption_rows`].
    ///
    /// # Shapes
    /// `B` images, `C` captions → `[B, C]`
    pub fn logits(&self, data: &TrainingData, batch: &Batch, device: &Device) -> Result<Tensor<2>> {
        let mut sum = Tensor::zeros([batch.images.len(), batch.captions.len()], device);
        for model in &self.models {
            let rows = |values: Vec<f32>| {
                let shape = [values.len() / model.width(), model.width()];
                Tensor::<2>::from_data(TensorData::new(values, shape), device)
            };
            let images = rows(model.image_features(&data.dataset, batch.images.iter().copied())?);
            let captions = rows(model.caption_rows(&data.dataset, &batch.captions)?);
            sum = sum + images.matmul(captions.transpose());
        }
        Ok(sum * (self.scale / self.models.len() as f32))
    }
}

/// Refuses the folder of a model whose scores are no cosines of its embeddings. Files of other programs do not say.
fn require_cosines(folder: &Path) -> Result<()> {
    let Ok(bytes) = std::fs::read(folder.join("metadata.json")) else { return Ok(()) };
    let facts: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match facts["similarity"].as_str() {
        Some(other) if other != "cosine" => Err(Error::unsupported(
            format!("the teacher {}", folder.display()),
            format!("embeddings for {other} similarity"),
            "those of a model with cosine similarity",
        )),
        _ => Ok(()),
    }
}
