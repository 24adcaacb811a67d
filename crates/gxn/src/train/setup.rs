//! Everything before the first step: data, and a network with its first weights.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

use super::sample::Sample;
use super::sampler::Batch;
use super::scale::fitted_scale;
use super::training_data::TrainingData;
use crate::checkpoint::{Checkpoint, weights};
use crate::config::{RunConfig, Update, expand};
use crate::imagine::CaptionDecoder;
use crate::look::backbone::Backbone;
use crate::look::{Init, Phase, TokenBatch};
use crate::matching::combined_scores;
use crate::model::{Generators, Gxn};
use gxn_base::{Progress, Result};
use gxn_data::{Vocabulary, WordVectors};

/// Bound of the first entries of a word without a pretrained vector.
const UNSEEN_WORD_BOUND: f32 = 0.3;
/// Parts that one network may have and another not.
const OPTIONAL: [&str; 4] = ["backbone.", "caption_decoder.", "image_generator.", "discriminator."];
/// What comes from the second of two merged networks (spec §9.2): what the text-to-image path trained.
const MERGED: [&str; 3] = ["sentence.grounded_", "image_generator.", "discriminator."];

/// Where a run's first weights come from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// Drawn from the seed.
    New,
    /// Another run, which also decides vocabulary and CNN; and perhaps a second one, whose sentence side of the grounded level,
    /// generator and discriminator take the place of the first one's. What neither has is drawn from the seed.
    InitFrom(&'a Checkpoint, Option<&'a Checkpoint>),
    /// The same run, some steps ago: only shapes count, the weights are replaced by the saved ones.
    Resumed(&'a Checkpoint),
}

/// Reads the data that `config` names, or a `sample` of them, and makes the network.
///
/// # Errors
/// Everything that is wrong with data, weights or configuration.
pub fn setup(
    config: &RunConfig,
    origin: Origin,
    sample: Option<Sample>,
    features: &Path,
    device: &Device,
    progress: &dyn Progress,
) -> Result<(TrainingData, Gxn)> {
    let saved = match origin {
        Origin::New => None,
        Origin::InitFrom(saved, _) | Origin::Resumed(saved) => Some(saved),
    };
    let (data, trained) = TrainingData::load(config, saved, sample, features, device, progress)?;
    let config = &described(config, &data, progress)?;
    let model = match origin {
        Origin::New => new_network(config, &data, trained, device, progress)?,
        Origin::InitFrom(first, second) => initialised_network(config, &data, trained, first, second, device)?,
        Origin::Resumed(saved) => network_like(config, &data, trained, saved, device),
    };
    let name = if sample.is_some() { "a sample of " } else { "" };
    progress.note(&format!("{name}{}", data.summary()));
    Ok((data, model))
}

/// The configuration with what the files say of its encoders.
fn described(config: &RunConfig, data: &TrainingData, progress: &dyn Progress) -> Result<RunConfig> {
    let described = data.encoders.described(config.clone())?;
    let (asked, given) = (config.look.embed_dim, described.look.embed_dim);
    if asked != given {
        progress.note(&format!("the joint space is {given} wide, as the encoder is (matching.prior), not {asked}"));
    }
    Ok(described)
}

/// A network of first weights. Word vectors come from a file where the configuration names one, the transform of features is
/// fitted on the train images.
fn new_network(
    config: &RunConfig,
    data: &TrainingData,
    trained: Option<Backbone>,
    device: &Device,
    progress: &dyn Progress,
) -> Result<Gxn> {
    let init = Init::new(config.train.seed, device);
    let vectors = match &config.look.sentence.word_vectors {
        Some(file) => Some(first_word_matrix(&expand(&file.path)?, &data.vocabulary, &init, progress)?),
        None => None,
    };
    let generators = generators_of(config, data, None);
    let mut model = Gxn::new(&init, config, data.vocabulary.len(), vectors, trained, generators);
    data.features.fit_transform(&mut model, &data.train_images, &init)?;
    if config.matching.prior {
        let scale = fitted_scale(data, config, device, |batch| untrained_scores(&model, data, config, batch, device))?;
        model.log_scale = init.constant(scale.ln(), [1]);
    }
    Ok(model)
}

