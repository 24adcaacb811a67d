//! Training end to end on a handful of images: it learns, it resumes bit for bit, it refuses what cannot be.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gxn::checkpoint::weights;
use gxn::config::{FeatureTransform, LossKind, Pooling, RunConfig, Schedule, Similarity};
use gxn::encoder::Encoder;
use gxn::evaluate::{EncodeOptions, encode_dataset};
use gxn::look::backbone::BackboneKind;
use gxn::train::validation::validate;
use gxn::train::{Alarm, Event, Outcome, TrainObserver, Trainer};
use gxn_base::{Kind, Progress, Remedy};
use gxn_data::{Dataset, SourceOptions, Split};

use crate::tiny_dataset::tiny_dataset;

/// A network of a few thousand weights with everything switched on that uses randomness or state.
pub fn tiny_config(source: &Path, finetune: bool) -> RunConfig {
    let mut config = RunConfig::default();
    config.data.source = source.display().to_string();
    let look = &mut config.look;
    look.backbone = BackboneKind::Small;
    look.finetune = finetune;
    look.weights = "random".into();
    look.side_px = 32;
    look.views = gxn::config::Views::Flip;
    look.feature_dropout = 0.1;
    look.embed_dim = 16;
    look.sentence.word_dim = 8;
    look.sentence.hidden = 12;
    look.sentence.word_dropout = 0.1;
    look.sentence.state_dropout = 0.1;
    look.sentence.unknown_word_rate = 0.05;
    look.sentence.abstract_pooling = Pooling::Max;
    config.matching.loss = LossKind::Hardest;
    config.matching.sum_epochs = 1;
    config.train.epochs = 3;
    config.train.batch_size = 6;
    config.train.learning_rate = 3e-3;
    config.train.schedule = Schedule::Cosine;
    config.train.warmup_steps = 3;
    config.train.ema_decay = 0.9;
    config
}

/// Keeps alarms, and stops after some steps.
#[derive(Default)]
pub struct Watcher {
    stop_after: usize,
    steps: AtomicUsize,
    alarms: Mutex<Vec<Alarm>>,
}

impl Progress for Watcher {
    fn cancelled(&self) -> bool {
        self.stop_after > 0 && self.steps.load(Ordering::Relaxed) >= self.stop_after
    }
}

impl TrainObserver for Watcher {
    fn event(&self, event: &Event) {
        match event {
            Event::Step(_) => drop(self.steps.fetch_add(1, Ordering::Relaxed)),
            Event::Alarm(alarm) => self.alarms.lock().unwrap().push(alarm.clone()),
            _ => {}
        }
    }
}

pub fn start(config: &RunConfig, run: &Path) -> Trainer {
    Trainer::new(config.clone(), run, &run.with_extension("features"), &()).unwrap()
}

pub fn run_to_end(mut trainer: Trainer) -> (Outcome, Vec<Alarm>) {
    let watcher = Watcher::default();
    let outcome = trainer.run(&watcher).unwrap();
    (outcome, watcher.alarms.into_inner().unwrap())
}

/// Step lines of the log, and epoch lines without their seconds.
pub fn log_lines(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let strip = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("seconds");
        value
    };
    text.lines().map(strip).collect()
}

pub fn saved_state(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("last/trainer.safetensors")).unwrap()
}

/// Stops the run after every `stop_after` steps and resumes it until it is finished.
pub fn run_in_pieces(config: &RunConfig, run: &Path, stop_after: usize) {
    let features = run.with_extension("features");
    let mut trainer = start(config, run);
    for _ in 0..100 {
        match trainer.run(&Watcher { stop_after, ..Watcher::default() }) {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), Kind::Interrupted, "{error}"),
        }
        // The run is its trainer's alone.
        assert_eq!(Trainer::resume(run, &features, &()).unwrap_err().kind(), Kind::Busy);
        drop(trainer);
        trainer = Trainer::resume(run, &features, &()).unwrap();
    }
    panic!("the run never ended");
}

