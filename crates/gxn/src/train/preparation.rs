//! Everything before the first step: data, vocabulary, word vectors, features, a first network.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use rand::RngExt;

use super::event::Event;
use super::feed::Feed;
use crate::checkpoint::{Checkpoint, weights};
use crate::config::{DataConfig, LookConfig, RunConfig, Views, expand};
use crate::imagine::CaptionDecoder;
use crate::look::backbone::Backbone;
use crate::look::features::{FeatureSpec, FeatureStore};
use crate::look::{ImagePipeline, Init};
use crate::model::{EmbeddingRows, Generators, Gxn};
use crate::seed::mix;
use gxn_base::{Error, Remedy, Result};
use gxn_data::{Dataset, Dropped, ResizeRule, Split, UNKNOWN, View, Vocabulary, WordVectors};

/// Dropped items that are named before the rest is only counted.
const NAMED: usize = 5;
/// Standard deviation of a word without a pretrained vector.
const UNSEEN_WORD_BOUND: f32 = 0.3;

/// Data and features of a run.
#[derive(Debug)]
pub struct Prepared {
    /// Pictures that can be read, with their captions.
    pub dataset: Dataset,
    /// Words of the train captions.
    pub vocabulary: Vocabulary,
    /// The CNN's input.
    pub input: ImagePipeline,
    /// The CNN, where it is not trained.
    pub frozen: Option<Backbone>,
    /// Features.
    pub feed: Feed,
    /// Token ids of every caption.
    pub tokens: Vec<Vec<u32>>,
    /// Image of every caption.
    pub caption_image: Vec<usize>,
    /// Captions of the train images that are used.
    pub train_captions: Vec<usize>,
    /// Number of train images that are used.
    pub train_images: usize,
    /// Those of them that have captions, ascending: the rows of whatever is kept for each train image.
    pub captioned: Vec<usize>,
}

/// Parts that one network may have and another not.
const GENERATED: [&str; 4] = ["backbone.", "caption_decoder.", "image_generator.", "discriminator."];
/// What comes from the second of two merged networks (spec §9.2): what the text-to-image path trained.
const MERGED: [&str; 4] = ["sentence.grounded_gru.", "sentence.grounded_map.", "image_generator.", "discriminator."];

/// Where a run's first weights come from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// Drawn from the seed.
    New,
    /// Another run, which also decides vocabulary and CNN; and perhaps a second one, whose sentence side of the grounded level,
    /// generator and discriminator take the place of the first one's. What neither has is drawn from the seed.
    Start(&'a Checkpoint, Option<&'a Checkpoint>),
    /// The same run, some steps ago: only shapes count, the weights are replaced by the saved ones.
    Resumed(&'a Checkpoint),
}

