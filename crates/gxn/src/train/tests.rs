//! Setup, features and the loop, on a handful of images.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;

use super::event::{Event, TrainObserver};
use super::feature_source::FeatureSource;
use super::fixture::{tiny_batch, tiny_config, tiny_trainer, trainer_of};
use super::metrics::NamedMetrics;
use super::sampler::Batch;
use super::setup::{Origin, setup};
use super::training_data::{TrainingData, input_for};
use super::{Alarm, Trainer};
use crate::checkpoint::{Checkpoint, weights};
use crate::config::{FeatureTransform, LookConfig, RunConfig, SelectBy, Stage, Update, Views};
use crate::look::Phase;
use gxn_base::{Kind, Progress};
use gxn_data::Split;

/// Counts steps and epochs, remembers notes, and stops after some steps.
#[derive(Default)]
struct Recorder {
    stop_after: usize,
    steps: AtomicUsize,
    epochs: AtomicUsize,
    stopped: Mutex<Option<u64>>,
    notes: Mutex<Vec<String>>,
    alarms: Mutex<Vec<Alarm>>,
}

impl Progress for Recorder {
    fn note(&self, message: &str) {
        self.notes.lock().unwrap().push(message.into());
    }

    fn cancelled(&self) -> bool {
        self.stop_after > 0 && self.steps.load(Ordering::Relaxed) >= self.stop_after
    }
}

impl TrainObserver for Recorder {
    fn event(&self, event: &Event) {
        match event {
            Event::Step(_) => drop(self.steps.fetch_add(1, Ordering::Relaxed)),
            Event::Epoch(_) => drop(self.epochs.fetch_add(1, Ordering::Relaxed)),
            Event::Stopped { step } => *self.stopped.lock().unwrap() = Some(*step),
            Event::Alarm(alarm) => self.alarms.lock().unwrap().push(alarm.clone()),
            Event::NotCalibrated(error) => panic!("{error}"),
        }
    }
}

fn loaded(folder: &Path, change: impl FnOnce(&mut crate::config::RunConfig)) -> TrainingData {
    let mut config = tiny_config(folder, Stage::Match);
    change(&mut config);
    TrainingData::load(&config, None, None, &folder.join("features"), &Device::flex(), &()).unwrap().0
}

#[test]
fn a_run_has_its_epochs_and_stops_where_its_observer_says() {
    let folder = tempfile::tempdir().unwrap();
    let observer = Recorder { stop_after: 3, ..Recorder::default() };
    let mut trainer = tiny_trainer(folder.path(), Stage::I2tXe);
    assert_eq!(trainer.steps_per_epoch(), 4);
    let error = trainer.run(&observer).unwrap_err();
    assert_eq!((error.kind(), *observer.stopped.lock().unwrap()), (Kind::Interrupted, Some(3)));
    let saved = folder.path().join("run/last");
    assert!(saved.join("trainer.json").is_file());
    // The sums of the open epoch go on where they were.
    let mut resumed = Trainer::resume(&folder.path().join("run"), &folder.path().join("features"), &()).unwrap();
    assert_eq!(resumed.position.sums, trainer.position.sums);
    assert!(resumed.position.sums.get(super::algorithm::caption::LOSS).is_some());
    let rest = Recorder::default();
    let outcome = resumed.run(&rest).unwrap();
    assert_eq!((outcome.step, outcome.epoch, outcome.best_epoch), (8, 2, 2));
    assert_eq!((rest.steps.into_inner(), rest.epochs.into_inner()), (5, 2));
    assert_eq!(resumed.position.sums, NamedMetrics::default());
}

#[test]
fn a_run_without_patience_ends_after_epochs_that_are_no_better() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::Match);
    (config.train.select_by, config.train.patience, config.train.epochs) = (SelectBy::Rsum, 2, 50);
    // Nothing moves: no epoch is better than the untrained network.
    config.train.learning_rate = 1e-30;
    let observer = Recorder::default();
    let outcome = trainer_of(config, folder.path()).run(&observer).unwrap();
    assert_eq!((outcome.epoch, outcome.best_epoch, observer.epochs.into_inner()), (2, 0, 3));
}

