//! Each update: which parameters its loss reaches, and what it leaves bit by bit as it was.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::caption::{
    BASELINE, CROSS_ENTROPY, CaptionBatch, REWARD, REWARD_SECONDS, Reinforcement, caption_loss, reward_reference,
};
use super::discriminator::{self, discriminator_loss};
use super::features::SharedFeatures;
use super::generator::{self, generate_fakes, generator_loss};
use super::{Step, caption};
use crate::checkpoint::weights::{Arrays, collect};
use crate::config::{ImageConfig, Injection, RunConfig, Stage, Update};
use crate::imagine::adversarial_loss;
use crate::look::{Init, Phase, TokenBatch};
use crate::model::{Generators, Gxn};
use crate::train::fixture::{tiny_batch, tiny_config, tiny_trainer, trainer_of};
use crate::train::sampler::Batch;
use crate::train::trainer::Trainer;
use gxn_data::{END, START, UNKNOWN};
use gxn_eval::metrics::CiderReward;
use gxn_ops::adam::AdamState;

const PHASE: Phase = Phase::Train { seed: 4 };

fn small_config() -> RunConfig {
    let mut config = RunConfig::default();
    (config.look.embed_dim, config.look.sentence.hidden, config.look.sentence.word_dim) = (6, 5, 4);
    config
}

/// A network whose decoder can generate six tokens; its weights are large, so that captions differ.
fn captioning_network(injection: Injection) -> Gxn {
    struct Larger;
    impl burn::module::ModuleMapper for Larger {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value * 3.0)
        }
    }
    let mut config = small_config();
    (config.imagine.caption.hidden, config.imagine.caption.injection) = (7, injection);
    let generators = Generators { words: Some(6), images: false };
    let mut network = Gxn::new(&Init::new(3, &Device::flex()), &config, 9, None, None, generators);
    network.caption_decoder = network.caption_decoder.map(|decoder| decoder.map(&mut Larger));
    network.sentence = network.sentence.map(&mut Larger);
    network
}

fn gan_config() -> RunConfig {
    let mut config = small_config();
    let image = &mut config.imagine.image;
    (image.generator_width, image.discriminator_width) = (2, 2);
    (image.condition_dim, image.noise_dim) = (3, 5);
    config
}

fn gan_network() -> Gxn {
    let generators = Generators { words: None, images: true };
    Gxn::new(&Init::new(7, &Device::flex()), &gan_config(), 9, None, None, generators)
}

fn captions() -> TokenBatch {
    TokenBatch::new(&[vec![START, 4, 5, END], vec![START, 6, END], vec![START, 8, 7, 5, END], vec![START, 5, END]])
}

fn names(list: &[&str], network: &Gxn) -> BTreeSet<String> {
    let all = collect(network);
    let fixed = ["running_mean", "running_variance"];
    let wanted = |name: &&String| {
        list.iter().any(|start| name.starts_with(start)) && !fixed.iter().any(|end| name.ends_with(end))
    };
    all.keys().filter(wanted).cloned().collect()
}
fn real() -> Tensor<4> {
    Tensor::random([4, 3, 64, 64], burn::tensor::Distribution::Uniform(-1.0, 1.0), &Device::flex().autodiff())
}

/// Names of the parameters that have a gradient other than zero.
fn reached(network: &Gxn, gradients: &GradientsParams) -> BTreeSet<String> {
    struct Names<'a> {
        gradients: &'a GradientsParams,
        path: Vec<String>,
        found: BTreeSet<String>,
    }
    impl ModuleVisitor for Names<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
            if gradient.into_data().iter::<f32>().any(|x| x != 0.0) {
                self.found.insert(self.path.join("."));
            }
        }
    }
    let mut names = Names { gradients, path: Vec::new(), found: BTreeSet::new() };
    network.visit(&mut names);
    names.found
}

