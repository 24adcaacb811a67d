//! RNN_Enc: captions become t_h and t_l (paper Eq. 1, spec §4).

use burn::module::{Module, Param};
use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor, TensorData};

use super::gru::{BiGru, Gru, pool};
use super::init::Init;
use super::linear::LinearMap;
use super::phase::{Phase, Site};
use super::prior::Prior;
use super::text_encoder::TextFeatures;
use super::unit_length::unit_length;
use crate::config::{Levels, MatchingConfig, Pooling, SentenceConfig};
use gxn_ops::gru::Direction;

/// A batch of captions as padded token ids, with their features where a pretrained text encoder reads them too.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenBatch {
    ids: Vec<u32>,
    lengths: Vec<usize>,
    time: usize,
    features: Option<TextFeatures>,
}

impl TokenBatch {
    /// Pads to the longest caption. An empty caption counts as one padding token, so that it still has an embedding.
    ///
    /// # Panics
    /// If there is no caption at all.
    pub fn new<C: AsRef<[u32]>>(captions: &[C]) -> Self {
        assert!(!captions.is_empty(), "a batch needs at least one caption");
        let time = captions.iter().map(|c| c.as_ref().len()).max().unwrap_or(0).max(1);
        let mut ids = vec![0; captions.len() * time];
        for (row, caption) in ids.chunks_mut(time).zip(captions) {
            row[..caption.as_ref().len()].copy_from_slice(caption.as_ref());
        }
        Self { ids, lengths: captions.iter().map(|c| c.as_ref().len().max(1)).collect(), time, features: None }
    }

    /// The same with the features of the captions, one row each.
    pub fn with_features(self, features: Option<TextFeatures>) -> Self {
        Self { features, ..self }
    }

    /// Number of captions, `B`.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens of each caption; 1 for an empty one.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Never: a batch holds at least one caption.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

/// Word matrix W_e, bidirectional GRU → t_h, GRU → t_l; a pretrained text encoder adds to both where there is one.
#[derive(Module, Debug)]
pub struct SentenceEncoder {
    /// W_e, shared by both networks, `[V, E]`.
    words: Param<Tensor<2>>,
    /// From the width of pretrained vectors to that of the networks.
    word_map: Option<LinearMap>,
    /// None where a pretrained encoder stands alone.
    abstract_gru: Option<BiGru>,
    abstract_map: Option<LinearMap>,
    grounded_gru: Option<Gru>,
    grounded_map: Option<LinearMap>,
    /// From the features of a pretrained encoder.
    abstract_text_feature_map: Option<LinearMap>,
    grounded_text_feature_map: Option<LinearMap>,
    /// Where the levels begin as that encoder's embedding.
    abstract_prior: Option<Prior>,
    grounded_prior: Option<Prior>,
    #[module(skip)]
    settings: Settings,
}

/// What the forward pass has to know besides weights.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    abstract_pooling: Pooling,
    grounded_pooling: Pooling,
    word_dropout: f64,
    state_dropout: f64,
}

impl SentenceEncoder {
    /// A new encoder for `vocabulary` words. `vectors` are the first rows of W_e (`[V, width]`, row-major); without
    /// them W_e is uniform(−0.1, 0.1).
    pub fn new(
        init: &Init,
        config: &SentenceConfig,
        matching: &MatchingConfig,
        embed_dim: usize,
        vocabulary: usize,
        vectors: Option<(Vec<f32>, usize)>,
    ) -> Self {
        let map = config.word_vectors.as_ref().is_some_and(|v| v.map);
        let (words, stored) = match vectors {
            Some((rows, width)) => (init.given(rows, [vocabulary, width]), width),
            None => (init.uniform("words", [vocabulary, config.word_dim], 0.1), config.word_dim),
        };
        let width = if map { config.word_dim } else { stored };
        let hidden = config.hidden;
        let both = matching.levels == Levels::Both;
        let gru = config.encoder.as_ref().is_none_or(|encoder| !encoder.alone);
        let features = |name| config.encoder.as_ref().map(|e| LinearMap::new(init, name, e.width, embed_dim));
        Self {
            words,
            word_map: map.then(|| LinearMap::new(init, "word_map", stored, width)),
            abstract_gru: gru.then(|| BiGru::new(init, "abstract_gru", width, hidden)),
            abstract_map: gru.then(|| LinearMap::new(init, "abstract_text_map", 2 * hidden, embed_dim)),
            grounded_gru: (gru && both).then(|| Gru::new(init, "grounded_gru", width, hidden)),
            grounded_map: (gru && both).then(|| LinearMap::new(init, "grounded_text_map", hidden, embed_dim)),
            abstract_text_feature_map: features("abstract_text_feature_map"),
            grounded_text_feature_map: features("grounded_text_feature_map").filter(|_| both),
            abstract_prior: matching.prior.then(|| Prior::new(init)),
            grounded_prior: (matching.prior && both).then(|| Prior::new(init)),
            settings: Settings {
                abstract_pooling: config.abstract_pooling,
                grounded_pooling: config.grounded_pooling,
                word_dropout: config.word_dropout,
                state_dropout: config.state_dropout,
            },
        }
    }

