//! [`TextTower`]: from tokens to one feature a text.

use gxn_base::{Error, Result};

use crate::kernel::{Linear, Norm, Threads};
use crate::transformer::{Keep, Transformer};
use crate::weights::Tensor;

/// A text encoder of any family.
#[derive(Debug)]
pub(crate) struct TextTower {
    /// Embeddings of tokens, `[vocabulary, width]`; they stay in the file.
    pub(crate) words: Tensor,
    /// Embeddings of places, with whatever else every text has there, `[places, width]`.
    pub(crate) positions: Vec<f32>,
    /// The norm before the blocks.
    pub(crate) before: Option<Norm>,
    pub(crate) blocks: Transformer,
    /// The norm after the blocks.
    pub(crate) after: Option<Norm>,
    pub(crate) pooling: TextPooling,
    /// From the pooled feature to the embedding.
    pub(crate) project: Option<Linear>,
    pub(crate) width: usize,
}

/// How the tokens of a text become one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextPooling {
    /// The first token.
    First,
    /// The last token of a text that is filled up to all places.
    Last,
    /// The first place of this token, and the first token where it has none.
    End(u32),
    /// The first place of the largest token.
    Largest,
    /// The mean of all tokens.
    Mean,
    /// The largest value of each dimension.
    Max,
}

impl TextTower {
    /// The pooled features `[N, width]` of texts, each its [needed](TextTower::needed) tokens.
    ///
    /// # Errors
    /// A text without tokens or with too many, a token that is not in the vocabulary.
    pub(crate) fn pool(&self, texts: &[Vec<u32>], threads: Threads) -> Result<Vec<f32>> {
        let width = self.width;
        let lengths: Vec<_> = texts.iter().map(Vec::len).collect();
        let mut x = vec![0.0; lengths.iter().sum::<usize>() * width];
        let mut rest = &mut x[..];
        for tokens in texts {
            let (rows, next) = rest.split_at_mut(tokens.len() * width);
            self.embed(tokens, rows)?;
            rest = next;
        }
        if let Some(norm) = &self.before {
            norm.apply(&mut x, threads);
        }
        let keep = match self.pooling {
            TextPooling::First => Keep::First,
            TextPooling::Last | TextPooling::End(_) | TextPooling::Largest => Keep::Last,
            TextPooling::Mean | TextPooling::Max => Keep::All,
        };
        self.blocks.apply(&mut x, &lengths, keep, threads);
        let mut pooled = if keep == Keep::All { self.merge(&x, &lengths) } else { x };
        if let Some(norm) = &self.after {
            norm.apply(&mut pooled, threads);
        }
        Ok(pooled)
    }

    /// The tokens on which the feature of a text depends, of its tokens without padding. `pad` fills it up where padding
    /// counts; what comes after the pooled token is cut where a token sees only those before it.
    pub(crate) fn needed(&self, mut tokens: Vec<u32>, pad: u32) -> Vec<u32> {
        match self.pooling {
            TextPooling::Last => {
                let places = self.positions.len() / self.width;
                tokens.resize(tokens.len().max(places), pad);
            }
            TextPooling::End(end) => tokens.truncate(tokens.iter().position(|&token| token == end).unwrap_or(0) + 1),
            TextPooling::Largest => {
                let largest = tokens.iter().max();
                let place = tokens.iter().position(|token| Some(token) == largest);
                tokens.truncate(place.map_or(0, |place| place + 1));
            }
            TextPooling::First | TextPooling::Mean | TextPooling::Max => (),
        }
        tokens
    }

    fn embed(&self, tokens: &[u32], rows: &mut [f32]) -> Result<()> {
        let places = self.positions.len() / self.width;
        if tokens.is_empty() || tokens.len() > places {
            return Err(Error::invalid("a text", format!("{} tokens", tokens.len()), format!("1 to {places}")));
        }
        let places = self.positions.chunks_exact(self.width);
        for ((row, &token), position) in rows.chunks_exact_mut(self.width).zip(tokens).zip(places) {
            self.words.row(token as usize, row).ok_or_else(|| {
                let vocabulary = self.words.rows();
                Error::invalid("the tokenizer", format!("token {token}"), format!("one of the encoder's {vocabulary}"))
                    .with_hint("the tokenizer's files and the weights must be of the same model")
            })?;
            row.iter_mut().zip(position).for_each(|(value, position)| *value += position);
        }
        Ok(())
    }

    /// The mean or the largest values of each text's rows.
    fn merge(&self, x: &[f32], lengths: &[usize]) -> Vec<f32> {
        let width = self.width;
        let mut pooled: Vec<f32> = Vec::with_capacity(lengths.len() * width);
        let mut rows = x.chunks_exact(width);
        for (text, &tokens) in lengths.iter().enumerate() {
            pooled.extend(rows.next().unwrap_or_default());
            let sum = &mut pooled[text * width..];
            for row in rows.by_ref().take(tokens - 1) {
                match self.pooling {
                    TextPooling::Max => {
                        sum.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(*value))
                    }
                    _ => sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value),
                }
            }
            if self.pooling == TextPooling::Mean {
                sum.iter_mut().for_each(|sum| *sum /= tokens as f32);
            }
        }
        pooled
    }
}