/// Reads what `config` names.
///
/// # Errors
/// Everything that is wrong with data, weights or configuration.
pub fn prepare(
    config: &RunConfig,
    origin: Origin,
    features: &Path,
    device: &Device,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Event),
) -> Result<(Prepared, Gxn)> {
    let saved = match origin {
        Origin::New => None,
        Origin::Start(saved, _) | Origin::Resumed(saved) => Some(saved),
    };
    let mut dataset = open_data(config, report)?;
    has_enough(&dataset, config)?;
    let input = saved.map_or_else(|| input_of(&config.look), |saved| saved.pipeline.clone());
    let init = Init::new(config.train.seed, device);
    let backbone = match saved.and_then(|s| s.frozen.clone().or_else(|| s.model.backbone.clone())) {
        Some(backbone) => backbone,
        None => first_backbone(config, device)?,
    };

    let (feed, trained, frozen) = if config.look.finetune {
        let sources = dataset.images.iter().map(|image| image.source.clone()).collect();
        let (feed, bad) = Feed::pictures(sources, input.clone(), stop)?;
        leave_out(&mut dataset, bad, report)?;
        (feed, Some(unlocked(backbone, &config.look)), None)
    } else {
        let feed = cached_feed(config, &mut dataset, &input, &backbone, features, stop, report)?;
        (feed, None, Some(backbone))
    };

    has_enough(&dataset, config)?;
    let vocabulary = match saved {
        Some(saved) => saved.vocabulary.clone(),
        None => Vocabulary::from_texts(train_texts(&dataset, config), config.data.min_count),
    };
    let caption_image: Vec<usize> = dataset.captions.iter().map(|caption| caption.image).collect();
    let most = match config.look.sentence.max_words {
        0 => usize::MAX,
        words => words,
    };
    let tokens: Vec<Vec<u32>> =
        dataset.captions.iter().map(|caption| vocabulary.encode_at_most(&caption.text, most)).collect();
    let used = used_train_images(&dataset, config);
    let train_captions: Vec<usize> =
        (0..dataset.captions.len()).filter(|&c| used.binary_search(&caption_image[c]).is_ok()).collect();
    let vectors = match (&config.look.sentence.word_vectors, saved) {
        (Some(file), None) => Some(first_word_matrix(&expand(&file.path)?, &vocabulary, &init, report)?),
        (Some(_), Some(saved)) => {
            // Only the shape counts: the weights are replaced by the saved ones.
            let words = &weights::collect(&saved.model)["sentence.words"];
            Some((words.values.clone(), words.shape[1]))
        }
        (None, _) => None,
    };
    let words = config.train.stage.trains_words().then(|| {
        saved.and_then(|saved| saved.model.caption_decoder.as_ref()).map_or_else(
            || {
                let captions: Vec<&[u32]> = train_captions.iter().map(|&c| tokens[c].as_slice()).collect();
                CaptionDecoder::outputs_for(&captions, vocabulary.len(), config.imagine.words.min_count)
            },
            CaptionDecoder::outputs,
        )
    });
    let generators = Generators { words, images: config.train.stage.trains_pictures() };
    let mut model = Gxn::new(&init, config, vocabulary.len(), vectors, trained, generators);
    match origin {
        Origin::New => feed.fit_transform(&mut model, &used, &init)?,
        Origin::Start(start, merged) => {
            let place = config.train.start_from.as_deref().unwrap_or_default();
            let mut arrays = weights::collect(&start.model);
            if let Some(merged) = merged {
                arrays.retain(|name, _| !is_merged(name));
                arrays.extend(weights::collect(&merged.model).into_iter().filter(|(name, _)| is_merged(name)));
            }
            model = weights::begin_with(model, arrays, &GENERATED, place)?;
        }
        Origin::Resumed(_) => {}
    }
    let train_images = used.len();
    report(Event::Note(format!(
        "{}: {} train images with {} captions, {} val and {} test images; {} words",
        dataset.name,
        train_images,
        train_captions.len(),
        dataset.split_indices(Split::Val).len(),
        dataset.split_indices(Split::Test).len(),
        vocabulary.len()
    )));
    let prepared = Prepared {
        captioned: used.into_iter().filter(|&image| !dataset.captions_of(image).is_empty()).collect(),
        dataset,
        vocabulary,
        input,
        frozen,
        feed,
        tokens,
        caption_image,
        train_captions,
        train_images,
    };
    Ok((prepared, model))
}

impl Prepared {
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

    /// Row of a train image among [`Prepared::captioned`].
    ///
    /// # Panics
    /// If it is none of them.
    pub fn train_row(&self, image: usize) -> usize {
        self.captioned.binary_search(&image).expect("a step draws train images with captions")
    }

    /// CNN features of a split's images, in the data's order (`[N, F]`, row-major), and their width.
    ///
    /// # Errors
    /// When a picture can no longer be read.
    pub fn features(&self, model: &Gxn, split: Split) -> Result<(Vec<f32>, usize)> {
        let images = self.dataset.split_indices(split);
        let features = self.feed.mean_features(model, &images)?;
        let width = features.len() / images.len().max(1);
        Ok((features, width))
    }