    /// Width of a word vector as the networks read it, `E`.
    pub fn word_width(&self) -> usize {
        self.word_map.as_ref().map_or_else(|| self.words.dims()[1], LinearMap::width_out)
    }

    /// Word vectors of a batch: rows of W_e, through the map of pretrained vectors where there is one.
    ///
    /// # Shapes
    /// `B` captions → `[B, T, E]`
    pub fn word_vectors(&self, batch: &TokenBatch) -> Tensor<3> {
        let shape = [batch.len(), batch.time];
        let ids: Vec<i64> = batch.ids.iter().map(|&id| i64::from(id)).collect();
        self.vectors_of(Tensor::from_data(TensorData::new(ids, shape), &self.words.val().device()))
    }

    /// The same of token ids on the network's device.
    ///
    /// # Shapes
    /// `[B, T]` → `[B, T, E]`
    pub fn vectors_of(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let words = embedding(self.words.val(), ids);
        match &self.word_map {
            Some(map) => {
                let [b, t, e] = words.dims();
                let mapped = map.forward(words.reshape([b * t, e]));
                let width = mapped.dims()[1];
                mapped.reshape([b, t, width])
            }
            None => words,
        }
    }

    /// (t_h, t_l) before normalisation; t_l only where the model has two levels.
    ///
    /// # Shapes
    /// `B` captions → `[B, D]`, `[B, D]`
    ///
    /// # Panics
    /// If the network has a pretrained text encoder and the batch has no features of it.
    pub fn forward(&self, batch: &TokenBatch, phase: Phase) -> (Tensor<2>, Option<Tensor<2>>) {
        let s = self.settings;
        let words = self.word_vectors(batch);
        let lengths = &batch.lengths;
        let read = || phase.dropout(words.clone(), s.word_dropout, Site::AbstractWords);
        let from_words = self.abstract_gru.as_ref().zip(self.abstract_map.as_ref()).map(|(gru, map)| {
            let pooled = gru.forward(read(), lengths, s.abstract_pooling);
            map.forward(phase.dropout(pooled, s.state_dropout, Site::AbstractState))
        });
        let from_text =
            self.text_encoders_part(self.abstract_text_feature_map.as_ref(), batch, phase, Site::AbstractText);
        let t_h = sum(from_words, from_text).expect("a network has GRUs, a text encoder or both");
        (self.moved(self.abstract_prior.as_ref(), batch, t_h), self.grounded(words, batch, phase))
    }

    /// t_l alone, before normalisation; none where the model has one level.
    ///
    /// # Shapes
    /// `B` captions → `[B, D]`
    ///
    /// # Panics
    /// As [`SentenceEncoder::forward`].
    pub fn ground(&self, batch: &TokenBatch, phase: Phase) -> Option<Tensor<2>> {
        self.grounded(self.word_vectors(batch), batch, phase)
    }