/// The network before the first epoch knows the start's rsum and no captions or images.
#[test]
fn the_best_epoch_of_a_generating_stage_is_one_that_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    let best_epoch = |stage| {
        let mut config = tiny_config(folder.path(), stage);
        // Nothing moves: no epoch has more rsum than another.
        (config.train.select_by, config.train.learning_rate) = (SelectBy::Rsum, 1e-30);
        let run = folder.path().join(stage.name());
        std::fs::create_dir_all(&run).unwrap();
        trainer_of(config, &run).run(&Recorder::default()).unwrap().best_epoch
    };
    assert_eq!([Stage::Match, Stage::I2tXe, Stage::T2i, Stage::T2iPretrain].map(best_epoch), [0, 1, 1, 2]);
    let mut config = tiny_config(folder.path(), Stage::I2tXe);
    (config.train.select_by, config.train.learning_rate) = (SelectBy::Rsum, 1e-30);
    (config.train.epochs, config.train.match_epochs) = (3, 1);
    let run = folder.path().join("match_first");
    std::fs::create_dir_all(&run).unwrap();
    assert_eq!(trainer_of(config, &run).run(&Recorder::default()).unwrap().best_epoch, 2, "the first that captions");
}

/// Each image is encoded again by a decoder after the first epoch only, whatever the stage.
#[test]
fn updates_are_checked_once_they_can_have_had_an_effect() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::I2tT2i);
    (config.train.epochs, config.train.match_epochs) = (9, 2);
    let mut trainer = trainer_of(config, folder.path());
    let all = vec![Update::Caption, Update::Match, Update::Discriminator, Update::Generator];
    for (epoch, expected) in [(2, vec![Update::Match]), (3, all)] {
        trainer.position.epoch = epoch;
        assert_eq!(trainer.checked_updates(), expected);
    }
    trainer.config.train.stage = Stage::I2tXe;
    (trainer.config.train.match_epochs, trainer.position.epoch) = (0, 1);
    assert_eq!(trainer.checked_updates(), [Update::Match]);
    trainer.config.train.stage = Stage::T2iPretrain;
    assert_eq!(trainer.checked_updates(), []);
}

#[test]
fn images_that_cannot_be_read_leave_with_their_captions() {
    for finetune in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = tiny_config(folder.path(), Stage::Match);
        config.look.finetune = finetune;
        std::fs::write(folder.path().join("3.png"), b"no image").unwrap();
        let observer = Recorder::default();
        let features = folder.path().join("features");
        let (data, trained) = TrainingData::load(&config, None, None, &features, &Device::flex(), &observer).unwrap();
        assert_eq!((data.dataset.images.len(), data.train_images.len(), data.train_captions.len()), (11, 7, 14));
        assert_eq!((trained.is_some(), data.frozen.is_some()), (finetune, !finetune));
        let notes = observer.notes.into_inner().unwrap();
        assert!(notes[0] == "skipped: 1" && notes[1].contains('3'), "{notes:?}");
        assert!(
            data.vocabulary.encode_at_most("khaki", 9).contains(&gxn_data::UNKNOWN),
            "its words are no train words"
        );
    }
}

#[test]
fn fewer_train_images_mean_fewer_words_and_rows() {
    let folder = tempfile::tempdir().unwrap();
    let data = loaded(folder.path(), |config| config.data.max_train_images = 3);
    assert_eq!((data.train_images.clone(), data.captioned.clone()), (vec![0, 1, 2], vec![0, 1, 2]));
    assert_eq!(data.train_captions, [0, 1, 2, 3, 4, 5]);
    assert_eq!((data.train_row(2), data.caption_rows(Split::Val)), (2, vec![0, 0, 1, 1, 2, 2, 3, 3]));
    assert!(data.summary().contains("3 train images with 6 captions, 4 val and 0 test images"), "{}", data.summary());
    let too_few = tiny_config(folder.path(), Stage::Match);
    let too_few = crate::config::RunConfig {
        data: crate::config::DataConfig { max_train_images: 1, ..too_few.data.clone() },
        ..too_few
    };
    let error = TrainingData::load(&too_few, None, None, folder.path(), &Device::flex(), &()).unwrap_err();
    assert!(error.to_string().contains("found 1 image, expected at least 2"), "{error}");
}

