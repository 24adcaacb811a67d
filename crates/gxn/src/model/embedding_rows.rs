//! [`EmbeddingRows`]: embeddings in host memory, and how a network fills them batch by batch.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use burn::tensor::{Device, Tensor, TensorData};

use super::{Embedding, Gxn};
use crate::look::{Phase, TextFeatures, TokenBatch};
use gxn_base::{Error, Result};

/// Items in a batch when only embeddings are wanted.
const BATCH: usize = 256;

/// Embeddings of many items in host memory, row-major, one row an item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingRows {
    /// Number of items.
    pub count: usize,
    /// Width of a row of one level, `D`.
    pub dim: usize,
    /// v_h or t_h, `[count, D]`.
    pub abstract_level: Vec<f32>,
    /// v_l or t_l, `[count, D]`; none where the model has one level.
    pub grounded_level: Option<Vec<f32>>,
}

impl EmbeddingRows {
    /// No items yet.
    pub fn new(dim: usize, grounded: bool) -> Self {
        Self { count: 0, dim, abstract_level: Vec::new(), grounded_level: grounded.then(Vec::new) }
    }

    /// Adds a batch at the end.
    pub fn extend(&mut self, batch: &Embedding) {
        self.count += batch.abstract_level.dims()[0];
        self.abstract_level.extend(batch.abstract_level.to_data().iter::<f32>());
        if let (Some(rows), Some(level)) = (&mut self.grounded_level, &batch.grounded_level) {
            rows.extend(level.to_data().iter::<f32>());
        }
    }

    /// Adds other rows of the same width at the end.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.abstract_level.extend(other.abstract_level);
        if let (Some(rows), Some(more)) = (&mut self.grounded_level, other.grounded_level) {
            rows.extend(more);
        }
    }

    /// Each item's rows with those of the same item in `other` behind them, level by level.
    ///
    /// # Errors
    /// When the numbers of items or levels differ.
    pub fn beside(&self, other: &Self) -> Result<Self> {
        let shape = |rows: &Self| format!("{} items, grounded level: {}", rows.count, rows.grounded_level.is_some());
        if shape(self) != shape(other) {
            return Err(Error::conflict("embeddings side by side", shape(other), shape(self)));
        }
        let level = |own: &[f32], others: &[f32]| -> Vec<f32> {
            let pairs = own.chunks_exact(self.dim).zip(others.chunks_exact(other.dim));
            pairs.flat_map(|(own, other)| own.iter().chain(other).copied()).collect()
        };
        let grounded = self.grounded_level.as_ref().zip(other.grounded_level.as_ref());
        Ok(Self {
            count: self.count,
            dim: self.dim + other.dim,
            abstract_level: level(&self.abstract_level, &other.abstract_level),
            grounded_level: grounded.map(|(own, other)| level(own, other)),
        })
    }

    /// Width of [`EmbeddingRows::joined`].
    pub fn joined_width(&self) -> usize {
        if self.grounded_level.is_some() { 2 * self.dim } else { self.dim }
    }

    /// `[h ; l]` of item `row`.
    pub fn joined(&self, row: usize) -> Vec<f32> {
        let span = row * self.dim..(row + 1) * self.dim;
        let mut joined = self.abstract_level[span.clone()].to_vec();
        if let Some(grounded) = &self.grounded_level {
            joined.extend_from_slice(&grounded[span]);
        }
        joined
    }

    /// The rows without those that an earlier one equals bit by bit, as embeddings of equal texts do; ascending.
    pub fn distinct(&self) -> Vec<usize> {
        let mut seen = HashSet::new();
        let is_new = |row: &usize| {
            let mut hasher = DefaultHasher::new();
            self.joined(*row).iter().for_each(|value| value.to_bits().hash(&mut hasher));
            seen.insert(hasher.finish())
        };
        (0..self.count).filter(is_new).collect()
    }

    /// The items in the order given by `order`: row `i` of the result is row `order[i]`.
    pub fn permuted(&self, order: &[usize]) -> Self {
        let pick = |level: &Vec<f32>| {
            order.iter().flat_map(|&row| level[row * self.dim..(row + 1) * self.dim].iter().copied()).collect()
        };
        Self {
            count: order.len(),
            dim: self.dim,
            abstract_level: pick(&self.abstract_level),
            grounded_level: self.grounded_level.as_ref().map(pick),
        }
    }
}

/// CNN features (`[N, F]`, row-major) as tensors of at most `batch` rows.
pub(crate) fn feature_batches<'a>(
    features: &'a [f32],
    feature_dim: usize,
    batch: usize,
    device: &'a Device,
) -> impl Iterator<Item = Tensor<2>> + 'a {
    features.chunks(batch * feature_dim.max(1)).map(move |chunk| {
        let shape = [chunk.len() / feature_dim.max(1), feature_dim];
        Tensor::from_data(TensorData::new(chunk.to_vec(), shape), device)
    })
}

impl Gxn {
    fn empty_rows(&self) -> EmbeddingRows {
        EmbeddingRows::new(self.image.embed_dim(), self.image.has_grounded_level())
    }

    /// Embeddings of CNN features (`[N, F]`, row-major). The network must be on a device without gradients.
    pub fn embed_features(&self, features: &[f32], feature_dim: usize, device: &Device) -> EmbeddingRows {
        let mut rows = self.empty_rows();
        for batch in feature_batches(features, feature_dim, BATCH, device) {
            rows.extend(&self.encode_image(batch, Phase::Evaluate));
        }
        rows
    }

    /// Embeddings of captions given as token ids, in their order; with their features, where the network has a pretrained text
    /// encoder.
    pub fn embed_captions<C: AsRef<[u32]>>(&self, captions: &[C], features: Option<&TextFeatures>) -> EmbeddingRows {
        // Captions of about one length share a batch, so that little padding is computed.
        let mut by_length: Vec<usize> = (0..captions.len()).collect();
        by_length.sort_by_key(|&c| captions[c].as_ref().len());
        let mut rows = self.empty_rows();
        for chunk in by_length.chunks(BATCH) {
            let batch: Vec<&[u32]> = chunk.iter().map(|&c| captions[c].as_ref()).collect();
            let batch = TokenBatch::new(&batch).with_features(features.map(|features| features.gather(chunk)));
            rows.extend(&self.encode_text(&batch, Phase::Evaluate));
        }
        let mut place = vec![0; captions.len()];
        for (row, &caption) in by_length.iter().enumerate() {
            place[caption] = row;
        }
        rows.permuted(&place)
    }
}
