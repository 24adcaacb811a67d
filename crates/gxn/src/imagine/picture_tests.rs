//! The picture generator and its discriminator as a whole: shapes, gradient reach, running statistics.

use std::collections::BTreeSet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::adversarial_loss::discriminator_loss;
use super::image_generator::Noise;
use super::picture::root_mean_square;
use super::tests::reached;
use crate::checkpoint::weights::{Arrays, collect};
use crate::config::RunConfig;
use crate::look::{Init, Phase, TokenBatch};
use crate::model::{Generators, Gxn};
use crate::train::optimisers::Optimisers;
use crate::train::picture_steps::{PictureFigures, discriminator_step, generator_step, propose};
use gxn_data::{END, START};
use gxn_ops::adam::AdamState;

const PHASE: Phase = Phase::Train { seed: 4 };

fn config() -> RunConfig {
    let mut config = RunConfig::default();
    (config.look.embed_dim, config.look.sentence.hidden, config.look.sentence.word_dim) = (6, 5, 4);
    let pictures = &mut config.imagine.pictures;
    (pictures.generator_width, pictures.discriminator_width) = (2, 2);
    (pictures.condition_dim, pictures.noise_dim) = (3, 5);
    config
}

fn network() -> Gxn {
    let generators = Generators { words: None, images: true };
    Gxn::new(&Init::new(7, &Device::flex()), &config(), 9, None, None, generators)
}

fn captions() -> TokenBatch {
    TokenBatch::new(&[vec![START, 4, 5, END], vec![START, 6, END], vec![START, 8, 7, 5, END], vec![START, 5, END]])
}

fn real() -> Tensor<4> {
    Tensor::random([4, 3, 64, 64], burn::tensor::Distribution::Uniform(-1.0, 1.0), &Device::flex().autodiff())
}

fn names(list: &[&str], network: &Gxn) -> BTreeSet<String> {
    let all = collect(network);
    let fixed = ["running_mean", "running_variance"];
    let wanted = |name: &&String| {
        list.iter().any(|start| name.starts_with(start)) && !fixed.iter().any(|end| name.ends_with(end))
    };
    all.keys().filter(wanted).cloned().collect()
}

/// Spec §13.7.
#[test]
fn pictures_have_the_papers_size_and_range() {
    let network = network();
    let t_l = network.encode_text_grounded(&captions(), Phase::Evaluate).unwrap();
    let noise = Noise::of_batch(&config().imagine.pictures, 4, 1, &Device::flex());
    let pixels = network.image_generator.as_ref().unwrap().forward(t_l.clone(), noise, PHASE).pixels;
    assert_eq!(pixels.dims(), [4, 3, 64, 64]);
    let values: Vec<f32> = pixels.clone().into_data().iter().collect();
    assert!(values.iter().all(|x| (-1.0..=1.0).contains(x)) && values.iter().any(|x| x.abs() > 0.01));
    let (logits, _) = network.discriminator.as_ref().unwrap().forward(pixels, t_l, PHASE);
    assert_eq!(logits.dims(), [4]);
}

/// Spec §8.5: D's step reaches D; G's step reaches the generator, φ, P_t^l, RNN_Enc^l and W_e, and not D.
#[test]
fn each_step_reaches_its_own() {
    let network = network().train();
    let mut config = config().imagine.pictures;
    let proposal = |still| propose(&network, &captions(), &config, still, PHASE, 2);
    let (mut figures, gradients, saw) = discriminator_step(&network, real(), &proposal(false), &config, PHASE);
    assert_eq!(reached(&network, &gradients), names(&["discriminator."], &network));
    let layers: Vec<usize> = saw.maps.iter().map(Vec::len).collect();
    assert_eq!(
        (layers, saw.joints.len()),
        (vec![3, 3], 3),
        "real and generated pictures; right, wrong and generated pairs"
    );
    assert!(figures.discriminator > 0.0);

    let text_side = ["image_generator.", "sentence.grounded_gru.", "sentence.grounded_map.", "sentence.words"];
    let (gradients, judge, generator) = generator_step(&network, proposal(false), &config, PHASE, &mut figures);
    assert_eq!(reached(&network, &gradients), names(&text_side, &network));
    assert_eq!((judge.maps[0].len(), judge.joints.len(), generator.len()), (3, 1, 5));
    let (gradients, ..) = generator_step(&network, proposal(true), &config, PHASE, &mut figures);
    assert_eq!(reached(&network, &gradients), names(&["image_generator."], &network));

    // The way through D's question is closed unless it is asked for: it changes the gradient of t_l.
    let gradient = |config: &crate::config::PicturesConfig| {
        let proposal = propose(&network, &captions(), config, false, PHASE, 2);
        let (gradients, ..) = generator_step(&network, proposal, config, PHASE, &mut PictureFigures::default());
        gxn_ops::gradient::clip_global_norm(&network.sentence, gradients, f64::INFINITY).1
    };
    let closed = gradient(&config);
    config.through_discriminator = true;
    assert_ne!(closed, gradient(&config));
}

