//! Encoders of networks that were never trained: what they read, and that every way to an embedding gives the same one.

use std::fs;
use std::path::PathBuf;

use image::RgbImage;

use super::*;
use crate::checkpoint::{Card, Checkpoint};
use crate::look::ImagePipeline;
use crate::look::Init;
use crate::look::backbone::{Backbone, BackboneKind};
use crate::model::Generators;
use crate::model::Gxn;
use burn::tensor::Device;
use gxn_base::Kind;
use gxn_data::{ContentHash, ImageLimits, ImageSource, View, Vocabulary};

/// A checkpoint of a run in `folder`, with a CNN that is or is not part of the network.
fn saved(folder: &Path, finetune: bool) -> PathBuf {
    saved_with(folder, finetune, Generators::default())
}

fn saved_with(folder: &Path, finetune: bool, generators: Generators) -> PathBuf {
    let (device, kind) = (Device::flex(), BackboneKind::Small);
    let mut config = RunConfig::default();
    (config.look.backbone, config.look.finetune, config.look.embed_dim) = (kind, finetune, 6);
    (config.look.sentence.hidden, config.look.sentence.word_dim) = (5, 4);
    let vocabulary = Vocabulary::from_texts(["a red patch", "a blue patch"], 1);
    let backbone = Backbone::random(kind, &device, 7);
    let (trained, frozen) = if finetune { (Some(backbone), None) } else { (None, Some(backbone)) };
    let model = Gxn::new(&Init::new(3, &device), &config, vocabulary.len(), None, trained, generators);
    let flipped = View { flip: true, ..View::FULL };
    let pipeline = ImagePipeline { preprocess: kind.preprocess(), views: vec![View::FULL, flipped] };
    let path = folder.join("runs/first/checkpoints/step_1");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Checkpoint { config, vocabulary, pipeline, model, frozen, card: Card::default() }.save(&path).unwrap();
    path
}

/// A PNG file, and its pixels.
fn image_file(folder: &Path, shade: u8) -> (PathBuf, RgbImage) {
    let pixels = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 6) as u8, (y * 8) as u8, shade]));
    let path = folder.join(format!("{shade}.png"));
    pixels.save(&path).unwrap();
    (path, pixels)
}

#[test]
fn threads_may_share_an_encoder() {
    fn shared<T: Send + Sync>() {}
    shared::<Encoder>();
}

#[test]
fn files_bytes_and_pixels_give_the_same_embedding() {
    let folder = tempfile::tempdir().unwrap();
    let (path, pixels) = image_file(folder.path(), 90);
    let bytes = fs::read(&path).unwrap();
    let source = ImageSource::File(path.clone());
    for finetune in [false, true] {
        let encoder = Encoder::load(&saved(&folder.path().join(finetune.to_string()), finetune)).unwrap();
        let expected = encoder.encode_image(&pixels).unwrap();
        assert_eq!((expected.count, expected.dim), (1, 6));
        assert_eq!(encoder.encode_image(path.as_path()).unwrap(), expected);
        assert_eq!(encoder.encode_image(&source).unwrap(), expected);
        assert_eq!(encoder.encode_image(bytes.as_slice()).unwrap(), expected);
        let named = ImageInput::Bytes { bytes: &bytes, name: "an upload", content: Some(ContentHash::of(&bytes)) };
        let feature = encoder.image_feature(named, &ImageLimits::default()).unwrap();
        assert_eq!((feature.content, feature.size), (Some(ContentHash::of(&bytes)), (40, 30)));
        assert_eq!(encoder.encode_features(&feature.feature), expected);
        let many = encoder.image_features(&[path.as_path(), Path::new("absent.png")], &ImageLimits::default()).unwrap();
        assert!(many[0].is_ok() && many[1].is_err());
    }
}