/// The scores of a batch, `[B, C]`, by a network as it is.
fn untrained_scores(
    model: &Gxn,
    data: &TrainingData,
    config: &RunConfig,
    batch: &Batch,
    device: &Device,
) -> Result<Tensor<2>> {
    let features = data.features.mean_features(model, &batch.images)?;
    let shape = [batch.images.len(), features.len() / batch.images.len().max(1)];
    let images = model.encode_image(Tensor::from_data(TensorData::new(features, shape), device), Phase::Evaluate);
    let captions = TokenBatch::new(&data.step_captions(&batch.captions, 0.0, 0))
        .with_features(data.text_features_of(&batch.captions));
    let captions = model.encode_text(&captions, Phase::Evaluate);
    Ok(combined_scores(&images, &captions, config.matching.similarity, config.matching.effective_lambda()))
}

/// A network with the weights of `first`, some parts of it from `second`; what neither has is drawn from the seed.
fn initialised_network(
    config: &RunConfig,
    data: &TrainingData,
    trained: Option<Backbone>,
    first: &Checkpoint,
    second: Option<&Checkpoint>,
    device: &Device,
) -> Result<Gxn> {
    let mut arrays = weights::collect(&first.model);
    if let Some(second) = second {
        arrays.retain(|name, _| !is_merged(name));
        arrays.extend(weights::collect(&second.model).into_iter().filter(|(name, _)| is_merged(name)));
    }
    let place = config.train.init_from.as_deref().unwrap_or_default();
    weights::begin_with(network_like(config, data, trained, first, device), arrays, &OPTIONAL, place)
}

/// A network of the shapes that `saved` has; its weights are about to be replaced.
fn network_like(
    config: &RunConfig,
    data: &TrainingData,
    trained: Option<Backbone>,
    saved: &Checkpoint,
    device: &Device,
) -> Gxn {
    // Pretrained vectors keep their own width, which only the saved matrix knows.
    let vectors = config.look.sentence.word_vectors.as_ref().map(|_| {
        let words = &weights::collect(&saved.model)["sentence.words"];
        (words.values.clone(), words.shape[1])
    });
    let generators = generators_of(config, data, saved.model.caption_decoder.as_ref());
    Gxn::new(&Init::new(config.train.seed, device), config, data.vocabulary.len(), vectors, trained, generators)
}

/// The generators that the stage trains; a caption decoder keeps the words that a `saved` one knows.
fn generators_of(config: &RunConfig, data: &TrainingData, saved: Option<&CaptionDecoder>) -> Generators {
    let stage = config.train.stage;
    let outputs = || {
        saved.map_or_else(
            || {
                let captions: Vec<&[u32]> = data.train_captions.iter().map(|&c| data.tokens[c].as_slice()).collect();
                CaptionDecoder::outputs_for(&captions, data.vocabulary.len(), config.imagine.caption.min_count)
            },
            CaptionDecoder::outputs,
        )
    };
    Generators { words: stage.has(Update::Caption).then(outputs), images: stage.has(Update::Generator) }
}

/// Whether a tensor comes from the second of two merged networks.
fn is_merged(name: &str) -> bool {
    MERGED.iter().any(|prefix| name.starts_with(prefix))
}

/// W_e from a file of vectors; words without one are drawn at random.
fn first_word_matrix(
    path: &Path,
    vocabulary: &Vocabulary,
    init: &Init,
    progress: &dyn Progress,
) -> Result<(Vec<f32>, usize)> {
    let vectors = WordVectors::load(path, vocabulary)?;
    let width = vectors.dimension;
    let mut random = init.stream("unseen words");
    let mut matrix: Vec<f32> =
        (0..vocabulary.len() * width).map(|_| (random.random::<f32>() * 2.0 - 1.0) * UNSEEN_WORD_BOUND).collect();
    for (row, &number) in vectors.numbers.iter().enumerate() {
        let to = number as usize * width;
        matrix[to..to + width].copy_from_slice(&vectors.values[row * width..(row + 1) * width]);
    }
    progress.note(&format!("word vectors: {width} wide, {:.1} % of the words found", 100.0 * vectors.coverage()));
    Ok((matrix, width))
}