/// Training draws one view of each image from the seed; everything else takes the mean of the views.
#[test]
fn a_step_draws_one_view_and_everything_else_takes_their_mean() {
    for finetune in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = tiny_config(folder.path(), Stage::Match);
        config.look.finetune = finetune;
        // An image that differs from its mirror image.
        let half = image::RgbImage::from_fn(32, 32, |x, _| image::Rgb([if x < 9 { 250 } else { 5 }, 60, 90]));
        half.save(folder.path().join("1.png")).unwrap();
        let features = folder.path().join("features");
        let (data, model) = setup(&config, Origin::New, None, &features, &Device::flex(), &()).unwrap();
        assert_eq!(matches!(data.features, FeatureSource::Images(_)), finetune);
        let draw = |seed| -> Vec<f32> {
            let found = data.features.step_features(&model, &[1], Phase::Train { seed }, &Device::flex()).unwrap();
            found.into_data().iter().collect()
        };
        assert_eq!(draw(1), draw(1));
        let views: Vec<Vec<f32>> = (0..16).map(draw).collect();
        let other = views.iter().find(|&view| *view != views[0]).expect("two views in sixteen draws");
        let mean = data.features.mean_features(&model, &[1]).unwrap();
        for ((a, b), mean) in views[0].iter().zip(other).zip(&mean) {
            assert!(((a + b) / 2.0 - mean).abs() < 2e-3 * mean.abs().max(1.0), "{a} {b} {mean}");
        }
    }
}

#[test]
fn a_share_of_the_words_of_a_step_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let data = loaded(folder.path(), |_| {});
    let members: Vec<usize> = (0..16).collect();
    assert_eq!(data.step_captions(&members, 0.0, 1), data.tokens[..16]);
    let found = data.step_captions(&members, 0.5, 1);
    assert_eq!(found, data.step_captions(&members, 0.5, 1));
    let unknown = found.iter().flatten().filter(|&&token| token == gxn_data::UNKNOWN).count();
    let words: usize = data.tokens[..16].iter().map(|tokens| tokens.len() - 2).sum();
    assert!((words / 4..3 * words / 4).contains(&unknown), "{unknown} of {words}");
    assert!(found.iter().all(|caption| caption[0] == gxn_data::START && caption.last() == Some(&gxn_data::END)));
}

fn saved(trainer: &Trainer, path: &Path) -> Checkpoint {
    trainer.checkpoint(None).save(path).unwrap();
    Checkpoint::load(path, &Device::flex()).unwrap()
}

/// What a checkpoint has is taken over, from the second one what the text-to-image path trains; the rest is drawn from the seed.
#[test]
fn first_weights_come_from_one_run_or_two() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = tiny_trainer(folder.path(), Stage::I2tXe);
    let mut config = tiny_config(folder.path(), Stage::T2i);
    config.train.seed = 5;
    let mut second = trainer_of(config, folder.path());
    for trainer in [&mut first, &mut second] {
        trainer.step(&tiny_batch(1), 4).unwrap();
    }
    let (first, second) = (saved(&first, &folder.path().join("a")), saved(&second, &folder.path().join("b")));
    let config = tiny_config(folder.path(), Stage::I2tT2i);
    let started = |origin: Origin| {
        let features = folder.path().join("features");
        weights::collect(&setup(&config, origin, None, &features, &Device::flex(), &()).unwrap().1)
    };
    let (new, one) = (started(Origin::New), started(Origin::InitFrom(&first, None)));
    let two = started(Origin::InitFrom(&first, Some(&second)));
    let arrays = [&first, &second].map(|checkpoint| weights::collect(&checkpoint.model));
    for (name, array) in &two {
        let image_path =
            ["sentence.grounded_", "image_generator.", "discriminator."].iter().any(|part| name.starts_with(part));
        assert_eq!(*array, arrays[usize::from(image_path)][name], "{name}");
        let expected = if arrays[0].contains_key(name) { &arrays[0][name] } else { &new[name] };
        assert_eq!(one[name], *expected, "{name}");
    }
}

