//! Stages that generate images: the generator alone, with Match, and the whole of Algorithm 1; each resumes bit for bit.

use std::path::Path;

use gxn::checkpoint::{Checkpoint, weights};
use gxn::config::{RunConfig, Stage};
use gxn::encoder::Encoder;
use gxn::train::Alarm;

use crate::captioning::base_run;
use crate::tiny_dataset::tiny_dataset;
use crate::training::{log_lines, run_in_pieces, run_to_end, saved_state, start, tiny_config};

fn staged(source: &Path, stage: Stage, init_from: Option<&Path>, merge_from: Option<&Path>) -> RunConfig {
    let mut config = tiny_config(source, false);
    config.train.stage = stage;
    config.train.init_from = init_from.map(|path| path.display().to_string());
    config.train.merge_from = merge_from.map(|path| path.display().to_string());
    config.train.epochs = 2;
    config.train.select_by = gxn::config::SelectBy::Last;
    config.imagine.caption.hidden = 10;
    config.imagine.caption.min_count = 1;
    let image = &mut config.imagine.image;
    (image.generator_width, image.discriminator_width) = (4, 2);
    (image.condition_dim, image.noise_dim) = (4, 4);
    image.beta1 = 0.5;
    config
}

#[test]
fn every_stage_resumes_bit_for_bit_and_merges_what_each_path_trained() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let at = |name: &str| folder.path().join(name);
    let base = base_run(folder.path(), &source);
    run_to_end(start(&staged(&source, Stage::I2tXe, Some(&base), None), &at("xe")));
    let order: [(Stage, &str, &str, Option<&str>); 3] = [
        (Stage::T2iPretrain, "alone", "base", None),
        (Stage::T2i, "t2i", "alone", None),
        (Stage::I2tT2i, "i2t_t2i", "xe", Some("t2i")),
    ];
    for (stage, name, begin, merge) in order {
        let mut config = staged(&source, stage, Some(&at(begin)), merge.map(at).as_deref());
        config.train.match_epochs = usize::from(stage == Stage::I2tT2i);
        let pieces = at(&format!("{name}-pieces"));
        run_to_end(start(&config, &at(name)));
        run_in_pieces(&config, &pieces, 3);
        assert_eq!(log_lines(&at(name)), log_lines(&pieces), "{name}");
        assert_eq!(saved_state(&at(name)), saved_state(&pieces), "{name}");
        assert!(at(name).join("samples/epoch_002.png").is_file());
        let with_images = log_lines(&at(name)).iter().filter(|line| line.get("picture").is_some()).count();
        assert_eq!(with_images, if stage == Stage::I2tT2i { 5 } else { 10 }, "{name}");
    }
    let device = burn::tensor::Device::flex();
    let arrays = |name: &str| weights::collect(&Checkpoint::load(&at(name), &device).unwrap().model);
    // The generator alone moves nothing but itself.
    let (base, alone) = (arrays("base"), arrays("alone"));
    assert!(base.iter().all(|(name, array)| alone[name] == *array));
    // Match steps: none alone, one a step in t2i, one and then two a step in i2t_t2i.
    let card = |name: &str| Encoder::load(&at(name)).unwrap().trained().unwrap().card().clone();
    assert_eq!(["alone", "t2i", "i2t_t2i"].map(|name| card(name).match_steps), [Some(0), Some(10), Some(15)]);
    assert_eq!(card("t2i").ancestry.iter().map(|a| a.match_steps).collect::<Vec<_>>(), [5, 0]);

    let config = staged(&source, Stage::I2tT2i, Some(&at("xe")), Some(&at("t2i")));
    let merged = weights::collect(&start(&config, &at("merged")).checkpoint(None).model);
    let (caption_path, image_path) = (arrays("xe"), arrays("t2i"));
    for (name, array) in &merged {
        let of_images = ["sentence.grounded_", "image_generator.", "discriminator."];
        let of = if of_images.iter().any(|part| name.starts_with(part)) { &image_path } else { &caption_path };
        assert_eq!(*array, of[name], "{name}");
    }
}

/// A generator that learns nothing goes on making the one image that it began with.
#[test]
fn a_generator_with_one_image_raises_the_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let base = base_run(folder.path(), &source);
    let mut config = staged(&source, Stage::T2iPretrain, Some(&base), None);
    config.imagine.image.learning_rate = 1e-9;
    let (_, alarms) = run_to_end(start(&config, &folder.path().join("run")));
    assert!(alarms.iter().any(|alarm| matches!(alarm, Alarm::OneImage { .. })), "{alarms:?}");
}