fn caption_batch() -> CaptionBatch {
    let width = RunConfig::default().look.backbone.feature_dim();
    let values: Vec<f32> = (0..3 * width).map(|at| ((at * 7919) % 101) as f32 / 50.0).collect();
    CaptionBatch {
        features: Tensor::from_data(TensorData::new(values, [3, width]), &Device::flex().autodiff()),
        captions: vec![vec![START, 4, 5, END], vec![START, 6, END], vec![START, 4, 7, 5, END]],
        rows: vec![0, 1, 2],
    }
}

/// Spec §7.4: the loss moves RNN_Dec, P_v^l and W_e, and nothing else; the reward's part alone does so too.
#[test]
fn the_gradient_of_a_caption_reaches_its_path_and_nothing_else() {
    for injection in [Injection::Input, Injection::InitialState] {
        let network = captioning_network(injection).train();
        let references: Vec<Vec<Vec<u32>>> =
            caption_batch().captions.iter().map(|tokens| vec![reward_reference(tokens)]).collect();
        let reward = CiderReward::new(&references);
        let reinforcement = || Reinforcement { gamma: 1.0, reward: &reward, references: vec![0, 1, 2], max_words: 5 };
        for reinforcement in [None, Some(reinforcement())] {
            let rewarded = reinforcement.is_some();
            let found = caption_loss(&network, caption_batch(), 0.2, reinforcement, Phase::Train { seed: 8 });
            let metrics = &found.metrics;
            assert!(!rewarded || metrics.get(REWARD) != metrics.get(BASELINE), "no advantage, no test: {metrics:?}");
            let found = reached(&network, &found.gradients);
            let expected = [
                "caption_decoder.condition_map.bias",
                "caption_decoder.condition_map.weight",
                "caption_decoder.gru.b_hh",
                "caption_decoder.gru.b_ih",
                "caption_decoder.gru.w_hh",
                "caption_decoder.gru.w_ih",
                "caption_decoder.output_bias",
                "caption_decoder.output_weight",
                "image.grounded_map.bias",
                "image.grounded_map.weight",
                "sentence.words",
            ];
            assert_eq!(found, expected.map(String::from).into(), "{injection:?}, rewarded: {rewarded}");
        }
    }
}

/// The reward is CIDEr-D with the end as a token, and the unknown word is never rewarded.
#[test]
fn the_reward_equals_the_metric() {
    let references: Vec<Vec<Vec<u32>>> =
        vec![vec![vec![4, 5, END], vec![4, END]], vec![vec![6, 7, 5, END]], vec![vec![8, 4, 5, END]]];
    let reward = CiderReward::new(&references);
    let candidates = vec![vec![4, 5, END], vec![6, UNKNOWN, 5, END]];
    let found = reward.rewards(&candidates, &[0, 1]);
    let frequencies = gxn_eval::metrics::DocumentFrequencies::new(&references);
    let expected = gxn_eval::metrics::cider_d(&candidates, &references[..2], &frequencies);
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
}

