//! A GPU computes what the CPU computes: a step of every stage, a whole run, and what a trained model is used for.
//!
//! The device is `wgpu`, which a software driver serves on a machine without a GPU; `GXN_TEST_DEVICE=cuda` names another.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::fixture::{tiny_batch, tiny_config, trainer_of};
use super::trainer::Trainer;
use super::{ResumeOptions, resume, run};
use crate::checkpoint::weights::collect;
use crate::config::{RunConfig, Stage};
use crate::device::DeviceChoice;
use crate::encoder::Encoder;
use crate::evaluate::{EncodeOptions, encode_dataset};
use crate::look::backbone::{Backbone, BackboneKind};
use crate::look::features::FeatureStore;
use crate::look::{FeatureNetwork, ImagePipeline};
use crate::train::training_data::open_configured;
use gxn_data::{ContentHash, ImageSource, Split, View};

/// Largest difference between the devices, relative for values above 1.
const TOLERANCE: f32 = 1e-3;

fn device() -> DeviceChoice {
    std::env::var("GXN_TEST_DEVICE")
        .map_or("wgpu".to_owned(), |named| named)
        .parse()
        .expect("GXN_TEST_DEVICE is a device")
}

/// The largest difference of values that belong together, and where it is.
fn largest_difference(found: &[(String, Vec<f32>)], expected: &[(String, Vec<f32>)]) -> (f32, String) {
    let names = |values: &[(String, Vec<f32>)]| values.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    let mut largest = (0.0, String::new());
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{name}");
        for (a, b) in found.iter().zip(expected) {
            assert!(a.is_finite() && b.is_finite(), "{name}: {a} and {b}");
            let difference = (a - b).abs() / b.abs().max(1.0);
            if difference > largest.0 {
                largest = (difference, name.clone());
            }
        }
    }
    largest
}

/// What a step finds: its losses, and the gradient of every update, which Adam's first moment is a tenth or a half of.
fn after_a_step(mut trainer: Trainer) -> Vec<(String, Vec<f32>)> {
    let report = trainer.step(&tiny_batch(2), 4).unwrap();
    let reported = [("loss", report.loss), ("gradient norm", report.grad_norm)];
    let numbers = reported.map(|(name, value)| (name.to_owned(), value)).into_iter();
    let metrics = report.metrics.without_times();
    let numbers = numbers.chain(metrics.iter().map(|(name, value)| (name.to_owned(), value)));
    let numbers = numbers.map(|(name, value)| (name, vec![value as f32]));
    let shared = trainer.config.train.beta1 as f32;
    let gan = trainer.config.imagine.image.beta1 as f32;
    let gradients = trainer.optimisers.state().into_iter().map(|state| {
        let beta =
            if state.path.starts_with("discriminator/") || state.path.starts_with("generator/") { gan } else { shared };
        let gradient = state.first.iter().map(|first| first / (1.0 - beta)).collect();
        (format!("gradient of {}", state.path), gradient)
    });
    let weights = collect(&*trainer.model).into_iter().map(|(name, array)| (name, array.values));
    numbers.chain(gradients).chain(weights).collect()
}

/// A step of `stage` with the weights of the seed, on `device`.
fn step_on(device: DeviceChoice, stage: Stage, change: &dyn Fn(&mut RunConfig)) -> Vec<(String, Vec<f32>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), stage);
    // With the usual ε a first step has the size of its rate however small a gradient is, and rounding would decide its sign.
    config.train.epsilon = 1.0;
    change(&mut config);
    config.train.device = device;
    after_a_step(trainer_of(config, folder.path()))
}

fn steps_are_equal(stage: Stage, what: &str, change: &dyn Fn(&mut RunConfig)) {
    let expected = step_on(DeviceChoice::CPU, stage, change);
    assert!(expected.iter().any(|(name, values)| name.starts_with("gradient of") && values.iter().any(|&x| x != 0.0)));
    let (difference, name) = largest_difference(&step_on(device(), stage, change), &expected);
    println!("{} {what}: {difference:.1e} ({name})", stage.name());
    assert!(difference <= TOLERANCE, "{} {what}: {difference} at {name}", stage.name());
}

