//! The decoder as a whole: generating and reading agree, the searches find what they promise.

use std::collections::BTreeSet;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::beam::beam_search;
use super::decoding::{Choice, Generated, decode};
use super::device_decoding::decode_on_device;
use super::scheduled_sampling::scheduled_inputs;
use crate::config::{Injection, RunConfig};
use crate::look::{Init, Phase, TokenBatch};
use crate::model::{Generators, Gxn};
use gxn_data::{END, START, UNKNOWN};

const VOCABULARY: usize = 9;
const MAX_WORDS: usize = 6;

fn config(injection: Injection) -> RunConfig {
    let mut config = RunConfig::default();
    (config.look.embed_dim, config.look.sentence.hidden, config.look.sentence.word_dim) = (6, 5, 4);
    (config.imagine.caption.hidden, config.imagine.caption.injection) = (7, injection);
    config
}

/// A network whose decoder can generate `outputs` tokens; its weights are large, so that captions differ.
fn network(injection: Injection, outputs: usize, seed: u64) -> Gxn {
    struct Larger;
    impl burn::module::ModuleMapper for Larger {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value * 3.0)
        }
    }
    let init = Init::new(seed, &Device::flex());
    let mut network =
        Gxn::new(&init, &config(injection), VOCABULARY, None, None, Generators { words: Some(outputs), images: false });
    network.caption_decoder = network.caption_decoder.map(|decoder| decoder.map(&mut Larger));
    network.sentence = network.sentence.map(&mut Larger);
    network
}

fn features(count: usize) -> Tensor<2> {
    let width = RunConfig::default().look.backbone.feature_dim();
    let values: Vec<f32> = (0..count * width).map(|at| ((at * 7919) % 101) as f32 / 50.0).collect();
    Tensor::from_data(TensorData::new(values, [count, width]), &Device::flex())
}

fn v_l(network: &Gxn, count: usize) -> Tensor<2> {
    network.encode_image_grounded(features(count), Phase::Evaluate).unwrap()
}

fn generate(network: &Gxn, count: usize, choice: Choice, phase: Phase) -> Vec<Generated> {
    let decoder = network.caption_decoder.as_ref().unwrap();
    decode(decoder, &network.sentence, v_l(network, count), MAX_WORDS, choice, phase)
}

/// ln p of captions read as a whole.
fn read(network: &Gxn, captions: &[Generated], phase: Phase) -> Vec<f64> {
    let decoder = network.caption_decoder.as_ref().unwrap();
    let inputs: Vec<Vec<u32>> =
        (captions.iter()).map(|caption| [&[START], &caption.tokens[..caption.tokens.len() - 1]].concat()).collect();
    let batch = TokenBatch::new(&inputs);
    let targets = captions.iter().flat_map(|c| c.tokens.iter().map(|&token| decoder.output_of(token))).collect();
    let words = network.sentence.word_vectors(&batch);
    let found = decoder.log_probabilities(v_l(network, captions.len()), words, batch.lengths(), targets, phase);
    let found: Vec<f32> = found.into_data().iter().collect();
    let mut rest = found.as_slice();
    (captions.iter())
        .map(|caption| {
            let (own, after) = rest.split_at(caption.tokens.len());
            rest = after;
            own.iter().map(|&x| f64::from(x)).sum()
        })
        .collect()
}

/// Dropout included: the reward's gradient is that of the captions that were drawn.
#[test]
fn a_caption_generated_word_by_word_has_the_probability_that_reading_it_gives() {
    for injection in [Injection::Input, Injection::InitialState] {
        let network = network(injection, 6, 1);
        for phase in [Phase::Evaluate, Phase::Train { seed: 5 }] {
            let captions = generate(&network, 5, Choice::Draw { seed: 3 }, phase);
            let lengths: BTreeSet<usize> = captions.iter().map(|caption| caption.tokens.len()).collect();
            assert!(lengths.len() > 1, "captions of one length test no padding: {captions:?}");
            for (caption, read) in captions.iter().zip(read(&network, &captions, phase)) {
                assert!((caption.log_probability - read).abs() < 1e-4, "{injection:?} {phase:?}: {caption:?} {read}");
            }
        }
    }
}

/// The device that chooses the words chooses those of the host; the CPU stands for one here.
#[test]
fn words_chosen_on_a_device_are_those_of_the_host() {
    for (outputs, seed) in [(6, 1), (7, 2), (2, 3)] {
        let network = network(Injection::Input, outputs, seed);
        let decoder = network.caption_decoder.as_ref().unwrap();
        for (choice, phase) in [
            (Choice::Greedy, Phase::Evaluate),
            (Choice::Draw { seed: 3 }, Phase::Evaluate),
            (Choice::Draw { seed: 4 }, Phase::Train { seed: 5 }),
        ] {
            for max_words in [0, 1, MAX_WORDS, 3 * MAX_WORDS] {
                let v_l = || v_l(&network, 9);
                let expected = decode(decoder, &network.sentence, v_l(), max_words, choice, phase);
                let found = decode_on_device(decoder, &network.sentence, v_l(), max_words, choice, phase);
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!((&found.tokens, found.unknown), (&expected.tokens, expected.unknown), "{choice:?}");
                    assert!((found.log_probability - expected.log_probability).abs() < 1e-4, "{choice:?}");
                }
                assert_eq!(found.len(), expected.len());
            }
        }
    }
}

