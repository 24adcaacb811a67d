//! Stages that generate captions: they resume bit for bit, they memorise a tiny set, they keep what they begin with.

use std::path::{Path, PathBuf};

use gxn::checkpoint::{Checkpoint, weights};
use gxn::config::{LossKind, RunConfig, Schedule, SelectBy, Similarity, Stage};
use gxn::encoder::Encoder;
use gxn_data::{Dataset, ImageLimits, SourceOptions, Split};
use gxn_eval::metrics::CaptionReferences;

use crate::tiny_dataset::tiny_dataset;
use crate::training::{log_lines, run_in_pieces, run_to_end, saved_state, start, tiny_config};

fn staged(source: &Path, stage: Stage, init_from: Option<&Path>) -> RunConfig {
    let mut config = tiny_config(source, false);
    config.train.stage = stage;
    config.train.init_from = init_from.map(|path| path.display().to_string());
    config.train.epochs = 2;
    config.imagine.caption.hidden = 10;
    config.imagine.caption.min_count = 1;
    config.imagine.caption.sampling = 0.3;
    config.imagine.caption.learning_rate = 5e-3;
    config.train.select_by = SelectBy::Last;
    config
}

/// Cross-entropy, then reinforcement from it; each whole and in pieces of three steps.
#[test]
fn resumed_caption_stages_equal_uninterrupted_ones() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let first = folder.path().join("xe");
    for (stage, name, begin) in [(Stage::I2tXe, "xe", None), (Stage::I2tMix, "mix", Some(first.as_path()))] {
        let config = staged(&source, stage, begin);
        let (whole, pieces) = (folder.path().join(name), folder.path().join(format!("{name}-pieces")));
        run_to_end(start(&config, &whole));
        run_in_pieces(&config, &pieces, 3);
        assert_eq!(log_lines(&whole), log_lines(&pieces), "{name}");
        assert_eq!(saved_state(&whole), saved_state(&pieces), "{name}");
        let with_captions = log_lines(&whole).iter().filter(|line| line.get("caption").is_some()).count();
        assert_eq!(with_captions, 10, "every step of {name} has its caption numbers");
    }
    let ancestry = Encoder::load(&folder.path().join("mix")).unwrap().trained().unwrap().card().ancestry.clone();
    assert_eq!(ancestry.iter().map(|a| (a.stage, a.steps)).collect::<Vec<_>>(), [(Stage::I2tXe, 10)]);
}

/// A Look + Match run of one epoch.
pub fn base_run(folder: &Path, source: &Path) -> PathBuf {
    let base = folder.join("base");
    let mut config = tiny_config(source, false);
    config.train.epochs = 1;
    config.train.select_by = SelectBy::Last;
    run_to_end(start(&config, &base));
    base
}

fn one_caption_each(folder: &Path) -> PathBuf {
    let source = tiny_dataset(folder);
    let mut json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&source).unwrap()).unwrap();
    for image in json["images"].as_array_mut().unwrap() {
        image["sentences"].as_array_mut().unwrap().truncate(1);
    }
    std::fs::write(&source, json.to_string()).unwrap();
    source
}

/// A caption equal to its only reference has CIDEr 10; the set's mean is at least 9.
#[test]
fn a_tiny_set_with_one_caption_per_image_is_memorised() {
    let folder = tempfile::tempdir().unwrap();
    let source = one_caption_each(folder.path());
    let mut config = staged(&source, Stage::I2tXe, None);
    config.look.finetune = true;
    config.look.views = gxn::config::Views::Full;
    config.look.feature_dropout = 0.0;
    config.look.embed_dim = 32;
    config.imagine.caption.hidden = 48;
    config.imagine.caption.dropout = 0.0;
    config.imagine.caption.sampling = 0.0;
    config.matching.loss = LossKind::InfoNce;
    config.matching.similarity = Similarity::Cosine;
    config.matching.absolute = false;
    config.train.epochs = 200;
    config.train.batch_size = 8;
    config.train.schedule = Schedule::Constant;
    config.train.ema_decay = 0.0;
    let run = folder.path().join("run");
    run_to_end(start(&config, &run));
    let encoder = Encoder::load(&run).unwrap();
    let data = Dataset::open(&source, &SourceOptions::default()).unwrap();
    let images = data.split_indices(Split::Train);
    let sources: Vec<_> = images.iter().map(|&at| &data.images[at].source).collect();
    let features: Vec<f32> = (encoder.image_features(&sources, &ImageLimits::default()).unwrap().into_iter())
        .flat_map(|found| found.unwrap().feature)
        .collect();
    let generated: Vec<String> = encoder
        .caption_features(&features, 3)
        .unwrap()
        .into_iter()
        .map(|mut captions| captions.remove(0).caption)
        .collect();
    let texts: Vec<Vec<String>> = (images.iter())
        .map(|&at| data.captions.iter().filter(|c| c.image == at).map(|c| c.text.clone()).collect())
        .collect();
    let scores = CaptionReferences::new(&texts, None).score(&generated).unwrap();
    assert!(scores.cider >= 9.0, "{} {generated:?}", scores.cider);
}

#[test]
fn a_stage_begins_with_the_weights_of_its_start_and_its_control_takes_the_same_batches() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let base = base_run(folder.path(), &source);
    let begun = start(&staged(&source, Stage::I2tXe, Some(&base)), &folder.path().join("xe"));
    let device = burn::tensor::Device::flex();
    let saved = weights::collect(&Checkpoint::load(&base, &device).unwrap().model);
    let mut own = weights::collect(&begun.checkpoint(None).model);
    own.retain(|name, _| !name.starts_with("caption_decoder."));
    assert_eq!(own, saved);

    let mut control = staged(&source, Stage::Match, Some(&base));
    control.imagine = Default::default();
    let run = folder.path().join("control");
    run_to_end(start(&control, &run));
    assert_eq!(log_lines(&run).iter().filter(|line| line.get("loss").is_some()).count(), 10);
}

#[test]
fn reinforcement_without_a_decoder_to_begin_with_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let base = base_run(folder.path(), &source);
    let refused = |config: RunConfig| {
        let run = folder.path().join("mix");
        let error = gxn::train::Trainer::new(config, &run, &folder.path().join("f"), &()).unwrap_err();
        assert!(!run.exists());
        error.to_string()
    };
    let error = refused(staged(&source, Stage::I2tMix, Some(&base)));
    assert!(error.contains("without caption decoder"), "{error}");
    let error = refused(staged(&source, Stage::I2tMix, None));
    assert!(error.contains("train.init_from"), "{error}");
}