    /// Embeddings of a split's captions, in the data's order.
    pub fn embed_captions(&self, model: &Gxn, split: Split) -> EmbeddingRows {
        let captions: Vec<&[u32]> = self.dataset.captions_in(split).map(|c| self.tokens[c].as_slice()).collect();
        model.embed_captions(&captions)
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

fn open_data(config: &RunConfig, report: &mut dyn FnMut(Event)) -> Result<Dataset> {
    let dataset = open_configured(&config.data)?;
    report_dropped("left out while reading", &dataset.account.left_out(), report);
    Ok(dataset)
}

/// Opens the data set that a configuration names.
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

/// Refuses what cannot be trained on; asked before the pictures are looked at, which takes long, and again after it.
fn has_enough(dataset: &Dataset, config: &RunConfig) -> Result<()> {
    let val = dataset.images.iter().filter(|image| image.split == Split::Val).count();
    // A batch is its own negatives: one picture has none.
    for (split, found, least) in [(Split::Train, used_train_images(dataset, config).len(), 2), (Split::Val, val, 1)] {
        if found < least {
            let what = format!("the {split} split of {}", dataset.name);
            let found = if found == 0 { "no image".to_string() } else { format!("{found} image") };
            return Err(Error::invalid(what, found, format!("at least {least}"))
                .with_hint("give splits in the data, or let gxn split by content with data.split_by"));
        }
    }
    Ok(())
}

/// Train images that are used, ascending.
fn used_train_images(dataset: &Dataset, config: &RunConfig) -> Vec<usize> {
    let mut images = dataset.split_indices(Split::Train);
    if config.data.max_train_images > 0 {
        images.truncate(config.data.max_train_images);
    }
    images
}

/// Whether a tensor comes from the second of two merged networks.
fn is_merged(name: &str) -> bool {
    MERGED.iter().any(|prefix| name.starts_with(prefix))
}

fn train_texts<'a>(dataset: &'a Dataset, config: &RunConfig) -> impl Iterator<Item = &'a str> {
    let used = used_train_images(dataset, config);
    dataset.captions.iter().filter(move |c| used.binary_search(&c.image).is_ok()).map(|c| c.text.as_str())
}

fn input_of(look: &LookConfig) -> ImagePipeline {
    let mut preprocess = look.backbone.preprocess();
    if look.stretch {
        preprocess.resize = ResizeRule::Stretch;
    }
    if look.side_px > 0 {
        if let ResizeRule::ShorterThenCentre { shorter_px } = &mut preprocess.resize {
            *shorter_px = *shorter_px * look.side_px / preprocess.side_px;
        }
        preprocess.side_px = look.side_px;
    }
    ImagePipeline { preprocess, views: views_of(look.views) }
}

fn views_of(views: Views) -> Vec<View> {
    /// Share of each side that a corner crop keeps.
    const SHARE: f32 = 0.85;
    let mirrored = |view: View| View { flip: !view.flip, ..view };
    let rest = 1.0 - SHARE;
    let corners = [(0.0, 0.0), (rest, 0.0), (0.0, rest), (rest, rest)]
        .map(|(x, y)| View { crop: [x, y, x + SHARE, y + SHARE], flip: false });
    let [top_left, top_right, bottom_left, bottom_right] = corners;
    match views {
        Views::Full => vec![View::FULL],
        Views::Flip => vec![View::FULL, mirrored(View::FULL)],
        Views::SixCrop => {
            let full = [View::FULL, mirrored(View::FULL)];
            full.into_iter().chain([mirrored(top_left), top_right, bottom_left, mirrored(bottom_right)]).collect()
        }
        Views::TenCrop => std::iter::once(View::FULL).chain(corners).flat_map(|view| [view, mirrored(view)]).collect(),
    }
}

