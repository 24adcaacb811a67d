//! The image generator and its discriminator as a whole: shapes and running statistics.

use burn::tensor::Device;

use super::image_generator::Noise;
use super::small_image::root_mean_square;
use crate::config::RunConfig;
use crate::look::{Init, Phase, TokenBatch};
use crate::model::{Generators, Gxn};
use gxn_data::{END, START};

const PHASE: Phase = Phase::Train { seed: 4 };

fn config() -> RunConfig {
    let mut config = RunConfig::default();
    (config.look.embed_dim, config.look.sentence.hidden, config.look.sentence.word_dim) = (6, 5, 4);
    let images = &mut config.imagine.image;
    (images.generator_width, images.discriminator_width) = (2, 2);
    (images.condition_dim, images.noise_dim) = (3, 5);
    config
}

fn network() -> Gxn {
    let generators = Generators { words: None, images: true };
    Gxn::new(&Init::new(7, &Device::flex()), &config(), 9, None, None, generators)
}

fn captions() -> TokenBatch {
    TokenBatch::new(&[vec![START, 4, 5, END], vec![START, 6, END], vec![START, 8, 7, 5, END], vec![START, 5, END]])
}

/// Spec §13.7.
#[test]
fn images_have_the_papers_size_and_range() {
    let network = network();
    let t_l = network.encode_text_grounded(&captions(), Phase::Evaluate).unwrap();
    let noise = Noise::of_batch(&config().imagine.image, 4, 1, &Device::flex());
    let pixels = network.image_generator.as_ref().unwrap().forward(t_l.clone(), noise, PHASE).pixels;
    assert_eq!(pixels.dims(), [4, 3, 64, 64]);
    let values: Vec<f32> = pixels.clone().into_data().iter().collect();
    assert!(values.iter().all(|x| (-1.0..=1.0).contains(x)) && values.iter().any(|x| x.abs() > 0.01));
    let (logits, _) = network.discriminator.as_ref().unwrap().forward(pixels, t_l, PHASE);
    assert_eq!(logits.dims(), [4]);
}

/// Outside training the discriminator judges each pair by itself: whatever stands beside it, in whatever batch.
#[test]
fn a_pair_is_judged_by_itself() {
    let network = network();
    let sentences: Vec<Vec<u32>> = (0..70).map(|n| vec![START, 4 + n % 5, END]).collect();
    let sentences: Vec<&[u32]> = sentences.iter().map(Vec::as_slice).collect();
    let seeds: Vec<u64> = (0..70).collect();
    let images = network.generate_images(&sentences, None, &seeds, &config().imagine.image);
    let images: Vec<_> = images.iter().collect();
    let logits = network.discriminate(&images, &sentences, None);
    assert_eq!(logits.len(), 70);
    let alone = network.discriminate(&images[68..69], &sentences[68..69], None)[0];
    assert!((logits[68] - alone).abs() < 1e-5, "{} and {alone}", logits[68]);
    let swapped = network.discriminate(&images[68..69], &sentences[69..], None)[0];
    assert!((swapped - alone).abs() > 1e-6, "the sentence counts: {swapped} and {alone}");
}

/// Outside training an image depends on its own sentence and noise alone, and follows the running statistics.
#[test]
fn outside_training_the_running_statistics_count() {
    let mut network = network();
    let config = config().imagine.image;
    let sentences: [&[u32]; 2] = [&[START, 4, END], &[START, 7, 8, END]];
    let both = network.generate_images(&sentences, None, &[1, 2], &config);
    let alone = network.generate_images(&sentences[1..], None, &[2], &config);
    assert!(root_mean_square(&both[1], &alone[0]) < 1e-5);
    assert_eq!(both, network.generate_images(&sentences, None, &[1, 2], &config));
    assert!(root_mean_square(&both[0], &both[1]) > 0.0);

    let t_l = network.encode_text_grounded(&captions(), Phase::Evaluate).unwrap();
    let generator = network.image_generator.as_ref().unwrap();
    let stats = generator.forward(t_l, Noise::of_batch(&config, 4, 1, &Device::flex()), PHASE).stats;
    network.image_generator.as_mut().unwrap().update_running_stats(&stats);
    let moved = network.generate_images(&sentences, None, &[1, 2], &config);
    assert!(root_mean_square(&both[0], &moved[0]) > 0.0);
}