/// Spec §8.5: D's loss reaches D; G's loss reaches the generator, φ, P_t^l, RNN_Enc^l and W_e, and not D.
#[test]
fn the_losses_of_a_gan_reach_their_own() {
    let network = gan_network().train();
    let mut config = gan_config().imagine.image;
    let fakes = |freeze| generate_fakes(&network, &captions(), &config, freeze, PHASE, 2);
    let (found, stats) = discriminator_loss(&network, real(), &fakes(false), &config, PHASE);
    assert_eq!(reached(&network, &found.gradients), names(&["discriminator."], &network));
    let layers: Vec<usize> = stats.maps.iter().map(Vec::len).collect();
    assert_eq!(
        (layers, stats.joints.len()),
        (vec![3, 3], 3),
        "real and generated images; right, wrong and generated pairs"
    );
    assert!(found.loss > 0.0);

    let text_side = ["image_generator.", "sentence.grounded_gru.", "sentence.grounded_map.", "sentence.words"];
    let (found, (discriminator, generator)) = generator_loss(&network, fakes(false), &config, PHASE);
    assert_eq!(reached(&network, &found.gradients), names(&text_side, &network));
    assert_eq!((discriminator.maps[0].len(), discriminator.joints.len(), generator.len()), (3, 1, 5));
    let (found, _) = generator_loss(&network, fakes(true), &config, PHASE);
    assert_eq!(reached(&network, &found.gradients), names(&["image_generator."], &network));

    // The way through D's condition is closed unless the configuration opens it: it changes the gradient of t_l.
    let gradient = |config: &ImageConfig| {
        let fakes = generate_fakes(&network, &captions(), config, false, PHASE, 2);
        let (found, _) = generator_loss(&network, fakes, config, PHASE);
        gxn_ops::gradient::clip_global_norm(&network.sentence, found.gradients, f64::INFINITY).1
    };
    let closed = gradient(&config);
    config.through_discriminator = true;
    assert_ne!(closed, gradient(&config));
}
/// One pass over the real images serves right and wrong sentences: Eq. 11 is the same as of three passes through the whole
/// network, or of two where right and wrong pairs are one batch.
#[test]
fn real_images_pass_once() {
    let network = gan_network().train();
    let mut config = gan_config().imagine.image;
    let fakes = generate_fakes(&network, &captions(), &config, true, PHASE, 2);
    let judge = network.discriminator.as_ref().unwrap();
    let t_l = fakes.t_l().detach();
    let wrong = Tensor::cat(vec![t_l.clone().narrow(0, 1, 3), t_l.clone().narrow(0, 0, 1)], 0);
    let real = real();
    let forward = |pixels, t_l| judge.forward(pixels, t_l, PHASE).0;
    let fake = forward(fakes.pixels().detach(), t_l.clone());
    let both =
        forward(Tensor::cat(vec![real.clone(), real.clone()], 0), Tensor::cat(vec![t_l.clone(), wrong.clone()], 0));
    let apart = [forward(real.clone(), t_l), forward(real.clone(), wrong)];
    let together = [both.clone().narrow(0, 0, 4), both.narrow(0, 4, 4)];
    for (pairs_together, [right, wrong]) in [(false, apart), (true, together)] {
        config.pairs_together = pairs_together;
        let expected = adversarial_loss::discriminator_loss(right, fake.clone(), wrong, &config).into_scalar::<f32>();
        let (found, _) = discriminator_loss(&network, real.clone(), &fakes, &config, PHASE);
        assert!((found.loss - f64::from(expected)).abs() < 1e-5, "{}, expected {expected}", found.loss);
    }
}

/// All updates in one stage: captions, images and Match.
fn whole_trainer(folder: &std::path::Path) -> Trainer {
    tiny_trainer(folder, Stage::I2tT2i)
}

fn first_step(batch: &Batch) -> Step<'_> {
    Step::new(batch, 11, 1e-2)
}

/// Parameters and the memory of the optimisers.
fn state_of(trainer: &Trainer) -> (Arrays, Vec<AdamState>) {
    (collect(&*trainer.model), trainer.optimisers.state())
}

/// The parameters that differ, without running statistics, which are no parameters (spec §9.3).
fn moved(before: &Arrays, after: &Arrays) -> BTreeSet<String> {
    let differs = |name: &&String| before[*name] != after[*name] && !name.contains("running_");
    after.keys().filter(differs).cloned().collect()
}

/// The memory of all optimisers but one.
fn memory_beside(states: &[AdamState], prefix: &str) -> Vec<AdamState> {
    states.iter().filter(|state| !state.path.starts_with(prefix)).cloned().collect()
}

#[test]
fn an_update_of_the_discriminator_leaves_everything_else_bit_equal() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = whole_trainer(folder.path());
    // All optimisers have memory.
    trainer.step(&tiny_batch(1), 4).unwrap();
    let (weights, memory) = state_of(&trainer);
    let batch = tiny_batch(1);
    let mut step = first_step(&batch);
    trainer.update_discriminator(&mut step).unwrap();
    let (after, memory_after) = state_of(&trainer);
    assert_eq!(moved(&weights, &after), names(&["discriminator."], &trainer.model));
    assert_eq!(memory_beside(&memory, "discriminator/"), memory_beside(&memory_after, "discriminator/"));
    assert_ne!(memory, memory_after);
    assert!(step.fakes.is_some(), "the generator follows the same images");
}

