//! RNN_Enc: captions become t_h and t_l (paper Eq. 1, spec §4).

use burn::module::{Module, Param};
use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor, TensorData};

use super::gru::{BiGru, Gru, pool};
use super::init::Init;
use super::linear::LinearMap;
use super::phase::{Phase, Site};
use crate::config::{Levels, Pooling, SentenceConfig};
use gxn_ops::gru::Direction;

/// A batch of captions as padded token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    ids: Vec<u32>,
    lengths: Vec<usize>,
    time: usize,
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
        Self { ids, lengths: captions.iter().map(|c| c.as_ref().len().max(1)).collect(), time }
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

/// Word matrix W_e, bidirectional GRU → t_h, GRU → t_l.
#[derive(Module, Debug)]
pub struct SentenceEncoder {
    /// W_e, shared by both networks, `[V, E]`.
    words: Param<Tensor<2>>,
    /// From the width of pretrained vectors to that of the networks.
    word_map: Option<LinearMap>,
    abstract_gru: BiGru,
    abstract_map: LinearMap,
    grounded_gru: Option<Gru>,
    grounded_map: Option<LinearMap>,
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
        levels: Levels,
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
        let both = levels == Levels::Both;
        Self {
            words,
            word_map: map.then(|| LinearMap::new(init, "word_map", stored, width)),
            abstract_gru: BiGru::new(init, "abstract_gru", width, hidden),
            abstract_map: LinearMap::new(init, "abstract_text_map", 2 * hidden, embed_dim),
            grounded_gru: both.then(|| Gru::new(init, "grounded_gru", width, hidden)),
            grounded_map: both.then(|| LinearMap::new(init, "grounded_text_map", hidden, embed_dim)),
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
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.words.val().device());
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
    pub fn forward(&self, batch: &TokenBatch, phase: Phase) -> (Tensor<2>, Option<Tensor<2>>) {
        let s = self.settings;
        let words = self.word_vectors(batch);
        let lengths = &batch.lengths;
        let read = phase.dropout(words.clone(), s.word_dropout, Site::AbstractWords);
        let pooled = self.abstract_gru.forward(read, lengths, s.abstract_pooling);
        let t_h = self.abstract_map.forward(phase.dropout(pooled, s.state_dropout, Site::AbstractState));
        let t_l = self.grounded(words, lengths, phase);
        (t_h, t_l)
    }

    /// t_l alone, before normalisation; none where the model has one level.
    ///
    /// # Shapes
    /// `B` captions → `[B, D]`
    pub fn ground(&self, batch: &TokenBatch, phase: Phase) -> Option<Tensor<2>> {
        self.grounded(self.word_vectors(batch), &batch.lengths, phase)
    }

    fn grounded(&self, words: Tensor<3>, lengths: &[usize], phase: Phase) -> Option<Tensor<2>> {
        let s = self.settings;
        self.grounded_gru.as_ref().zip(self.grounded_map.as_ref()).map(|(gru, map)| {
            let read = phase.dropout(words, s.word_dropout, Site::GroundedWords);
            let states = gru.forward(read, lengths, Direction::Forward);
            let pooled = pool(states, lengths, s.grounded_pooling);
            map.forward(phase.dropout(pooled, s.state_dropout, Site::GroundedState))
        })
    }
}