#[test]
fn the_transform_of_features_is_fitted_for_new_networks_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::Match);
    config.look.transform = FeatureTransform::SqrtStandardise;
    let trainer = trainer_of(config.clone(), folder.path());
    let fitted = |arrays: &weights::Arrays| arrays["image.feature_mean"].values.clone();
    let own = fitted(&weights::collect(&*trainer.model));
    assert!(own.iter().any(|&mean| mean > 0.0));
    let start = saved(&trainer, &folder.path().join("start"));
    config.data.max_train_images = 2;
    let features = folder.path().join("features");
    let (_, model) = setup(&config, Origin::InitFrom(&start, None), None, &features, &Device::flex(), &()).unwrap();
    assert_eq!(fitted(&weights::collect(&model)), own, "of the run that it is initialised from");
}

/// 100 validation images are enough for a calibration; the observer cancels once the training is over.
#[test]
fn a_run_that_is_cancelled_while_it_is_calibrated_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny_config(folder.path(), Stage::Match);
    let mut lines = std::fs::read_to_string(&config.data.source).unwrap();
    for at in 0..100u8 {
        let image = image::RgbImage::from_pixel(32, 32, image::Rgb([at, 2 * at, 9]));
        image.save(folder.path().join(format!("v{at}.png"))).unwrap();
        lines += &format!("{{\"image\": \"v{at}.png\", \"caption\": \"text {at}\", \"split\": \"val\"}}\n");
    }
    std::fs::write(&config.data.source, lines).unwrap();
    #[derive(Default)]
    struct Canceller {
        epochs: AtomicUsize,
        not_calibrated: Mutex<Option<Kind>>,
    }
    impl Progress for Canceller {
        fn cancelled(&self) -> bool {
            self.epochs.load(Ordering::Relaxed) == 3
        }
    }
    impl TrainObserver for Canceller {
        fn event(&self, event: &Event) {
            match event {
                Event::Epoch(_) => drop(self.epochs.fetch_add(1, Ordering::Relaxed)),
                Event::NotCalibrated(error) => *self.not_calibrated.lock().unwrap() = Some(error.kind()),
                _ => {}
            }
        }
    }
    let (run, features, observer) = (folder.path().join("run"), folder.path().join("features"), Canceller::default());
    let outcome = super::run(config, &run, &features, &observer).unwrap();
    assert_eq!((outcome.epoch, *observer.not_calibrated.lock().unwrap()), (2, Some(Kind::Interrupted)));
    assert!(!run.join("best/relevance.safetensors").exists());
    crate::retrieve::calibration::calibrate_run(&run, &Device::flex(), &()).unwrap().unwrap();
}

/// A run is bound to the views and the size of the run that it begins with only where its configuration sets nothing.
#[test]
fn a_run_begins_with_anothers_input_and_its_own_settings() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::Match);
    let saved = trainer_of(config.clone(), folder.path()).checkpoint(None);
    (config.look.views, config.look.side_px) = (Views::Full, 0);
    let input = input_for(&config, Some(&saved));
    assert_eq!((saved.pipeline.views.len(), input.views.len()), (2, 1));
    assert_eq!(input.preprocess, saved.pipeline.preprocess);
    config.look.side_px = 48;
    assert_eq!(input_for(&config, Some(&saved)).preprocess, saved.pipeline.preprocess.with_side(48));
}