#[test]
fn an_update_of_the_generator_moves_the_grounded_text_encoder_and_not_the_discriminator() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = whole_trainer(folder.path());
    let batch = tiny_batch(1);
    let mut step = first_step(&batch);
    trainer.update_discriminator(&mut step).unwrap();
    let (weights, memory) = state_of(&trainer);
    trainer.update_generator(&mut step).unwrap();
    let (after, memory_after) = state_of(&trainer);
    let text_side = ["image_generator.", "sentence.grounded_gru.", "sentence.grounded_map.", "sentence.words"];
    assert_eq!(moved(&weights, &after), names(&text_side, &trainer.model));
    assert_eq!(memory_beside(&memory, "generator/"), memory_beside(&memory_after, "generator/"));
    assert!(step.metrics.get(generator::LOSS) == Some(step.reported.0) && step.fakes.is_none());
}

#[test]
fn a_generator_that_learns_alone_moves_nothing_but_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = tiny_trainer(folder.path(), Stage::T2iPretrain);
    let (weights, _) = state_of(&trainer);
    let report = trainer.step(&tiny_batch(1), 4).unwrap();
    let (after, _) = state_of(&trainer);
    assert_eq!(moved(&weights, &after), names(&["image_generator.", "discriminator."], &trainer.model));
    // The step is reported by the generator's loss.
    assert_eq!((Some(report.loss), report.grad_norm), (report.metrics.get(generator::LOSS), 0.0));
    assert_eq!(trainer.position.match_steps, 0);
}

#[test]
fn an_update_of_captions_leaves_the_text_encoders_and_the_other_memories() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = whole_trainer(folder.path());
    trainer.step(&tiny_batch(1), 4).unwrap();
    let (weights, memory) = state_of(&trainer);
    trainer.update_caption(&mut first_step(&tiny_batch(1))).unwrap();
    let (after, memory_after) = state_of(&trainer);
    let own = ["caption_decoder.", "image.grounded_map.", "sentence.words"];
    assert_eq!(moved(&weights, &after), names(&own, &trainer.model));
    assert_eq!(memory_beside(&memory, "caption/"), memory_beside(&memory_after, "caption/"));
}

#[test]
fn match_moves_both_encoders_and_no_generator() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = whole_trainer(folder.path());
    let (weights, _) = state_of(&trainer);
    let batch = tiny_batch(1);
    let mut step = first_step(&batch);
    trainer.update_match(&mut step).unwrap();
    let (after, memory) = state_of(&trainer);
    let moved = moved(&weights, &after);
    for part in
        ["image.abstract_map.", "image.grounded_map.", "sentence.abstract_", "sentence.grounded_", "sentence.words"]
    {
        assert!(moved.iter().any(|name| name.starts_with(part)), "{part} of {moved:?}");
    }
    assert!(
        !moved
            .iter()
            .any(|name| ["caption_decoder.", "image_generator.", "discriminator."].iter().any(|g| name.starts_with(g)))
    );
    assert!(memory.iter().all(|state| !state.path.contains('/')), "no other optimiser");
    assert!(step.reported.0 > 0.0 && step.reported.1 > 0.0);
}