    fn grounded(&self, words: Tensor<3>, batch: &TokenBatch, phase: Phase) -> Option<Tensor<2>> {
        let s = self.settings;
        let lengths = &batch.lengths;
        let from_words = self.grounded_gru.as_ref().zip(self.grounded_map.as_ref()).map(|(gru, map)| {
            let read = phase.dropout(words, s.word_dropout, Site::GroundedWords);
            let states = gru.forward(read, lengths, Direction::Forward);
            let pooled = pool(states, lengths, s.grounded_pooling);
            map.forward(phase.dropout(pooled, s.state_dropout, Site::GroundedState))
        });
        let from_text =
            self.text_encoders_part(self.grounded_text_feature_map.as_ref(), batch, phase, Site::GroundedText);
        Some(self.moved(self.grounded_prior.as_ref(), batch, sum(from_words, from_text)?))
    }

    /// What a level is made of: what it learned, on top of the prior where there is one.
    fn moved(&self, prior: Option<&Prior>, batch: &TokenBatch, learned: Tensor<2>) -> Tensor<2> {
        match prior {
            Some(prior) => prior.moved(unit_length(self.text_features(batch)), learned),
            None => learned,
        }
    }

    /// What a pretrained text encoder adds to a level, `[B, D]`.
    fn text_encoders_part(
        &self,
        map: Option<&LinearMap>,
        batch: &TokenBatch,
        phase: Phase,
        site: Site,
    ) -> Option<Tensor<2>> {
        let map = map?;
        Some(map.forward(phase.dropout(self.text_features(batch), self.settings.state_dropout, site)))
    }

    /// The features of a batch's captions, `[B, W]`.
    fn text_features(&self, batch: &TokenBatch) -> Tensor<2> {
        let TextFeatures { width, values } =
            batch.features.as_ref().expect("a network with a text encoder gets features");
        Tensor::from_data(TensorData::new(values.to_vec(), [batch.len(), *width]), &self.words.val().device())
    }
}

/// The sum of what is there.
fn sum(a: Option<Tensor<2>>, b: Option<Tensor<2>>) -> Option<Tensor<2>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TextEncoderFolder;
    use burn::tensor::Device;

    fn encoded(alone: bool, words: [u32; 2], feature: [f32; 3], dropout: f64, phase: Phase) -> [Vec<f32>; 2] {
        let encoder = TextEncoderFolder { path: String::new(), alone, width: 3, fingerprint: String::new() };
        let config = SentenceConfig {
            encoder: Some(encoder),
            hidden: 4,
            word_dim: 2,
            state_dropout: dropout,
            ..SentenceConfig::default()
        };
        let network =
            SentenceEncoder::new(&Init::new(1, &Device::flex()), &config, &MatchingConfig::default(), 5, 9, None);
        let features = TextFeatures { width: 3, values: feature.to_vec().into() };
        let (t_h, t_l) = network.forward(&TokenBatch::new(&[words]).with_features(Some(features)), phase);
        [t_h, t_l.expect("two levels")].map(|level| level.into_data().iter().collect())
    }

    /// Alone, a text encoder decides both levels; beside the GRUs, both count.
    #[test]
    fn words_and_features_reach_both_levels() {
        let of = |alone, words, feature| encoded(alone, words, feature, 0.0, Phase::Evaluate);
        for alone in [true, false] {
            let first = of(alone, [1, 5], [1.0, -1.0, 0.5]);
            let other_words = of(alone, [1, 6], [1.0, -1.0, 0.5]);
            let other_feature = of(alone, [1, 5], [1.0, 1.0, 0.5]);
            for level in 0..2 {
                assert_eq!(first[level] == other_words[level], alone);
                assert_ne!(first[level], other_feature[level]);
            }
            assert_ne!(first[0], first[1], "each level has its own map");
        }
        // The maps are linear and their biases 0 at first.
        let [once, twice] = [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]].map(|feature| of(true, [1, 5], feature)[0].clone());
        assert!(once.iter().zip(&twice).all(|(a, b)| (2.0 * a - b).abs() < 1e-6), "{once:?} {twice:?}");
    }

    #[test]
    fn dropout_acts_on_the_features_of_a_step_alone() {
        let of = |phase| encoded(true, [1, 5], [1.0, 2.0, 3.0], 0.5, phase);
        assert_eq!(of(Phase::Train { seed: 4 }), of(Phase::Train { seed: 4 }));
        let differs = (0..8).any(|seed| of(Phase::Train { seed }) != of(Phase::Evaluate));
        assert!(differs);
    }
}