/// Texts need the network alone; what is wrong with the CNN is found by the first image, and by whoever loads all.
#[test]
fn each_file_is_verified_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = image_file(folder.path(), 10);
    let checkpoint = saved(folder.path(), false);
    let flip_last = |name: &str| {
        let mut bytes = fs::read(checkpoint.join(name)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(checkpoint.join(name), bytes).unwrap();
    };
    let texts = Encoder::load(&checkpoint).unwrap().encode_texts(&["a red patch"]).unwrap();
    flip_last("backbone.safetensors");
    let encoder = Encoder::load(&checkpoint).unwrap();
    assert_eq!(encoder.encode_text("a red patch").unwrap(), texts);
    for _ in 0..2 {
        let error = encoder.encode_image(path.as_path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        assert!(error.to_string().contains("backbone.safetensors"), "{error}");
    }
    let error = encoder.image_features(&[path.as_path()], &ImageLimits::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(Checkpoint::load(&checkpoint, &Device::flex()).unwrap_err().kind(), Kind::Damaged);
    flip_last("backbone.safetensors");
    assert!(encoder.encode_image(path.as_path()).is_ok());
    for name in ["model.safetensors", "vocab.json", "preprocess.json", "config.toml"] {
        flip_last(name);
        let error = Encoder::load(&checkpoint).unwrap_err();
        assert!(error.kind() == Kind::Damaged && error.to_string().contains(name), "{error}");
        flip_last(name);
    }
    let whole = fs::read(checkpoint.join("backbone.safetensors")).unwrap();
    fs::write(checkpoint.join("backbone.safetensors"), &whole[..whole.len() - 9]).unwrap();
    let error = Encoder::load(&checkpoint).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "a file that was cut is seen at once");
}

/// Checkpoints of before each file had a hash: the fingerprint is verified over all files.
#[test]
fn older_checkpoints_are_verified_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = image_file(folder.path(), 10);
    let checkpoint = saved(folder.path(), false);
    let new = Encoder::load(&checkpoint).unwrap();
    let meta = checkpoint.join("meta.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
    json.as_object_mut().unwrap().retain(|key, _| ["format", "kind", "fingerprint"].contains(&key.as_str()));
    fs::write(&meta, json.to_string()).unwrap();
    let old = Encoder::load(&checkpoint).unwrap();
    let cnn = |encoder: &Encoder| encoder.trained().unwrap().feature_fingerprint().unwrap();
    assert_eq!((old.fingerprint(), cnn(&old)), (new.fingerprint(), cnn(&new)));
    assert_eq!(old.encode_image(path.as_path()).unwrap(), new.encode_image(path.as_path()).unwrap());
    let mut bytes = fs::read(checkpoint.join("backbone.safetensors")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(checkpoint.join("backbone.safetensors"), bytes).unwrap();
    assert_eq!(Encoder::load(&checkpoint).unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn cached_features_are_bit_by_bit_the_computed_ones_and_need_no_cnn() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = saved(folder.path(), false);
    let files: Vec<PathBuf> = (0..5).map(|shade| image_file(folder.path(), shade * 40).0).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let features = |encoder: &Encoder| -> Vec<ImageFeature> {
        encoder.image_features(&files, &ImageLimits::default()).unwrap().into_iter().map(Result::unwrap).collect()
    };
    let plain = features(&Encoder::load(&checkpoint).unwrap());
    assert!(!folder.path().join("runs/features").exists());
    let first = Encoder::load(&checkpoint).unwrap().with_feature_cache().unwrap();
    assert_eq!(features(&first), plain);
    drop(first);
    fs::write(checkpoint.join("backbone.safetensors"), {
        let mut bytes = fs::read(checkpoint.join("backbone.safetensors")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    })
    .unwrap();
    let second = Encoder::load(&checkpoint).unwrap().with_feature_cache().unwrap();
    assert_eq!(features(&second), plain);
    assert!(second.trained().unwrap().features.get().is_none());
    let small = ImageLimits { max_pixels: 100, ..ImageLimits::default() };
    assert!(second.image_feature(files[0], &small).is_err(), "limits hold for cached images too");
}

/// What every image makes equally likely says nothing of one; else ln p(t | v) − 4·ln mean p(t | v')^{1/4}.
#[test]
fn information_of_captions_by_their_likelihoods() {
    let folder = tempfile::tempdir().unwrap();
    let generators = Generators { words: Some(4), images: false };
    let encoder = Encoder::load(&saved_with(folder.path(), false, generators)).unwrap();
    let images: Vec<f32> = (0..18).map(|at| ((at * at) as f32).sin()).collect();
    let (one, bank) = images.split_at(6);
    let (texts, pairs) = (["a red patch", "a blue"], [(0, 1), (0, 0), (0, 1)]);
    let information = |bank: &[f32]| encoder.caption_information(one, bank, &texts, &pairs, &()).unwrap();
    assert!(information(&[one, one].concat()).iter().all(|found| found.abs() < 1e-5));
    let all: Vec<(usize, usize)> = (0..3).flat_map(|image| [(image, 0), (image, 1)]).collect();
    let likely = encoder.caption_log_likelihoods(&images, &texts, &all, &()).unwrap();
    let expected = |text: usize| {
        let root = |image: usize| (likely[2 * image + text] / 4.0).exp();
        likely[text] - 4.0 * f32::midpoint(root(1), root(2)).ln()
    };
    for (found, text) in information(bank).into_iter().zip([1, 0, 1]) {
        assert!((found - expected(text)).abs() < 1e-4 && found.abs() > 1e-4, "{found} {}", expected(text));
    }
    assert_eq!(encoder.caption_information(one, &[], &texts, &pairs, &()).unwrap_err().kind(), Kind::Invalid);
}