/// Algorithm 1: the whole batch is its updates one after the other, and each of them reports by name.
#[test]
fn a_batch_of_the_last_stage_is_its_five_updates() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = whole_trainer(folder.path());
    let report = whole.step(&tiny_batch(1), 4).unwrap();
    let names: Vec<&str> = report.metrics.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            caption::LOSS,
            CROSS_ENTROPY,
            REWARD,
            BASELINE,
            REWARD_SECONDS,
            discriminator::LOSS,
            discriminator::REAL_RIGHT,
            discriminator::FAKE_RIGHT,
            discriminator::WRONG_RIGHT,
            generator::LOSS,
            generator::DIVERGENCE,
        ]
    );
    assert_eq!((whole.position.match_steps, whole.position.step, whole.position.batch), (2, 1, 1));
    assert_eq!(whole.position.sums, report.metrics.without_times());

    let mut parts = whole_trainer(folder.path());
    let seed = crate::seed::mix(crate::seed::mix(parts.config.train.seed, 0x57e9), 0);
    let batch = tiny_batch(1);
    let mut step = Step { seed, ..first_step(&batch) };
    parts.update_caption(&mut step).unwrap();
    parts.update_match(&mut step).unwrap();
    parts.update_discriminator(&mut step).unwrap();
    parts.update_generator(&mut step).unwrap();
    parts.update_match(&mut step).unwrap();
    assert_eq!((report.loss, report.grad_norm), step.reported);
    assert_eq!(state_of(&whole), state_of(&parts));
}

/// Two captions of each image: Match has eight pairs, captions are generated for eight, and the discriminator sees each image
/// once.
#[test]
fn a_step_takes_several_captions_of_an_image_through_all_updates() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = whole_trainer(folder.path());
    let batch = tiny_batch(2);
    assert_eq!(batch.first_captions(), tiny_batch(1).captions);
    let mut step = first_step(&batch);
    trainer.update_discriminator(&mut step).unwrap();
    assert_eq!(step.fakes.as_ref().unwrap().t_l().dims()[0], 4);
    let report = trainer.step(&batch, 4).unwrap();
    assert!(report.metrics.get(caption::LOSS).unwrap() > 0.0 && report.loss.is_finite());
    // A caption is generated from its own image.
    let wrong = Batch { images: vec![3, 2, 1, 0], ..batch.clone() };
    let loss_of =
        |batch: &Batch| whole_trainer(folder.path()).step(batch, 4).unwrap().metrics.get(CROSS_ENTROPY).unwrap();
    assert_ne!(loss_of(&batch), loss_of(&wrong));
}

/// Rate 0.1, a CNN's share 0.5, each group below half of the one above: the small CNN has five groups of one block.
#[test]
fn the_groups_of_a_cnn_learn_the_slower_the_lower_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::Match);
    (config.look.finetune, config.look.finetune_rate, config.look.finetune_decay) = (true, 0.5, 0.5);
    let trainer = trainer_of(config, folder.path());
    let rates = trainer.rates("", 0.1, 0.1);
    let paths: Vec<String> =
        collect(&*trainer.model).into_keys().filter(|path| path.starts_with("backbone.")).collect();
    assert_eq!(paths.len(), 5 * 3);
    for path in paths {
        let block: i32 = path.split('.').nth(2).unwrap().parse().unwrap();
        let expected = 0.05 * 0.5f64.powi(4 - block);
        assert!((rates(&path) - expected).abs() < 1e-12, "{path}: {}", rates(&path));
    }
    assert_eq!(rates("sentence.words"), 0.1);
}

/// A trained CNN whose features all updates share, in a stage of captions. Nothing is clipped.
fn sharing_config(folder: &std::path::Path, encode_once: bool) -> RunConfig {
    let mut config = tiny_config(folder, Stage::I2tXe);
    (config.look.finetune, config.look.encode_once, config.train.grad_clip) = (true, encode_once, 0.0);
    config
}

/// With one update the way over the shared features is the direct one: the chain rule.
#[test]
fn a_step_by_shared_features_is_that_of_the_whole_graph() {
    let folder = tempfile::tempdir().unwrap();
    let batch = tiny_batch(2);
    let after_match_alone = |shares: bool| {
        let mut trainer = trainer_of(sharing_config(folder.path(), false), folder.path());
        let (before, _) = state_of(&trainer);
        let mut step = first_step(&batch);
        if shares {
            step.shared = Some(SharedFeatures::new(trainer.features(&mut first_step(&batch), step.seed).unwrap()));
        }
        trainer.update_match(&mut step).unwrap();
        trainer.update_backbone(&mut step).unwrap();
        let (after, _) = state_of(&trainer);
        assert!(moved(&before, &after).iter().any(|name| name.starts_with("backbone.")));
        after
    };
    let differing = moved(&after_match_alone(true), &after_match_alone(false));
    assert!(differing.is_empty(), "{differing:?}");
}

