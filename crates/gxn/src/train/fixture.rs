//! A run of a few thousand weights on a handful of images, for unit tests.

use std::path::Path;

use super::sampler::Batch;
use super::setup::Origin;
use super::state::RunFolder;
use super::trainer::Trainer;
use crate::config::{FeatureTransform, RunConfig, SelectBy, Stage, Views};
use crate::look::backbone::BackboneKind;

/// Words of one caption pair each.
const COLOURS: [&str; 12] =
    ["green", "lime", "olive", "khaki", "ochre", "amber", "gold", "peach", "coral", "brick", "ruby", "red"];

/// Twelve images of one colour each with two captions: eight for training, four for validation.
pub(super) fn tiny_config(folder: &Path, stage: Stage) -> RunConfig {
    let mut lines = String::new();
    for at in 0..12u8 {
        let name = format!("{at}.png");
        image::RgbImage::from_pixel(32, 32, image::Rgb([20 * at, 255 - 20 * at, 40])).save(folder.join(&name)).unwrap();
        let split = if at < 8 { "train" } else { "val" };
        let colour = COLOURS[usize::from(at)];
        let captions = [format!("{colour} is here"), format!("a patch of {colour}")];
        let line = serde_json::json!({"image": name, "captions": captions, "split": split});
        lines.push_str(&format!("{line}\n"));
    }
    let source = folder.join("tiny.jsonl");
    std::fs::write(&source, lines).unwrap();

    let mut config = RunConfig::default();
    config.data.source = source.display().to_string();
    let look = &mut config.look;
    (look.backbone, look.weights, look.side_px) = (BackboneKind::Small, "random".into(), 32);
    (look.views, look.transform) = (Views::Flip, FeatureTransform::L2);
    (look.embed_dim, look.sentence.word_dim, look.sentence.hidden) = (6, 4, 5);
    let caption = &mut config.imagine.caption;
    (caption.hidden, caption.min_count, caption.max_words) = (7, 1, 6);
    let image = &mut config.imagine.image;
    (image.generator_width, image.discriminator_width, image.condition_dim, image.noise_dim) = (2, 2, 3, 4);
    (config.train.stage, config.train.batch_size, config.train.epochs) = (stage, 4, 2);
    (config.train.learning_rate, config.train.select_by) = (1e-2, SelectBy::Last);
    config
}

/// A new run of this configuration in `folder`, its weights drawn from the seed whatever its stage begins with.
pub(super) fn trainer_of(config: RunConfig, folder: &Path) -> Trainer {
    let (run, features) = (RunFolder(folder.join("run")), folder.join("features"));
    let trainer = Trainer::assemble(config, run, Origin::New, None, &features, &(), |_, model| Ok(model)).unwrap();
    std::fs::create_dir_all(folder.join("run/checkpoints")).unwrap();
    trainer
}

/// [`trainer_of`] [`tiny_config`].
pub(super) fn tiny_trainer(folder: &Path, stage: Stage) -> Trainer {
    trainer_of(tiny_config(folder, stage), folder)
}

/// The first four train images of [`tiny_config`], each with the first `captions` of its two captions.
pub(super) fn tiny_batch(captions: usize) -> Batch {
    let rows: Vec<usize> = (0..4).flat_map(|row| vec![row; captions]).collect();
    let captions = rows.iter().enumerate().map(|(at, row)| 2 * row + at % captions).collect();
    Batch { images: (0..4).collect(), captions, rows }
}
