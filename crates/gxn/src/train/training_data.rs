//! [`TrainingData`]: data, vocabulary and features of a run.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use rand::RngExt;
use rayon::prelude::*;

use super::caption_texts::{CaptionTexts, note_cut_by_encoder, note_cut_texts};
use super::feature_source::FeatureSource;
use super::image_pipeline::input_of;
use super::sample::Sample;
use super::sampler::Batch;
use super::train_images::TrainImages;
use crate::checkpoint::Checkpoint;
use crate::config::{DataConfig, LookConfig, RunConfig, Update, expand};
use crate::look::backbone::Backbone;
use crate::look::features::FeatureStore;
use crate::look::{
    EmbeddingFiles, FeatureNetwork, ImagePipeline, ImageTower, PretrainedEncoders, TextEncoder, TextFeatures,
};
use crate::matching::Pairs;
use crate::model::{EmbeddingRows, Gxn};
use crate::seed::mix;
use gxn_base::{Error, Progress, Remedy, Result};
use gxn_data::{
    ContentHash, Dataset, Dropped, Duplicates, Preprocess, Purpose, Split, UNKNOWN, Vocabulary, WordVectors,
};

/// Dropped items that are named before the rest is only counted.
const NAMED: usize = 5;

/// Data and features of a run.
#[derive(Debug)]
pub struct TrainingData {
    /// Images that can be read, with their captions.
    pub dataset: Dataset,
    /// Words of the train captions.
    pub vocabulary: Vocabulary,
    /// The CNN's input.
    pub input: ImagePipeline,
    /// The CNN, where there is one and it is not trained.
    pub frozen: Option<Backbone>,
    /// The pretrained encoders of the run.
    pub encoders: PretrainedEncoders,
    /// Where the features of images come from.
    pub features: FeatureSource,
    /// Token ids of every caption.
    pub tokens: Vec<Vec<u32>>,
    /// What a pretrained text encoder makes of every caption, where the run has one.
    pub text_features: Option<TextFeatures>,
    /// Which captions are the same.
    pub texts: CaptionTexts,
    /// Image of every caption.
    pub caption_image: Vec<usize>,
    /// Train images that are used, ascending.
    pub train_images: Vec<usize>,
    /// Their captions.
    pub train_captions: Vec<usize>,
    /// Those of them that have captions, ascending: the rows of whatever is kept for each train image.
    pub captioned: Vec<usize>,
}

