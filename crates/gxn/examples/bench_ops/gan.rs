//! A training step of the discriminator, then of the generator, from ready t_l; `benches/peers_gan.py` has the same.

use burn::module::Module;
use burn::tensor::{Distribution, Tensor};
use gxn::config::RunConfig;
use gxn::config::Update;
use gxn::look::{Init, Phase};
use gxn::model::{Generators, Gxn};
use gxn::train::algorithm::discriminator::discriminator_loss;
use gxn::train::algorithm::generator::{FakeBatch, generator_loss};
use gxn::train::optimisers::Optimisers;

const BATCH: usize = 64;
const RATE: f64 = 2e-4;

/// Images generated, Eq. 11 on them, the real ones and mismatches, then Eq. 12: by the functions that train.
pub fn step(generator_width: usize, discriminator_width: usize, repetitions: usize) -> Vec<[f64; 2]> {
    let mut run = RunConfig::default();
    run.imagine.image.beta1 = 0.5;
    (run.imagine.image.generator_width, run.imagine.image.discriminator_width) = (generator_width, discriminator_width);
    let config = &run.imagine.image;
    let device = crate::device();
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
        let fakes = FakeBatch::of(&network, t_l.clone(), config, phase, seed);
        let (d, stats) = discriminator_loss(&network, real.clone(), &fakes, config, phase);
        let mut network = optimisers.of(Update::Discriminator).step(|_: &str| RATE, network, d.gradients);
        network.discriminator.as_mut().expect("asked for").update_running_stats(&stats);

        let (g, (d_stats, g_stats)) = generator_loss(&network, fakes, config, phase);
        let mut network = optimisers.of(Update::Generator).step(|_: &str| RATE, network, g.gradients);
        network.discriminator.as_mut().expect("asked for").update_running_stats(&d_stats);
        network.image_generator.as_mut().expect("asked for").update_running_stats(&g_stats);
        model = Some(network);
        assert!(g.loss.is_finite() && d.loss.is_finite());
    })
}
