//! Whole training steps on captions that `benches/peers_training.py` draws in the same way.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Distribution, Tensor};
use gxn::config::RunConfig;
use gxn::look::{Init, Phase, TokenBatch};
use gxn::matching::{Negatives, Pairs};
use gxn::model::{Generators, Gxn};
use gxn::train::algorithm::matching::{MatchBatch, match_loss};
use gxn_ops::adam::{Adam, AdamConfig};
use gxn_ops::gradient::clip_global_norm;

const VOCABULARY: usize = 8000;
/// Width of the pretrained vectors, where a configuration asks for some: GloVe's.
const PRETRAINED: usize = 100;

/// The generator that both sides share (Numerical Recipes' 32-bit congruential one).
struct Draw(u32);

impl Draw {
    fn below(&mut self, bound: u32) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.0 >> 8) % bound) as usize
    }

    /// 5 to 25 tokens, mean 12.3, as Flickr8k's captions with start and end.
    fn caption(&mut self) -> Vec<u32> {
        let length = 5 + self.below(12) + self.below(11) * self.below(11) / 11;
        (0..length).map(|_| 1 + self.below(VOCABULARY as u32 - 1) as u32).collect()
    }
}

/// Match steps of `configs/<name>.toml` from features to updated weights, a new batch of captions each time.
pub fn step(name: &str, repetitions: usize) -> Vec<[f64; 2]> {
    let configs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs"));
    let path = configs.join(format!("{name}.toml"));
    let mut config = RunConfig::load(Some(&path), &[]).expect("the configurations of the repository are valid");
    let sentence = &mut config.look.sentence;
    if sentence.word_vectors.is_some() {
        sentence.word_dim = PRETRAINED;
    }
    let t = &config.train;
    let mut model = Some(
        Gxn::new(&Init::new(t.seed, &crate::device()), &config, VOCABULARY, None, None, Generators::default()).train(),
    );
    let mut adam =
        Adam::new(AdamConfig { beta1: t.beta1, beta2: t.beta2, epsilon: t.epsilon, weight_decay: t.weight_decay });
    let shape = [t.batch_size, config.look.backbone.feature_dim()];
    let features = Tensor::<2>::random(shape, Distribution::Uniform(0.0, 1.0), &crate::device().autodiff());
    let (mut draw, mut seed) = (Draw(1), 0);
    crate::time(repetitions, || {
        seed += 1;
        let captions: Vec<Vec<u32>> = (0..t.batch_size).map(|_| draw.caption()).collect();
        let captions = TokenBatch::new(&captions);
        let pairs = Pairs::one_each(t.batch_size);
        let batch = MatchBatch { features: features.clone(), captions, pairs, lesson: None };
        let old = model.take().expect("set between steps");
        let (lambda, phase) = (config.matching.effective_lambda(), Phase::Train { seed });
        let found = match_loss(&old, batch, &config.matching, lambda, Negatives::All, phase);
        assert!(found.loss.is_finite());
        let (gradients, _) = clip_global_norm(&old, found.gradients, t.grad_clip);
        model = Some(adam.step(|_| t.learning_rate, old, gradients));
    })
}