impl TrainingData {
    /// Reads what `config` names: data, vocabulary, features; also returns the CNN, where it is trained. A checkpoint that was
    /// `saved` decides vocabulary and CNN. With a `sample` the data are some images only, see [`Sample`], and the words those
    /// of all. Features are cached in `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with data, weights or configuration.
    pub fn load(
        config: &RunConfig,
        saved: Option<&Checkpoint>,
        sample: Option<Sample>,
        folder: &Path,
        device: &Device,
        progress: &dyn Progress,
    ) -> Result<(Self, Option<Backbone>)> {
        let mut dataset = open_configured(&config.data)?;
        dataset.account.lines(NAMED).iter().for_each(|line| progress.note(line));
        match saved {
            Some(_) => has_enough(&dataset, config)?,
            None => check_dataset(&dataset, config)?,
        }
        let words_of = |dataset: &Dataset| match saved {
            Some(saved) => saved.vocabulary.clone(),
            None => train_words(dataset, config),
        };
        let words_of_all = sample.map(|_| words_of(&dataset));
        if let Some(sample) = sample {
            dataset = dataset.subset(&sample.of(&dataset, config));
        }
        // Before the features, which take long.
        let texts = dataset.captions.iter().map(|caption| caption.text.as_str());
        note_cut_texts(texts, &config.data, dataset.account.strict, progress)?;
        let input = input_for(config, saved);
        let encoders = PretrainedEncoders::open(config)?;
        // One that is not trained is kept as it was read, and makes features wherever training computes.
        let cnn_device = if config.look.finetune { device } else { &Device::flex() };
        let backbone = backbone_for(config, saved, cnn_device)?;
        let (features, trained, frozen) = match backbone {
            Some(backbone) if config.look.finetune => {
                let images = decoded_images(&mut dataset, &input, augmented(&config.look, &input), progress)?;
                (images, Some(unlocked(backbone, &config.look)), None)
            }
            None if let Some(files) = encoders.images.as_ref().and_then(ImageTower::files) => {
                refuse_generator(config, files)?;
                let rows = files.image_features(&dataset, 0..dataset.images.len())?;
                (FeatureSource::Stored { rows, width: files.width() }, None, None)
            }
            frozen => {
                let network = feature_network(&encoders, frozen.as_ref(), &input, device)?;
                (cached_features(&mut dataset, &network, folder, progress)?, None, frozen)
            }
        };
        has_enough(&dataset, config)?;
        let vocabulary = words_of_all.unwrap_or_else(|| words_of(&dataset));
        let encode = |text: &str| vocabulary.encode_at_most(text, config.data.token_limit());
        let tokens: Vec<Vec<u32>> = dataset.captions.iter().map(|caption| encode(&caption.text)).collect();
        let text_features = text_features(encoders.texts.as_ref(), &dataset, folder, progress)?;
        let caption_image: Vec<usize> = dataset.captions.iter().map(|caption| caption.image).collect();
        let train_images = used_train_images(&dataset, config);
        let is_used = |caption: &usize| train_images.binary_search(&caption_image[*caption]).is_ok();
        let train_captions = (0..dataset.captions.len()).filter(is_used).collect();
        let has_captions = |image: &usize| !dataset.captions_of(*image).is_empty();
        let captioned = train_images.iter().copied().filter(has_captions).collect();
        let data = Self {
            dataset,
            vocabulary,
            input,
            frozen,
            encoders,
            features,
            texts: CaptionTexts::new(&tokens),
            tokens,
            text_features,
            caption_image,
            train_images,
            train_captions,
            captioned,
        };
        Ok((data, trained))
    }

    /// Images, captions and words in one sentence.
    pub fn summary(&self) -> String {
        format!(
            "{}: {} train images with {} captions, {} val and {} test images; {} words",
            self.dataset.name,
            self.train_images.len(),
            self.train_captions.len(),
            self.dataset.split_indices(Split::Val).len(),
            self.dataset.split_indices(Split::Test).len(),
            self.vocabulary.len()
        )
    }

    /// The token ids of a step's captions; a share `unknown` of the words is replaced by the unknown word.
    pub fn step_captions(&self, members: &[usize], unknown: f64, seed: u64) -> Vec<Vec<u32>> {
        let mut captions: Vec<Vec<u32>> = members.iter().map(|&c| self.tokens[c].clone()).collect();
        if unknown > 0.0 {
            let mut random = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(mix(seed, 0x0dd));
            for caption in &mut captions {
                let last = caption.len().saturating_sub(1);
                for token in caption.iter_mut().take(last).skip(1) {
                    if random.random_bool(unknown) {
                        *token = UNKNOWN;
                    }
                }
            }
        }
        captions
    }

    /// Which captions of a step belong to which of its images. With `equal_captions` a caption that is, word by word, one of
    /// an image's own, is no negative of that image, though it is another image's.
    pub fn pairs(&self, batch: &Batch, equal_captions: bool) -> Pairs {
        let mut pairs = Pairs::new(batch.rows.clone(), batch.images.len());
        if equal_captions {
            let texts_of =
                |&image: &usize| self.dataset.captions_of(image).map(|caption| self.texts.of(caption)).collect();
            let own: Vec<HashSet<u32>> = batch.images.iter().map(texts_of).collect();
            pairs.exempt(|image, caption| own[image].contains(&self.texts.of(batch.captions[caption])));
        }
        pairs
    }