#[test]
fn draws_repeat_with_their_seed_and_the_greedy_caption_never_has_the_unknown_word() {
    let network = network(Injection::Input, 7, 2);
    let drawn = |seed| generate(&network, 8, Choice::Draw { seed }, Phase::Evaluate);
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let greedy = generate(&network, 8, Choice::Greedy, Phase::Evaluate);
    assert!(greedy.iter().all(|caption| !caption.tokens.contains(&UNKNOWN) && caption.words() <= MAX_WORDS));
}

#[test]
fn a_beam_of_one_is_greedy_and_a_wider_one_is_likelier() {
    let (mut greedy_sum, mut beam_sum) = (0.0, 0.0);
    for seed in 0..6 {
        let network = network(Injection::Input, 7, seed);
        let decoder = network.caption_decoder.as_ref().unwrap();
        let greedy = generate(&network, 4, Choice::Greedy, Phase::Evaluate);
        let search = |width| beam_search(decoder, &network.sentence, v_l(&network, 4), MAX_WORDS, width);
        for (beam, greedy) in search(1).iter().zip(&greedy) {
            assert_eq!(beam.len(), 1);
            assert_eq!(beam[0].tokens, greedy.tokens);
            assert!((beam[0].log_probability - greedy.log_probability).abs() < 1e-5);
        }
        for (beam, greedy) in search(4).iter().zip(&greedy) {
            assert!(beam.is_sorted_by(|a, b| a.log_probability >= b.log_probability));
            greedy_sum += greedy.log_probability;
            beam_sum += beam[0].log_probability;
        }
    }
    assert!(beam_sum > greedy_sum, "{beam_sum} {greedy_sum}");
}

/// With two words at most a beam as wide as the vocabulary leaves nothing out.
#[test]
fn a_beam_as_wide_as_the_vocabulary_finds_the_likeliest_caption() {
    let outputs = 6;
    for seed in 0..4 {
        let network = network(Injection::InitialState, outputs, seed);
        let decoder = network.caption_decoder.as_ref().unwrap();
        let beams = beam_search(decoder, &network.sentence, v_l(&network, 3), 2, outputs);
        let words: Vec<u32> = (0..outputs as u32).map(|o| o + 2).filter(|&token| token != UNKNOWN).collect();
        let all: Vec<Vec<u32>> = std::iter::once(vec![END])
            .chain(words.iter().filter(|&&w| w != END).flat_map(|&a| words.iter().map(move |&b| vec![a, b])))
            .collect();
        for (row, beam) in beams.iter().enumerate() {
            let alone = |tokens: &Vec<u32>| {
                // ln p among the words that can be generated, one word at a time.
                let state = decoder.first_state(v_l(&network, 3)).slice([row..row + 1, 0..7]);
                let (mut state, mut last, mut sum) = (state, START, 0.0);
                for (step, &token) in tokens.iter().enumerate() {
                    state = decoder.advance(super::decoding::word_rows(&network.sentence, &[last]), Some(state));
                    let logits = decoder.logits(state.clone(), step, Phase::Evaluate);
                    let logits: Vec<f32> = logits.into_data().iter().collect();
                    let p = |output: usize| f64::from(logits[output]).exp();
                    let total: f64 = (0..outputs).filter(|&o| o != decoder.output_of(UNKNOWN)).map(p).sum();
                    sum += (p(decoder.output_of(token)) / total).ln();
                    last = token;
                }
                sum
            };
            let best = all.iter().map(alone).fold(f64::NEG_INFINITY, f64::max);
            assert!((beam[0].log_probability - best).abs() < 1e-5, "{} {best}", beam[0].log_probability);
        }
    }
}

#[test]
fn scheduled_sampling_replaces_its_share_and_never_the_start() {
    let network = network(Injection::Input, 7, 1);
    let decoder = network.caption_decoder.as_ref().unwrap();
    let inputs: Vec<Vec<u32>> = (0..200).map(|n| [vec![START], vec![8; 1 + n % 5]].concat()).collect();
    let replaced = |share| {
        let phase = Phase::Train { seed: 9 };
        scheduled_inputs(decoder, &network.sentence, v_l(&network, 200), inputs.clone(), share, phase)
    };
    assert_eq!(replaced(0.0), inputs);
    let found = replaced(0.25);
    assert_eq!(found, replaced(0.25));
    assert!(found.iter().all(|words| words[0] == START));
    assert!(found.iter().zip(&inputs).all(|(a, b)| a.len() == b.len()));
    // Of 600 words a quarter, less the draws that hit the same word; four standard deviations are 42.
    let changed = found.iter().flatten().zip(inputs.iter().flatten()).filter(|(a, b)| a != b).count();
    assert!((80..=192).contains(&changed), "{changed}");
}