fn first_backbone(config: &RunConfig, device: &Device) -> Result<Backbone> {
    let look = &config.look;
    let files = look.backbone.weight_files();
    if look.weights == "random" || (look.weights.is_empty() && files.is_empty()) {
        return Ok(Backbone::random(look.backbone, device, config.train.seed));
    }
    if look.weights.is_empty() {
        let names: Vec<String> =
            files.iter().map(|f| format!("{} ({}; sha256 {})", f.name, f.publisher, f.sha256)).collect();
        return Err(Error::invalid("look.weights", "nothing", format!("the weights of {}", look.backbone)).with_hint(
            format!(
                "gxn never downloads. Get one of these and name it with look.weights or --pretrained-image:\n  {}",
                names.join("\n  ")
            ),
        ));
    }
    Backbone::load(look.backbone, &expand(&look.weights)?, device)
}

/// The CNN with the groups that the configuration trains; statistics of its normalisation stay as they are.
fn unlocked(backbone: Backbone, look: &LookConfig) -> Backbone {
    let cut = if look.finetune_groups == 0 { 0 } else { backbone.cut_below(look.finetune_groups) };
    backbone.unlock_from(cut)
}

fn cached_feed(
    config: &RunConfig,
    dataset: &mut Dataset,
    input: &ImagePipeline,
    backbone: &Backbone,
    features: &Path,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Event),
) -> Result<Feed> {
    let sources: Vec<_> = dataset.images.iter().map(|image| image.source.clone()).collect();
    let spec = FeatureSpec::new(config.look.backbone, input.clone());
    let built = FeatureStore::build(features, &spec, backbone, &sources, &mut |progress| {
        report(Event::Features { done: progress.done, total: progress.total, rate: progress.rate });
        if stop.load(Ordering::Relaxed) {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    })?;
    let (store, contents, dropped) = built;
    let mut kept = Vec::with_capacity(contents.len());
    let mut bad = Vec::new();
    for (at, content) in contents.into_iter().enumerate() {
        match content {
            Some(content) => kept.push(content),
            None => {
                let name = sources[at].to_string();
                let reason = dropped.iter().find(|d| d.what == name).map(|d| d.reason.clone());
                bad.push((at, reason.unwrap_or_else(|| "cannot be read".into())));
            }
        }
    }
    leave_out(dataset, bad, report)?;
    let (feature_dim, views) = (config.look.backbone.feature_dim(), input.views.len());
    Ok(Feed::Cached { store: Box::new(store), contents: kept, feature_dim, views })
}

/// Removes images that cannot be read, with their captions, and says so.
fn leave_out(dataset: &mut Dataset, bad: Vec<(usize, String)>, report: &mut dyn FnMut(Event)) -> Result<()> {
    if bad.is_empty() {
        return Ok(());
    }
    let dropped: Vec<Dropped> = bad
        .iter()
        .map(|(at, reason)| Dropped { what: dataset.images[*at].id.clone(), reason: reason.clone() })
        .collect();
    report_dropped("pictures left out", &dropped, report);
    let gone: std::collections::HashSet<usize> = bad.iter().map(|(at, _)| *at).collect();
    let keep: Vec<usize> = (0..dataset.images.len()).filter(|at| !gone.contains(at)).collect();
    if keep.is_empty() {
        return Err(Error::invalid(format!("the pictures of {}", dataset.name), "none that can be read", "pictures")
            .with_hint("`gxn data check` names the reason for each"));
    }
    *dataset = dataset.subset(&keep);
    Ok(())
}

fn report_dropped(what: &str, dropped: &[Dropped], report: &mut dyn FnMut(Event)) {
    if dropped.is_empty() {
        return;
    }
    report(Event::Note(format!("{}: {what}", dropped.len())));
    for one in dropped.iter().take(NAMED) {
        report(Event::Note(format!("  {}: {}", one.what, one.reason)));
    }
    if dropped.len() > NAMED {
        report(Event::Note(format!("  and {} more; `gxn data check` lists them", dropped.len() - NAMED)));
    }
}

/// W_e from a file of vectors; words without one are drawn at random.
fn first_word_matrix(
    path: &Path,
    vocabulary: &Vocabulary,
    init: &Init,
    report: &mut dyn FnMut(Event),
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
    report(Event::Note(format!("word vectors: {width} wide, {:.1} % of the words found", 100.0 * vectors.coverage())));
    Ok((matrix, width))
}