    /// Row of a train image among [`TrainingData::captioned`].
    ///
    /// # Panics
    /// If it is none of them.
    pub fn train_row(&self, image: usize) -> usize {
        self.captioned.binary_search(&image).expect("a step draws train images with captions")
    }

    /// Features of a split's images, in the data's order (`[N, F]`, row-major), and their width.
    ///
    /// # Errors
    /// When an image can no longer be read.
    pub fn split_features(&self, model: &Gxn, split: Split) -> Result<(Vec<f32>, usize)> {
        let images = self.dataset.split_indices(split);
        let features = self.features.mean_features(model, &images)?;
        let width = features.len() / images.len().max(1);
        Ok((features, width))
    }

    /// Embeddings of a split's captions, in the data's order.
    pub fn embed_captions(&self, model: &Gxn, split: Split) -> EmbeddingRows {
        let captions: Vec<usize> = self.dataset.captions_in(split).collect();
        let tokens: Vec<&[u32]> = captions.iter().map(|&c| self.tokens[c].as_slice()).collect();
        model.embed_captions(&tokens, self.text_features_of(&captions).as_ref())
    }

    /// The rows of [`TrainingData::text_features`] of these captions.
    pub fn text_features_of(&self, captions: &[usize]) -> Option<TextFeatures> {
        self.text_features.as_ref().map(|features| features.gather(captions))
    }

    /// Of each of a split's captions, the row of its image among the split's images.
    pub fn caption_rows(&self, split: Split) -> Vec<usize> {
        let images = self.dataset.split_indices(split);
        self.dataset
            .captions_in(split)
            .map(|c| images.binary_search(&self.caption_image[c]).unwrap_or_default())
            .collect()
    }
}

/// Opens the dataset that a configuration names.
///
/// # Errors
/// As [`Dataset::open`], and when it names none.
pub fn open_configured(config: &DataConfig) -> Result<Dataset> {
    if config.source.is_empty() {
        return Err(Error::invalid("data.source", "nothing", "a dataset").with_remedy(Remedy::NameData));
    }
    let mut options = config.options.clone();
    for path in [&mut options.images, &mut options.texts].into_iter().flatten() {
        *path = expand(&path.to_string_lossy())?;
    }
    Dataset::open(&expand(&config.source)?, &options)
}

/// Refuses a dataset that cannot be trained on, and word vectors that are not of its language or cannot be read: before images
/// are read, which takes long.
///
/// # Errors
/// When the dataset lacks images, or as [`WordVectors::load`].
pub fn check_dataset(dataset: &Dataset, config: &RunConfig) -> Result<()> {
    has_enough(dataset, config)?;
    match (&config.look.sentence.word_vectors, &config.train.init_from) {
        (Some(file), None) => WordVectors::load(&expand(&file.path)?, &train_words(dataset, config)).map(|_| ()),
        // They come with the run that this one is initialised from.
        _ => Ok(()),
    }
}

/// The words of the train captions, as far as they are read.
fn train_words(dataset: &Dataset, config: &RunConfig) -> Vocabulary {
    Vocabulary::from_texts_at_most(train_texts(dataset, config), config.data.token_limit(), config.data.min_count)
}

/// Refuses what cannot be trained on; asked again after images were read.
fn has_enough(dataset: &Dataset, config: &RunConfig) -> Result<()> {
    let [_, val, test] = dataset.split_sizes();
    Purpose::Train.require(&dataset.name, [used_train_images(dataset, config).len(), val, test])
}

/// Train images that are used, ascending.
pub(super) fn used_train_images(dataset: &Dataset, config: &RunConfig) -> Vec<usize> {
    let mut images = dataset.split_indices(Split::Train);
    if config.data.max_train_images > 0 {
        images.truncate(config.data.max_train_images);
    }
    images
}

fn train_texts<'a>(dataset: &'a Dataset, config: &RunConfig) -> impl Iterator<Item = &'a str> {
    let used = used_train_images(dataset, config);
    dataset.captions.iter().filter(move |c| used.binary_search(&c.image).is_ok()).map(|c| c.text.as_str())
}

