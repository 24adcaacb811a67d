//! A training step of the discriminator, then of the generator, from ready t_l; `benches/peers_gan.py` has the same.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use gxn::config::RunConfig;
use gxn::look::{Init, Phase};
use gxn::model::{Generators, Gxn};
use gxn::train::optimisers::Optimisers;
use gxn::train::picture_steps::{Proposal, discriminator_step, generator_step};

const BATCH: usize = 64;
const RATE: f64 = 2e-4;

/// Pictures imagined, Eq. 11 on them, the real ones and mismatches, then Eq. 12: by the functions that train.
pub fn step(generator_width: usize, discriminator_width: usize, repetitions: usize) -> Vec<[f64; 2]> {
    let mut run = RunConfig::default();
    run.imagine.pictures.beta1 = 0.5;
    (run.imagine.pictures.generator_width, run.imagine.pictures.discriminator_width) =
        (generator_width, discriminator_width);
    let config = &run.imagine.pictures;
    let device = Device::flex();
    let generators = Generators { words: None, images: true };
    let mut model = Some(Gxn::new(&Init::new(1, &device), &run, 2, None, None, generators).train());
    let mut optimisers = Optimisers::new(&run);
    let device = device.autodiff();
    let real = Tensor::<4>::random([BATCH, 3, 64, 64], Distribution::Uniform(-1.0, 1.0), &device);
    let spread = 1.0 / (run.look.embed_dim as f64).sqrt();
    let t_l = Tensor::<2>::random([BATCH, run.look.embed_dim], Distribution::Normal(0.0, spread), &device);
    let mut seed = 0;
    crate::time(repetitions, || {
        seed += 1;
        let phase = Phase::Train { seed };
        let network = model.take().expect("set between steps");
        let proposal = Proposal::of(&network, t_l.clone(), config, phase, seed);
        let (mut figures, gradients, saw) = discriminator_step(&network, real.clone(), &proposal, config, phase);
        let mut network = optimisers.discriminator.step(|_: &str| RATE, network, gradients);
        network.discriminator.as_mut().expect("asked for").absorb(&saw);

        let (gradients, judge_saw, saw) = generator_step(&network, proposal, config, phase, &mut figures);
        let mut network = optimisers.generator.step(|_: &str| RATE, network, gradients);
        network.discriminator.as_mut().expect("asked for").absorb(&judge_saw);
        network.image_generator.as_mut().expect("asked for").absorb(&saw);
        model = Some(network);
        assert!(figures.generator.is_finite() && figures.discriminator.is_finite());
    })
}
