//! Runs that begin as an encoder's own scores. A small CLIP of random weights makes the image side; texts get the embedding of
//! their image with noise, as a teacher that knows both would give it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use burn::tensor::Device;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::event::{Event, TrainObserver};
use super::fixture::trainer_of;
use super::setup::{Origin, setup};
use super::training_data::TrainingData;
use crate::config::{ImageEncoderFolder, LossKind, RunConfig, TextEncoderFolder};
use crate::model::{EmbeddingRows, Gxn};
use gxn_base::{Progress, Similarity};
use gxn_data::Split;
use gxn_eval::{Embeddings, LevelEmbeddings, Scoring};

const TRAIN: usize = 240;
const VAL: usize = 80;
/// Colours of the four patches of an image.
const COLOURS: [(&str, [u8; 3]); 5] = [
    ("red", [250, 10, 20]),
    ("green", [20, 240, 30]),
    ("blue", [10, 30, 250]),
    ("white", [250, 250, 250]),
    ("black", [5, 5, 5]),
];
const PLACES: [&str; 4] = ["north", "east", "south", "west"];
/// Noise of the teacher's texts, as a share of the spread of its images.
const NOISE: f32 = 0.7;

/// A CLIP of 8×8 pixels and ten values, in `folder`.
fn small_clip(folder: &Path) -> PathBuf {
    let clip = folder.join("clip");
    std::fs::create_dir_all(&clip).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pretrained/tests/golden/clip");
    for file in std::fs::read_dir(golden).unwrap().flatten() {
        std::fs::copy(file.path(), clip.join(file.file_name())).unwrap();
    }
    let letters = "abdeghilnoprst".chars().flat_map(|letter| [letter.to_string(), format!("{letter}</w>")]);
    let tokens = letters.chain(["<|startoftext|>".into(), "<|endoftext|>".into()]);
    let vocabulary: serde_json::Map<_, _> = tokens.zip(0..).map(|(token, id)| (token, id.into())).collect();
    let [mean, std] = [[0.5; 3], [0.25; 3]];
    let settings = serde_json::json!({"size": 8, "crop_size": 8, "image_mean": mean, "image_std": std});
    let write = |name: &str, content: String| std::fs::write(clip.join(name), content).unwrap();
    write("vocab.json", serde_json::Value::from(vocabulary).to_string());
    write("merges.txt", "#version: 0.2\n".into());
    write("preprocessor_config.json", settings.to_string());
    clip
}

/// Images of four patches, each with a caption that names their colours; the caption of image `i` is about image `about[i]`.
fn scenes(folder: &Path, about: &[usize]) -> PathBuf {
    let mut numbers: Vec<usize> = (0..625).collect();
    numbers.shuffle(&mut ChaCha8Rng::seed_from_u64(7));
    let colours = |scene: usize| [1, 5, 25, 125].map(|unit| COLOURS[numbers[scene] / unit % 5]);
    let mut lines = String::new();
    for (at, &about) in about.iter().enumerate() {
        let patches = colours(at);
        let pixel = |x: u32, y: u32| image::Rgb(patches[(x / 4 + 2 * (y / 4)) as usize].1);
        let name = format!("{at}.png");
        image::RgbImage::from_fn(8, 8, pixel).save(folder.join(&name)).unwrap();
        let words: Vec<String> =
            PLACES.iter().zip(colours(about)).map(|(place, (c, _))| format!("{c}{place}")).collect();
        let split = if at < TRAIN { "train" } else { "val" };
        let line = serde_json::json!({"image": name, "caption": words.join(" "), "split": split});
        lines.push_str(&format!("{line}\n"));
    }
    let path = folder.join("scenes.jsonl");
    std::fs::write(&path, lines).unwrap();
    path
}

fn config_in(folder: &Path, about: &[usize]) -> RunConfig {
    let path = small_clip(folder).display().to_string();
    let mut config = RunConfig::default();
    config.data.source = scenes(folder, about).display().to_string();
    config.look.encoder = Some(ImageEncoderFolder { path: path.clone(), width: 0, fingerprint: String::new() });
    config.look.sentence.encoder = Some(TextEncoderFolder { path, alone: false, width: 0, fingerprint: String::new() });
    (config.look.sentence.word_dim, config.look.sentence.hidden) = (12, 16);
    let matching = &mut config.matching;
    (matching.prior, matching.similarity, matching.absolute) = (true, Similarity::Cosine, false);
    (matching.loss, matching.lambda) = (LossKind::InfoNce, 0.3);
    (config.train.batch_size, config.train.epochs, config.train.learning_rate) = (48, 20, 1e-2);
    config
}

/// Puts the teacher's texts where the run looks for those of its encoder. Returns the data with them and the untrained network.
fn taught(folder: &Path, config: &RunConfig, about: &[usize]) -> (TrainingData, Gxn) {
    let features = folder.join("features");
    let begin = || setup(config, Origin::New, None, &features, &Device::flex(), &()).unwrap();
    let (data, model) = begin();
    let all: Vec<usize> = (0..about.len()).collect();
    let images = data.features.mean_features(&model, &all).unwrap();
    let width = images.len() / about.len();
    let mut mean = vec![0.0; width];
    images.chunks(width).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / about.len() as f32));
    let variance =
        images.chunks(width).flat_map(|row| row.iter().zip(&mean)).map(|(x, m)| (x - m).powi(2)).sum::<f32>();
    let spread = (variance / images.len() as f32).sqrt();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut noise = || -> f32 { StandardNormal.sample(&mut random) };
    let texts = about.iter().flat_map(|&about| &images[about * width..(about + 1) * width]);
    let mut texts: Vec<f32> = texts.map(|x| x + NOISE * spread * noise()).collect();
    for row in texts.chunks_mut(width) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x *= (width as f32).sqrt() / length);
    }
    let is_texts = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "f32");
    let file = std::fs::read_dir(&features).unwrap().flatten().map(|entry| entry.path()).find(is_texts).unwrap();
    std::fs::write(file, texts.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    begin()
}

