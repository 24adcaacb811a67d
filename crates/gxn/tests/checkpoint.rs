//! Checkpoints: they reproduce the network, and refuse what was damaged.

use std::path::Path;

use gxn::checkpoint::{Checkpoint, fingerprint_of, weights};
use gxn::encoder::Encoder;
use gxn::train::Trainer;

use crate::tiny_dataset::tiny_dataset;
use crate::training::tiny_config;

fn trained(folder: &Path) -> std::path::PathBuf {
    let source = tiny_dataset(folder);
    let mut config = tiny_config(&source, false);
    config.train.epochs = 1;
    let run = folder.join("run");
    Trainer::new(config, &run, &folder.join("features"), &()).unwrap().run(&()).unwrap();
    run
}

#[test]
fn a_checkpoint_embeds_the_same_after_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let first = Encoder::load(&run).unwrap();
    let copy = folder.path().join("copy");
    Checkpoint::load(&run, &burn::tensor::Device::flex()).unwrap().save(&copy).unwrap();
    let second = Encoder::load(&copy).unwrap();
    assert_eq!(first.fingerprint(), second.fingerprint());
    let sentences = ["a red patch at the top left", "words that were never seen", ""];
    assert_eq!(first.encode_texts(&sentences).unwrap(), second.encode_texts(&sentences).unwrap());
    let alone = first.encode_texts(&sentences[..1]).unwrap();
    let together = first.encode_texts(&sentences).unwrap();
    for (a, b) in alone.joined(0).iter().zip(together.joined(0)) {
        assert!((a - b).abs() < 1e-5, "a sentence's embedding depends on its neighbours");
    }
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let device = burn::tensor::Device::flex();
    let best = std::fs::canonicalize(run.join("best")).unwrap();
    let path = best.join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();

    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let error = Checkpoint::load(&run, &device).unwrap_err().to_string();
    assert!(error.contains("fingerprint"), "{error}");
    std::fs::write(&path, &whole).unwrap();
    assert!(Checkpoint::load(&run, &device).is_ok());

    // NaN with a matching fingerprint: the weights themselves are checked.
    let mut arrays = weights::load(&path).unwrap();
    arrays.values_mut().next().unwrap().values[0] = f32::NAN;
    weights::save(&arrays, &path).unwrap();
    let error = Checkpoint::load(&run, &device).unwrap_err().to_string();
    assert!(error.contains("fingerprint") || error.contains("NaN"), "{error}");

    std::fs::remove_file(best.join("vocab.json")).unwrap();
    let error = Checkpoint::load(&run, &device).unwrap_err().to_string();
    assert!(error.contains("vocab.json"), "{error}");
    let error = fingerprint_of(folder.path()).unwrap_err();
    assert!(error.to_string().contains("without meta.json") && error.hint().is_some(), "{error}");
    let error = fingerprint_of(&folder.path().join("absent")).unwrap_err();
    assert!(error.to_string().contains("found nothing"), "{error}");
}