macro_rules! on_a_device {
    ($(#[doc = $doc:literal])* fn $name:ident() $body:block) => {
        $(#[doc = $doc])*
        #[test]
        #[cfg_attr(
            not(any(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal")),
            ignore = "needs a build with feature wgpu or cuda"
        )]
        fn $name() $body
    };
}

on_a_device! {
    fn a_step_of_every_stage_is_that_of_the_cpu() {
        let stages =
            [Stage::Match, Stage::I2tXe, Stage::I2tMix, Stage::T2iPretrain, Stage::T2i, Stage::I2tT2i];
        for stage in stages {
            steps_are_equal(stage, "on features", &|_| {});
        }
    }
}

on_a_device! {
    /// The CNN's convolutions and their gradients.
    fn a_step_that_trains_the_cnn_is_that_of_the_cpu() {
        steps_are_equal(Stage::Match, "with the CNN", &|config| config.look.finetune = true);
    }
}

on_a_device! {
    /// A CNN that is not trained: its features one by one, and in the store of a run.
    fn features_are_those_of_the_cpu() {
        let folder = tempfile::tempdir().unwrap();
        let images: Vec<image::RgbImage> = (0..40u8)
            .map(|at| image::RgbImage::from_fn(70, 64, |x, y| image::Rgb([3 * x as u8, 4 * y as u8, 6 * at])))
            .collect();
        let sources: Vec<ImageSource> = (images.iter().enumerate())
            .map(|(at, image)| {
                let path = folder.path().join(format!("{at}.png"));
                image.save(&path).unwrap();
                ImageSource::File(path)
            })
            .collect();
        let views = vec![View::FULL, View { flip: true, ..View::FULL }];
        for kind in [BackboneKind::Small, BackboneKind::EfficientNetLite0] {
            let backbone = Backbone::random(kind, &Device::flex(), 3);
            let pipeline = ImagePipeline { preprocess: kind.preprocess().with_side(64), views: views.clone() };
            let found = [device(), DeviceChoice::CPU].map(|choice| {
                let network = FeatureNetwork::cnn(&backbone, pipeline.clone(), &choice.open().unwrap());
                let means = network.mean_features(&images).unwrap();
                let store = folder.path().join(format!("{kind:?} {choice}"));
                let (store, contents, dropped) =
                    FeatureStore::build(&store, &network, &sources, &mut |_| ControlFlow::Continue(())).unwrap();
                assert!(dropped.is_empty());
                let row = |content: ContentHash| store.row(&content).unwrap().iter().map(|x| x.to_f32());
                let rows = contents.into_iter().flatten().flat_map(row).collect();
                [("means".to_owned(), means), ("rows".to_owned(), rows)]
            });
            let [found, expected] = found;
            let (difference, name) = largest_difference(&found, &expected);
            println!("features of {kind:?}: {difference:.1e} ({name})");
            assert!(difference <= TOLERANCE, "{kind:?}: {difference} at {name}");
        }
    }
}

on_a_device! {
    fn other_losses_and_similarities_are_those_of_the_cpu() {
        use crate::config::LossKind;
        use gxn_base::Similarity;
        steps_are_equal(Stage::Match, "by cosine", &|config| config.matching.similarity = Similarity::Cosine);
        steps_are_equal(Stage::Match, "by InfoNCE", &|config| config.matching.loss = LossKind::InfoNce);
        steps_are_equal(Stage::Match, "by the hardest negative", &|config| config.matching.loss = LossKind::Hardest);
        steps_are_equal(Stage::Match, "with an average", &|config| config.train.ema_decay = 0.9);
    }
}

/// A finished run of `stage` on the device; with `from` its weights are those of another run.
fn trained(folder: &Path, name: &str, stage: Stage, from: Option<&Path>) -> PathBuf {
    trained_as(folder, name, from, tiny_config(folder, stage))
}

fn trained_as(folder: &Path, name: &str, from: Option<&Path>, mut config: RunConfig) -> PathBuf {
    (config.train.device, config.train.learning_rate) = (device(), 1e-3);
    config.train.init_from = from.map(|run| run.display().to_string());
    let place = folder.join(name);
    let outcome = run(config, &place, &folder.join("features"), &()).unwrap();
    assert_eq!((outcome.step, outcome.epoch), (8, 2));
    place
}

/// Embeddings of a split, generated captions and generated images of a run.
fn uses_of(run: &Path, device: DeviceChoice) -> Vec<(String, Vec<f32>)> {
    let encoder = Encoder::load_on(run, &device.open().unwrap()).unwrap();
    let dataset = open_configured(&encoder.config().data).unwrap();
    let options = EncodeOptions { split: Some(Split::Val), beam: encoder.can_caption().then_some(2) };
    let encoded = encode_dataset(&encoder, &dataset, options, &()).unwrap();
    let mut found = Vec::new();
    for (name, rows) in [("images", &encoded.images), ("captions", &encoded.captions)] {
        found.push((format!("{name}, abstract"), rows.abstract_level.clone()));
        found.push((format!("{name}, grounded"), rows.grounded_level.clone().unwrap()));
    }
    if encoder.can_caption() {
        let image = image::RgbImage::from_pixel(32, 32, image::Rgb([90, 20, 200]));
        for caption in encoder.caption(&image, 3).unwrap() {
            found.push((format!("the caption {:?}", caption.caption), vec![caption.log_probability as f32]));
        }
    }
    if encoder.can_generate_images() {
        let image = encoder.generate_images(&["red is here", "a patch of lime"], &[3, 4]).unwrap();
        found.push(("generated images".into(), image.iter().flat_map(|image| image.values().to_vec()).collect()));
    }
    found
}

on_a_device! {
    /// Every kind of stage trains to its end, and its checkpoint means the same on both devices.
    fn runs_are_trained_and_used() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let look = trained(folder, "look", Stage::Match, None);
        let captions = trained(folder, "captions", Stage::I2tXe, Some(&look));
        let rewarded = trained(folder, "rewarded", Stage::I2tMix, Some(&captions));
        let images = trained(folder, "images", Stage::T2iPretrain, Some(&look));
        let mut with_cnn = tiny_config(folder, Stage::Match);
        (with_cnn.look.finetune, with_cnn.look.augment, with_cnn.look.side_px) = (true, true, 64);
        let cnn = trained_as(folder, "cnn", None, with_cnn);
        for place in [look, captions, rewarded, images, cnn] {
            let (difference, name) = largest_difference(&uses_of(&place, device()), &uses_of(&place, DeviceChoice::CPU));
            println!("{}: {difference:.1e} ({name})", place.file_name().unwrap().display());
            assert!(difference <= TOLERANCE, "{}: {difference} at {name}", place.display());
        }
    }
}

on_a_device! {
    /// A run goes on on another device with the configuration that it has, and says that it is not bit-equal.
    fn a_run_is_continued_on_the_cpu_with_a_warning() {
        #[derive(Default)]
        struct Notes(std::sync::Mutex<Vec<String>>);
        impl gxn_base::Progress for Notes {
            fn note(&self, message: &str) {
                self.0.lock().unwrap().push(message.to_owned());
            }
        }
        impl super::TrainObserver for Notes {}

        let folder = tempfile::tempdir().unwrap();
        let features = folder.path().join("features");
        let place = trained(folder.path(), "run", Stage::Match, None);
        for (asked, expected) in [(None, device()), (Some(DeviceChoice::CPU), DeviceChoice::CPU)] {
            let (options, notes) = (ResumeOptions { device: asked, data: None }, Notes::default());
            let trainer = Trainer::resume_with(&place, &options, &features, &notes).unwrap();
            assert_eq!((trainer.config.train.device, trainer.device.clone()), (expected, expected.open().unwrap()));
            let notes = notes.0.into_inner().unwrap();
            assert!(notes.iter().any(|note| note.contains("not bit-equal")), "{notes:?}");
        }
        resume(&place, &ResumeOptions { device: Some(DeviceChoice::CPU), data: None }, &features, &()).unwrap();
    }
}