/// Cosines of the encoder's own embeddings of val.
fn own_embeddings(data: &TrainingData, model: &Gxn) -> [Vec<f32>; 2] {
    let captions: Vec<usize> = data.dataset.captions_in(Split::Val).collect();
    let texts = data.text_features_of(&captions).unwrap();
    let scale = (texts.width as f32).sqrt();
    let mut images = data.split_features(model, Split::Val).unwrap().0;
    // Stored in half precision, they are of length 1 to four digits only.
    for row in images.chunks_mut(texts.width) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    [images, texts.values.iter().map(|x| x / scale).collect()]
}

#[derive(Default)]
struct Recalls(Mutex<Vec<f64>>);

impl Progress for Recalls {}

impl TrainObserver for Recalls {
    fn event(&self, event: &Event) {
        if let Event::Epoch(report) = event {
            self.0.lock().unwrap().push(report.validation.rsum);
        }
    }
}

/// The rsum of the encoder's own scores, of each epoch, and the run's best.
fn trained(about: &[usize]) -> (f64, Vec<f64>, f64) {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path(), about);
    let (data, model) = taught(folder.path(), &config, about);
    let [images, captions] = own_embeddings(&data, &model);
    let dim = model.image.embed_dim();
    let level = LevelEmbeddings { images: &images, captions: &captions, dim };
    let own = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
    let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
    let own = own.metrics(&data.caption_rows(Split::Val), scoring).unwrap().rsum();
    let observer = Recalls::default();
    let outcome = trainer_of(config, folder.path()).run(&observer).unwrap();
    (own, observer.0.into_inner().unwrap(), outcome.best_rsum)
}

#[test]
fn an_untrained_network_scores_as_the_encoder_does_under_every_lambda() {
    let folder = tempfile::tempdir().unwrap();
    let about: Vec<usize> = (0..TRAIN + VAL).collect();
    let config = config_in(folder.path(), &about);
    let (data, model) = taught(folder.path(), &config, &about);
    let [images, captions] = own_embeddings(&data, &model);
    let (features, width) = data.split_features(&model, Split::Val).unwrap();
    assert_eq!((width, model.image.embed_dim()), (10, 10), "the joint space is the encoder's");
    let embedded = model.embed_features(&features, width, &Device::flex());
    let texts = data.embed_captions(&model, Split::Val);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let row = |values: &[f32], at: usize| values[at * width..(at + 1) * width].to_vec();
    let score = |rows: &EmbeddingRows, others: &EmbeddingRows, i: usize, c: usize, lambda: f32| {
        let [v_l, t_l] = [rows, others].map(|rows| rows.grounded_level.as_ref().expect("two levels"));
        let abstract_score = dot(&row(&rows.abstract_level, i), &row(&others.abstract_level, c));
        lambda * abstract_score + (1.0 - lambda) * dot(&row(v_l, i), &row(t_l, c))
    };
    for lambda in [0.0, 0.3, 1.0] {
        for (i, c) in (0..VAL).flat_map(|i| (0..VAL).map(move |c| (i, c))) {
            let (found, own) = (score(&embedded, &texts, i, c, lambda), dot(&row(&images, i), &row(&captions, c)));
            assert!((found - own).abs() < 1e-4, "image {i}, caption {c}, λ {lambda}: {found} {own}");
        }
    }
    let scale = model.log_scale.val().exp().into_scalar::<f32>();
    assert!(scale > 20.0, "cosines of one cone need a low temperature: {scale}");
}

/// Captions that belong to their images lift recall above the encoder's own.
#[test]
fn real_captions_lift_recall_above_the_encoders() {
    let about: Vec<usize> = (0..TRAIN + VAL).collect();
    let (own, epochs, best) = trained(&about);
    assert!((100.0..450.0).contains(&own), "a teacher that leaves room: {own}");
    assert!((epochs[0] - own).abs() < 0.5, "epoch 0 is the encoder: {} {own}", epochs[0]);
    assert!(best > own + 30.0, "own {own}, epochs {epochs:?}");
}

/// Captions of other images teach nothing: what is kept is the encoder, or no worse.
#[test]
fn shuffled_captions_end_at_the_encoders_recall() {
    let mut about: Vec<usize> = (0..TRAIN + VAL).collect();
    about[..TRAIN].shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let (own, epochs, best) = trained(&about);
    assert!((epochs[0] - own).abs() < 0.5, "epoch 0 is the encoder: {} {own}", epochs[0]);
    assert!((epochs[0]..own + 15.0).contains(&best), "own {own}, epochs {epochs:?}");
    let last = epochs[epochs.len() - 1];
    assert!(last < own, "without a choice on val it would be worse: {own}, {epochs:?}");
}