/// The CNN's input: that of the checkpoint that was `saved`, if there is one, as far as the configuration sets nothing else.
pub(super) fn input_for(config: &RunConfig, saved: Option<&Checkpoint>) -> ImagePipeline {
    input_of(&config.look, saved.map(|saved| &saved.pipeline.preprocess))
}

/// The CNN of the checkpoint that was `saved`, else the one that the configuration names; none where it names an encoder.
pub(super) fn backbone_for(
    config: &RunConfig,
    saved: Option<&Checkpoint>,
    device: &Device,
) -> Result<Option<Backbone>> {
    if config.look.encoder.is_some() {
        return Ok(None);
    }
    match saved.and_then(|s| s.frozen.clone().or_else(|| s.model.backbone.clone())) {
        Some(backbone) => Ok(Some(backbone)),
        None => first_backbone(config, device).map(Some),
    }
}

/// Refuses to generate images that nothing could encode.
fn refuse_generator(config: &RunConfig, files: &EmbeddingFiles) -> Result<()> {
    if config.train.stage.has(Update::Generator) { Err(files.refusal("a generated image")) } else { Ok(()) }
}

/// What makes the features of images where it is not trained; a CNN computes on `device`.
pub(super) fn feature_network(
    encoders: &PretrainedEncoders,
    backbone: Option<&Backbone>,
    input: &ImagePipeline,
    device: &Device,
) -> Result<FeatureNetwork> {
    match (&encoders.images, backbone) {
        (Some(tower), _) => Ok(FeatureNetwork::Tower(tower.clone())),
        (None, Some(backbone)) => Ok(FeatureNetwork::cnn(backbone, input.clone(), device)),
        (None, None) => Err(Error::invalid("the features of images", "no network", "a CNN or a pretrained encoder")),
    }
}

fn first_backbone(config: &RunConfig, device: &Device) -> Result<Backbone> {
    let look = &config.look;
    let files = look.backbone.weight_files();
    if look.weights.is_empty() && files.is_empty() && !look.finetune {
        let found = format!("false, though nobody publishes weights of {}", look.backbone);
        return Err(Error::invalid("configuration key look.finetune", found, "true: this CNN learns from your images")
            .with_hint("--set look.finetune=true trains it; look.weights=random keeps it as it is drawn"));
    }
    if look.weights == "random" || (look.weights.is_empty() && files.is_empty()) {
        return Ok(Backbone::random(look.backbone, device, config.train.seed));
    }
    if look.weights.is_empty() {
        let names: Vec<String> =
            files.iter().map(|f| format!("{} ({}; sha256 {})", f.name, f.publisher, f.sha256)).collect();
        return Err(Error::invalid("look.weights", "nothing", format!("the weights of {}", look.backbone))
            .with_remedy(Remedy::NameWeights(names.join("\n  "))));
    }
    Backbone::load(look.backbone, &expand(&look.weights)?, device)
}

/// What is done to an image that a step shows changed, if steps do.
fn augmented(look: &LookConfig, input: &ImagePipeline) -> Option<Preprocess> {
    let side_px = if look.augment_side_px == 0 { input.preprocess.side_px } else { look.augment_side_px };
    look.augment.then(|| input.preprocess.with_side(side_px))
}

/// The CNN with the groups that the configuration trains; statistics of its normalisation stay as they are.
fn unlocked(backbone: Backbone, look: &LookConfig) -> Backbone {
    let cut = if look.finetune_groups == 0 { 0 } else { backbone.cut_below(look.finetune_groups) };
    backbone.freeze_below(cut)
}

/// Images for a CNN that is trained; those that cannot be read leave the dataset.
fn decoded_images(
    dataset: &mut Dataset,
    input: &ImagePipeline,
    augmented: Option<Preprocess>,
    progress: &dyn Progress,
) -> Result<FeatureSource> {
    let sources = dataset.images.iter().map(|image| image.source.clone()).collect();
    let (images, bad) = TrainImages::decode(sources, input.clone(), augmented, progress)?;
    leave_out(dataset, bad, progress)?;
    let contents = dataset.images.par_iter().map(|image| image.content.map_or_else(|| image.source.content_hash(), Ok));
    report_leaks(dataset, &contents.collect::<Result<Vec<_>>>()?, progress)?;
    Ok(FeatureSource::Images(images))
}