/// What the losses send back to the features adds up, each clipped as the rest of its gradient; the weight of the caption loss counts.
#[test]
fn the_cnn_follows_the_sum_of_all_losses() {
    let folder = tempfile::tempdir().unwrap();
    let batch = tiny_batch(2);
    // Of the caption loss, of Match, and of both; the norm of Match's gradient.
    let gradients = |shared_rate: f64, grad_clip: f64| {
        let mut config = sharing_config(folder.path(), true);
        (config.imagine.caption.shared_rate, config.train.grad_clip) = (shared_rate, grad_clip);
        let both = |takes_caption: bool| {
            let mut trainer = trainer_of(config.clone(), folder.path());
            let mut step = first_step(&batch);
            trainer.update_caption(&mut step).unwrap();
            let caption = takes_caption.then(|| step.shared.as_mut().unwrap().take_gradient().unwrap());
            trainer.update_match(&mut step).unwrap();
            let (before, _) = state_of(&trainer);
            if !takes_caption {
                let gradient = step.shared.as_ref().unwrap().clone().take_gradient().unwrap();
                trainer.update_backbone(&mut step).unwrap();
                assert_eq!(moved(&before, &state_of(&trainer).0), names(&["backbone."], &trainer.model));
                return (None, gradient, step.reported.1);
            }
            (caption, step.shared.as_mut().unwrap().take_gradient().unwrap(), step.reported.1)
        };
        let (caption, matching, norm) = both(true);
        (caption.unwrap(), matching, both(false).1, norm)
    };
    let close = |a: &[f32], b: &[f32], factor: f64| {
        let largest = b.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        assert!(largest > 0.0);
        let far =
            |(a, b): (&f32, &f32)| (f64::from(*a) - factor * f64::from(*b)).abs() > 1e-3 * factor * f64::from(largest);
        assert!(!a.iter().zip(b).any(far), "{a:?}\n{factor} times {b:?}");
    };
    let (caption, matching, sum, norm) = gradients(1.0, 0.0);
    close(&sum, &caption.iter().zip(&matching).map(|(a, b)| a + b).collect::<Vec<_>>(), 1.0);
    close(&gradients(2.0, 0.0).0, &caption, 2.0);
    let limit = norm / 4.0;
    let (_, clipped, _, norm) = gradients(1.0, limit);
    assert!(norm > limit);
    close(&clipped, &matching, limit / norm);
}

/// Epochs of Match alone at the beginning take the batches and seeds of a run of stage `match`.
#[test]
fn the_first_epochs_of_a_merge_are_match_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::I2tT2i);
    config.train.match_epochs = 1;
    let mut merging = trainer_of(config, folder.path());
    assert_eq!(merging.updates(), [Update::Match]);
    let report = merging.step(&tiny_batch(1), 4).unwrap();
    assert!(report.metrics.is_empty());
    let mut control = tiny_trainer(folder.path(), Stage::Match);
    let expected = control.step(&tiny_batch(1), 4).unwrap();
    assert_eq!((report.loss, report.grad_norm), (expected.loss, expected.grad_norm));
    merging.position.epoch = 1;
    assert_eq!(merging.updates(), Stage::I2tT2i.updates());
}

#[test]
fn a_loss_that_is_not_finite_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_config(folder.path(), Stage::Match);
    config.matching.margin = 1e39; // more than the largest f32
    let mut trainer = trainer_of(config, folder.path());
    let (weights, _) = state_of(&trainer);
    let error = trainer.step(&tiny_batch(1), 4).unwrap_err();
    assert!(error.to_string().contains("the loss of step 1"), "{error}");
    assert_eq!(moved(&weights, &state_of(&trainer).0), BTreeSet::new());
}
