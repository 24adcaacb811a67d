//! [`Retriever::search_reordered`]: hits in the order of more than the first score.

use super::found::Found;
use super::hubs::HUB_CANDIDATES;
use super::query::{Content, Part, Query};
use super::retriever::Retriever;
use gxn_base::{Error, Result};
use gxn_index::{Modality, SearchOptions};

/// The weight of the caption decoder that is the default: chosen on val of Flickr8k.
pub const RERANK_WEIGHT: f32 = 0.015;

/// How a second score orders what the first one found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reranking {
    /// The best hits of the first score, which are ordered once more.
    pub candidates: usize,
    /// What ln p(text | image) counts.
    pub weight: f32,
}

/// What the best hits of the first score are ordered by; the others follow as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reordering {
    /// [`Retriever::correct_hubs`] of the best [`HUB_CANDIDATES`].
    pub correct_hubs: bool,
    /// [`Retriever::rerank`], after that.
    pub rerank: Option<Reranking>,
}

impl Retriever {
    /// [`Retriever::search`], with the best hits in another order.
    ///
    /// # Errors
    /// As [`Retriever::search`], and as what orders the hits.
    pub fn search_reordered(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        reordering: Reordering,
    ) -> Result<Found> {
        self.search_reordered_by(query, options, reordering, |_, part| self.embedding(&part.content))
    }

    /// The same with embeddings from elsewhere, as in [`Retriever::search_by`].
    ///
    /// # Errors
    /// As [`Retriever::search_by`] and [`Retriever::search_reordered`].
    pub fn search_reordered_by(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        reordering: Reordering,
        encode: impl FnMut(usize, &Part) -> Result<Vec<f32>>,
    ) -> Result<Found> {
        let Reordering { correct_hubs, rerank } = reordering;
        if !correct_hubs && rerank.is_none() {
            return self.search_by(query, options, encode);
        }
        let SearchOptions { offset, top, .. } = *options;
        let hubs = if correct_hubs { HUB_CANDIDATES } else { 0 };
        let candidates = hubs.max(rerank.map_or(0, |reranking| reranking.candidates));
        let best = SearchOptions { offset: 0, top: candidates.max(offset.saturating_add(top)), ..*options };
        let mut found = self.search_by(query, &best, encode)?;
        if correct_hubs {
            let behind = found.hits.split_off(hubs.min(found.hits.len()));
            self.correct_hubs(query, options, &mut found)?;
            found.hits.extend(behind);
        }
        if let Some(Reranking { candidates, weight }) = rerank {
            let behind = found.hits.split_off(candidates.min(found.hits.len()));
            self.rerank(query, &mut found, weight)?;
            found.hits.extend(behind);
        }
        found.hits = found.hits.into_iter().skip(offset).take(top).collect();
        Ok(found)
    }

    /// Adds `weight` · ln p(text | image), the caption decoder's, to the scores of the images that were found for a text, and
    /// orders them by the sum. Their relevance stays that of the first score.
    ///
    /// # Errors
    /// When the query is not one text, the hits are captions, the model has no caption decoder, or the index is damaged.
    pub fn rerank(&self, query: &Query, found: &mut Found, weight: f32) -> Result<()> {
        let is_caption = found.hits.iter().any(|hit| hit.caption.is_some());
        let [Part { content: Content::Text(text), .. }] = query.parts.as_slice() else {
            return Err(Error::invalid("the query to re-rank", "images or several parts", "one text"));
        };
        if is_caption {
            return Err(Error::invalid("the hits to re-rank", "captions", "images"));
        }
        let space = self.encoder().space();
        let ids: Vec<&str> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
        let mut grounded = Vec::new();
        for (id, row) in ids.iter().zip(self.index().embeddings(Modality::Image, &ids)?) {
            let row = row.ok_or_else(|| Error::not_found(format!("image {id}"), "no row", "one in the index"))?;
            grounded.extend_from_slice(&row[space.dims_abstract..]);
        }
        let pairs: Vec<(usize, usize)> = (0..found.hits.len()).map(|image| (image, 0)).collect();
        let second = self.encoder().caption_log_likelihoods(&grounded, &[text], &pairs, &())?;
        for (hit, second) in found.hits.iter_mut().zip(second) {
            hit.score += weight * second;
        }
        found.order_by_score();
        Ok(())
    }
}