/// An image that is augmented differs from step to step, the same step repeats it, and evaluation sees none of it.
#[test]
fn augmented_images_are_a_function_of_the_steps_seed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::Match);
    let features = folder.path().join("features");
    config.look.finetune = true;
    let sized = |augment: bool, augment_side_px, phase| -> Vec<f32> {
        let look = LookConfig { augment, augment_side_px, ..config.look.clone() };
        let config = RunConfig { look, ..config.clone() };
        let (data, model) = setup(&config, Origin::New, None, &features, &Device::flex(), &()).unwrap();
        data.features.step_features(&model, &[1], phase, &Device::flex()).unwrap().into_data().iter().collect()
    };
    let found = |augment, phase| sized(augment, 0, phase);
    let step = |seed| found(true, Phase::Train { seed });
    assert_eq!(step(1), step(1));
    assert_ne!(step(1), step(2));
    assert_eq!(found(true, Phase::Evaluate), found(false, Phase::Evaluate));
    // A smaller side changes what a step sees, and not what an evaluation sees.
    let smaller = config.look.backbone.preprocess().side_px / 2;
    let seen = sized(true, smaller, Phase::Train { seed: 1 });
    assert_eq!(seen.len(), step(1).len());
    assert_ne!(seen, step(1));
    assert_eq!(sized(true, smaller, Phase::Evaluate), found(false, Phase::Evaluate));
}

/// Whatever was prepared, and in which order, a step sees what it would have seen without.
#[test]
fn prepared_images_are_those_of_their_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::Match);
    (config.look.finetune, config.look.augment) = (true, true);
    let (data, model) =
        setup(&config, Origin::New, None, &folder.path().join("features"), &Device::flex(), &()).unwrap();
    let step = |images: &[usize], seed| -> Vec<f32> {
        let phase = Phase::Train { seed };
        data.features.step_features(&model, images, phase, &Device::flex()).unwrap().into_data().iter().collect()
    };
    let expected = [step(&[1, 0], 1), step(&[1, 0], 2), step(&[0, 1], 2), step(&[0, 1], 3)];
    let prepare = |images: &[usize], seed| data.features.prepare(images, Phase::Train { seed });
    prepare(&[1, 0], 1);
    prepare(&[1, 0], 2);
    assert_eq!(step(&[1, 0], 1), expected[0]);
    // Of other images, or once more: made when it is asked for.
    assert_eq!(step(&[0, 1], 2), expected[2]);
    assert_eq!(step(&[1, 0], 2), expected[1]);
    assert_eq!(step(&[1, 0], 2), expected[1]);
    // What a step leaves behind is given up.
    (0..5).for_each(|seed| prepare(&[0, 1], seed));
    assert_eq!(step(&[0, 1], 3), expected[3]);
    assert_eq!(step(&[0, 1], 2), expected[2]);
}

/// Two images have the caption "green is here".
#[test]
fn equal_captions_of_other_images_are_no_negatives_where_they_are_masked() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny_config(folder.path(), Stage::Match);
    let lines = std::fs::read_to_string(&config.data.source).unwrap();
    std::fs::write(&config.data.source, lines.replace("lime is here", "Green is here")).unwrap();
    let load = |config: &crate::config::RunConfig| {
        TrainingData::load(config, None, None, &folder.path().join("features"), &Device::flex(), &()).unwrap().0
    };
    let data = load(&config);
    let members = [0, 2, 4]; // "green is here", "Green is here", "olive is here"
    let (yes, no) = (true, false);
    let belongs = |captions: &[usize], is_masked| {
        let (images, rows) = (captions.iter().map(|&c| data.caption_image[c]).collect(), (0..captions.len()).collect());
        data.pairs(&Batch { images, captions: captions.to_vec(), rows }, is_masked).belongs().to_vec()
    };
    assert_eq!(belongs(&members, false), [yes, no, no, no, yes, no, no, no, yes]);
    assert_eq!(belongs(&members, true), [yes, yes, no, yes, yes, no, no, no, yes]);
    // The second image has the caption of the first one too, but this batch shows another of its own.
    assert_eq!(belongs(&[0, 3], true), [yes, no, yes, yes]);
}