/// One look at the real pictures serves right and wrong sentences: Eq. 11 is the same as of three passes through the whole
/// network, or of two where right and wrong pairs are one batch.
#[test]
fn real_pictures_are_looked_at_once() {
    let network = network().train();
    let mut config = config().imagine.pictures;
    let proposal = propose(&network, &captions(), &config, true, PHASE, 2);
    let judge = network.discriminator.as_ref().unwrap();
    let t_l = proposal.t_l().detach();
    let wrong = Tensor::cat(vec![t_l.clone().narrow(0, 1, 3), t_l.clone().narrow(0, 0, 1)], 0);
    let real = real();
    let forward = |pixels, t_l| judge.forward(pixels, t_l, PHASE).0;
    let fake = forward(proposal.pixels().detach(), t_l.clone());
    let both =
        forward(Tensor::cat(vec![real.clone(), real.clone()], 0), Tensor::cat(vec![t_l.clone(), wrong.clone()], 0));
    let apart = [forward(real.clone(), t_l), forward(real.clone(), wrong)];
    let together = [both.clone().narrow(0, 0, 4), both.narrow(0, 4, 4)];
    for (pairs_together, [right, wrong]) in [(false, apart), (true, together)] {
        config.pairs_together = pairs_together;
        let expected = discriminator_loss(right, fake.clone(), wrong, &config).into_scalar::<f32>();
        let (figures, ..) = discriminator_step(&network, real.clone(), &proposal, &config, PHASE);
        assert!((figures.discriminator - f64::from(expected)).abs() < 1e-5, "{figures:?}, expected {expected}");
    }
}

/// Everything that a D step must leave as it is, bit by bit: other parameters and the other optimisers' memory.
#[test]
fn a_step_of_the_discriminator_leaves_everything_else_bit_equal() {
    let (run, mut network) = (config(), network().train());
    let pictures = &run.imagine.pictures;
    let mut optimisers = Optimisers::new(&run);
    // All optimisers have memory.
    let proposal = propose(&network, &captions(), pictures, false, PHASE, 2);
    let (gradients, ..) = generator_step(&network, proposal, pictures, PHASE, &mut PictureFigures::default());
    network = optimisers.generator.step(|_: &str| 1e-2, network, gradients);
    let rest = |network: &Gxn| -> Arrays {
        collect(network).into_iter().filter(|(name, _)| !name.starts_with("discriminator.")).collect()
    };
    let memory = |optimisers: &Optimisers| -> Vec<AdamState> {
        optimisers.state().into_iter().filter(|state| !state.path.starts_with("discriminator/")).collect()
    };
    let (before, memory_before) = (rest(&network), memory(&optimisers));
    let own_before = collect(&network.discriminator);
    let proposal = propose(&network, &captions(), pictures, false, PHASE, 3);
    let (_, gradients, saw) = discriminator_step(&network, real(), &proposal, pictures, PHASE);
    drop(proposal);
    network = optimisers.discriminator.step(|_: &str| 1e-2, network, gradients);
    if let Some(discriminator) = &mut network.discriminator {
        discriminator.absorb(&saw);
    }
    assert_eq!(rest(&network), before);
    assert_eq!(memory(&optimisers), memory_before);
    let own = collect(&network.discriminator);
    assert!(own.iter().all(|(name, array)| *array != own_before[name]), "every tensor of D moved");
}

/// Outside training the discriminator judges each pair by itself: whatever stands beside it, in whatever batch.
#[test]
fn a_pair_is_judged_by_itself() {
    let network = network();
    let sentences: Vec<Vec<u32>> = (0..70).map(|n| vec![START, 4 + n % 5, END]).collect();
    let sentences: Vec<&[u32]> = sentences.iter().map(Vec::as_slice).collect();
    let seeds: Vec<u64> = (0..70).collect();
    let pictures = network.generate_images(&sentences, &seeds, &config().imagine.pictures);
    let pictures: Vec<_> = pictures.iter().collect();
    let logits = network.discriminate(&pictures, &sentences);
    assert_eq!(logits.len(), 70);
    let alone = network.discriminate(&pictures[68..69], &sentences[68..69])[0];
    assert!((logits[68] - alone).abs() < 1e-5, "{} and {alone}", logits[68]);
    let swapped = network.discriminate(&pictures[68..69], &sentences[69..])[0];
    assert!((swapped - alone).abs() > 1e-6, "the sentence counts: {swapped} and {alone}");
}

/// Outside training a picture depends on its own sentence and noise alone, and follows the running statistics.
#[test]
fn outside_training_the_running_statistics_count() {
    let mut network = network();
    let config = config().imagine.pictures;
    let sentences: [&[u32]; 2] = [&[START, 4, END], &[START, 7, 8, END]];
    let both = network.generate_images(&sentences, &[1, 2], &config);
    let alone = network.generate_images(&sentences[1..], &[2], &config);
    assert!(root_mean_square(&both[1], &alone[0]) < 1e-5);
    assert_eq!(both, network.generate_images(&sentences, &[1, 2], &config));
    assert!(root_mean_square(&both[0], &both[1]) > 0.0);

    let t_l = network.encode_text_grounded(&captions(), Phase::Evaluate).unwrap();
    let generator = network.image_generator.as_ref().unwrap();
    let seen = generator.forward(t_l, Noise::of_batch(&config, 4, 1, &Device::flex()), PHASE).seen;
    network.image_generator.as_mut().unwrap().absorb(&seen);
    let moved = network.generate_images(&sentences, &[1, 2], &config);
    assert!(root_mean_square(&both[0], &moved[0]) > 0.0);
}