/// Features from the cache in the folder `features`; missing ones are computed by `network`. Images that cannot be read leave
/// the dataset.
fn cached_features(
    dataset: &mut Dataset,
    network: &FeatureNetwork,
    features: &Path,
    progress: &dyn Progress,
) -> Result<FeatureSource> {
    let sources: Vec<_> = dataset.images.iter().map(|image| image.source.clone()).collect();
    let built = FeatureStore::build(features, network, &sources, &mut |state| {
        progress.update("images", state.done, state.total);
        if progress.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let (store, contents, dropped) = built;
    let reasons: HashMap<&str, &str> = dropped.iter().map(|d| (d.what.as_str(), d.reason.as_str())).collect();
    let (mut kept, mut bad) = (Vec::with_capacity(contents.len()), Vec::new());
    for (at, content) in contents.into_iter().enumerate() {
        match content {
            Some(content) => kept.push(content),
            None => {
                let reason = reasons.get(sources[at].to_string().as_str()).copied();
                bad.push((at, reason.unwrap_or("cannot be read").to_owned()));
            }
        }
    }
    leave_out(dataset, bad, progress)?;
    report_leaks(dataset, &kept, progress)?;
    Ok(FeatureSource::Cached { store: Box::new(store), contents: kept })
}

/// What a pretrained text encoder makes of every caption; computed once and kept in `folder`.
fn text_features(
    encoder: Option<&TextEncoder>,
    dataset: &Dataset,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Option<TextFeatures>> {
    let Some(encoder) = encoder else { return Ok(None) };
    let texts: Vec<&str> = dataset.captions.iter().map(|caption| caption.text.as_str()).collect();
    note_cut_by_encoder(encoder, &texts, dataset.account.strict, progress)?;
    let features = encoder.features_in(folder, dataset, |done| {
        progress.update("captions", done, texts.len());
        if progress.cancelled() { Err(Error::interrupted()) } else { Ok(()) }
    })?;
    Ok(Some(features))
}

/// Removes images that cannot be read, with their captions, and reports it; in strict mode they are refused.
fn leave_out(dataset: &mut Dataset, bad: Vec<(usize, String)>, progress: &dyn Progress) -> Result<()> {
    if bad.is_empty() {
        return Ok(());
    }
    let mut account = dataset.account.later();
    let dropped =
        bad.iter().map(|(at, reason)| Dropped { what: dataset.images[*at].id.clone(), reason: reason.clone() });
    account.dropped = dropped.collect();
    account.lines(NAMED).iter().for_each(|line| progress.note(line));
    account.require_clean(&dataset.name)?;
    let gone: std::collections::HashSet<usize> = bad.iter().map(|(at, _)| *at).collect();
    let keep: Vec<usize> = (0..dataset.images.len()).filter(|at| !gone.contains(at)).collect();
    if keep.is_empty() {
        let what = format!("the images of {}", dataset.name);
        return Err(Error::invalid(what, "none that can be read", "images").with_remedy(Remedy::CheckData));
    }
    *dataset = dataset.subset(&keep);
    Ok(())
}

/// Reports identical images in several splits, as a check does; in strict mode they are refused.
fn report_leaks(dataset: &Dataset, contents: &[ContentHash], progress: &dyn Progress) -> Result<()> {
    let contents: Vec<_> = contents.iter().copied().map(Some).collect();
    let mut account = dataset.account.later();
    account.warnings.extend(Duplicates::leak_warning(&Duplicates::find(dataset, &contents)));
    account.lines(NAMED).iter().for_each(|line| progress.note(line));
    account.require_clean(&dataset.name)
}
