//! [`Retriever::search_ranked`]: hits in the order of more than the score.

use super::found::Found;
use super::query::{Content, Part, Query};
use super::retriever::Retriever;
use gxn_base::{Error, Result};
use gxn_index::{Modality, SearchOptions};

/// The weight of the caption decoder that is the default: chosen on val of Flickr8k.
pub const RERANK_WEIGHT: f32 = 0.015;

/// How a second score orders the best hits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reranking {
    /// The best hits, which are ordered once more.
    pub candidates: usize,
    /// What ln p(text | image) counts.
    pub weight: f32,
}

/// What hits are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ranking {
    /// The score as it is. Otherwise a calibrated model corrects hubs where one sentence looks for images or one image looks for
    /// captions: scores are less what the item scores with most queries ([`gxn_eval::Hubness`]), 100 hits at a time.
    pub keep_hubs: bool,
    /// [`Retriever::rerank`] of the best hits, after that; the others follow as they are.
    pub rerank: Option<Reranking>,
}

impl Retriever {
    /// [`Retriever::search`], with hits ordered by `ranking`.
    ///
    /// # Errors
    /// As [`Retriever::search`] and [`Retriever::rerank`].
    pub fn search_ranked(&self, query: &Query, options: &SearchOptions<'_>, ranking: Ranking) -> Result<Found> {
        self.search_ranked_by(query, options, ranking, |_, part| self.embedding(&part.content))
    }

    /// The same with embeddings from elsewhere, as in [`Retriever::search_by`].
    ///
    /// # Errors
    /// As [`Retriever::search_by`] and [`Retriever::rerank`].
    pub fn search_ranked_by(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        ranking: Ranking,
        encode: impl FnMut(usize, &Part) -> Result<Vec<f32>>,
    ) -> Result<Found> {
        let Ranking { keep_hubs, rerank } = ranking;
        let Some(Reranking { candidates, weight }) = rerank else {
            return self.search_scored(query, options, keep_hubs, encode);
        };
        let SearchOptions { offset, top, .. } = *options;
        let best = SearchOptions { offset: 0, top: candidates.max(offset.saturating_add(top)), ..*options };
        let mut found = self.search_scored(query, &best, keep_hubs, encode)?;
        let behind = found.hits.split_off(candidates.min(found.hits.len()));
        self.rerank(query, &mut found, weight)?;
        found.hits.extend(behind);
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