fn resume_equals_uninterrupted(finetune: bool, schedule: Schedule) {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let mut config = tiny_config(&source, finetune);
    config.train.schedule = schedule;
    config.train.decay_every_epochs = 1;
    (config.look.augment, config.train.captions_per_image) = (finetune, if finetune { 2 } else { 1 });
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    run_to_end(start(&config, &whole));
    // Five steps an epoch: stops lie inside epochs and on their borders.
    run_in_pieces(&config, &pieces, 3);
    assert_eq!(log_lines(&whole), log_lines(&pieces));
    assert_eq!(saved_state(&whole), saved_state(&pieces));
    assert_eq!(
        std::fs::read(whole.join("best/model.safetensors")).unwrap(),
        std::fs::read(pieces.join("best/model.safetensors")).unwrap()
    );
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_with_a_frozen_cnn() {
    resume_equals_uninterrupted(false, Schedule::Cosine);
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_with_a_trained_cnn() {
    resume_equals_uninterrupted(true, Schedule::Step);
}

#[test]
fn a_tiny_set_is_memorised() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let mut config = tiny_config(&source, true);
    config.look.views = gxn::config::Views::Full;
    config.look.feature_dropout = 0.0;
    config.look.embed_dim = 64;
    let sentence = &mut config.look.sentence;
    (sentence.hidden, sentence.word_dropout, sentence.state_dropout, sentence.unknown_word_rate) = (32, 0.0, 0.0, 0.0);
    config.matching.loss = LossKind::InfoNce;
    config.matching.similarity = Similarity::Cosine;
    config.matching.absolute = false;
    config.train.epochs = 60;
    config.train.batch_size = 16;
    config.train.ema_decay = 0.0;
    let run = folder.path().join("run");
    let (outcome, alarms) = run_to_end(start(&config, &run));
    assert_eq!(alarms, [], "a healthy run raises no alarm");
    assert_eq!(outcome.epoch, 60);
    // Every train image finds one of its own captions first, and every caption its image.
    let encoder = Encoder::load(&run.join("last")).unwrap();
    let data = Dataset::open(&source, &SourceOptions::default()).unwrap();
    let encoded =
        encode_dataset(&encoder, &data, EncodeOptions { split: Some(Split::Train), beam: None }, &()).unwrap();
    let scoring = gxn::evaluate::encode::scoring(encoder.config());
    let result = validate(&encoded.images, &encoded.captions, &encoded.caption_image, scoring).unwrap();
    assert_eq!([result.metrics.image_to_text.r1, result.metrics.text_to_image.r1], [100.0; 2]);
}

#[test]
fn a_second_run_in_the_same_folder_and_changed_data_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let mut config = tiny_config(&source, false);
    config.train.epochs = 1;
    let run = folder.path().join("run");
    run_to_end(start(&config, &run));
    let again = Trainer::new(config, &run, &run, &()).unwrap_err();
    assert_eq!((again.kind(), again.remedy()), (Kind::Conflict, Some(&Remedy::ResumeOrRename)), "{again}");

    let text = std::fs::read_to_string(&source).unwrap().replace("the top left is red", "something else");
    std::fs::write(&source, text).unwrap();
    let changed = Trainer::resume(&run, &run.with_extension("features"), &()).unwrap_err();
    assert!(changed.hint().unwrap().contains("start a new run"), "{changed}");
    let empty = Trainer::resume(folder.path(), &run, &()).unwrap_err();
    assert!(empty.to_string().contains("no saved step"), "{empty}");
}

/// As after SIGKILL: nothing is saved on the way out.
#[test]
fn a_run_that_dies_in_its_first_step_goes_on_as_if_it_had_not() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let mut config = tiny_config(&source, false);
    config.train.epochs = 1;
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    run_to_end(start(&config, &whole));
    struct Dies;
    impl Progress for Dies {}
    impl TrainObserver for Dies {
        fn event(&self, event: &Event) {
            assert!(!matches!(event, Event::Step(_)), "dies here");
        }
    }
    let mut trainer = start(&config, &killed);
    let dies = std::panic::AssertUnwindSafe(|| trainer.run(&Dies));
    assert!(std::panic::catch_unwind(dies).is_err());
    drop(trainer);
    // Killed between the two links: `best` is missing.
    std::fs::remove_file(killed.join("best")).unwrap();
    let features = killed.with_extension("features");
    let again = Trainer::resume(&killed, &features, &()).unwrap();
    assert!(killed.join("best/meta.json").is_file());
    run_to_end(again);
    assert_eq!(log_lines(&whole), log_lines(&killed));
    assert_eq!(saved_state(&whole), saved_state(&killed));
}

#[test]
fn the_feature_transform_is_fitted_once_and_never_trained() {
    for finetune in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = tiny_config(&tiny_dataset(folder.path()), finetune);
        config.look.transform = FeatureTransform::SqrtStandardise;
        config.train.weight_decay = 0.1;
        config.train.epochs = 1;
        let mut trainer = start(&config, &folder.path().join("run"));
        let fitted = |trainer: &Trainer| {
            let mut arrays = weights::collect(&trainer.checkpoint(None).model);
            ["image.feature_mean", "image.feature_scale"].map(|name| arrays.remove(name).unwrap().values)
        };
        let before = fitted(&trainer);
        assert!(before[0].iter().any(|&mean| mean > 0.0) && before[1].iter().any(|&scale| scale != 1.0));
        trainer.run(&()).unwrap();
        assert_eq!(fitted(&trainer), before);
    }
}

#[test]
fn a_run_that_diverges_fails_and_keeps_weights_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(&tiny_dataset(folder.path()), false);
    config.matching.margin = 1e39; // more than the largest f32
    let run = folder.path().join("run");
    let error = start(&config, &run).run(&()).unwrap_err();
    assert!(error.to_string().contains("a finite number"), "{error}");
    assert!(error.hint().unwrap().contains("train.learning_rate"));
    Encoder::load(&run.join("last")).unwrap();
}

#[test]
fn too_few_images_are_refused_before_any_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let refused = |config: &RunConfig| {
        struct NoImages;
        impl Progress for NoImages {
            fn update(&self, unit: &'static str, _: usize, _: usize) {
                panic!("{unit} were read");
            }
        }
        impl TrainObserver for NoImages {}
        let run = folder.path().join("run");
        let error = Trainer::new(config.clone(), &run, &folder.path().join("features"), &NoImages);
        assert!(!run.exists());
        error.unwrap_err().to_string()
    };
    let mut config = tiny_config(&source, false);
    config.data.max_train_images = 1;
    assert!(refused(&config).contains("the train split of tiny: found 1 image, expected at least 2"));
    let text = std::fs::read_to_string(&source).unwrap().replace("\"val\"", "\"test\"");
    std::fs::write(&source, text).unwrap();
    assert!(refused(&tiny_config(&source, false)).contains("the val split of tiny: found no image"));
}
