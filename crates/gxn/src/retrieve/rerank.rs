//! [`Retriever::rerank`]: hits in the order of a second score.

use super::found::Found;
use super::query::{Content, Part, Query};
use super::retriever::Retriever;
use gxn_base::{Error, Result};
use gxn_index::Modality;

impl Retriever {
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
        let mut grounded = Vec::new();
        for hit in &found.hits {
            let row = self.index().row_of(Modality::Image, &hit.id)?;
            let row = row.ok_or_else(|| Error::not_found(format!("image {}", hit.id), "no row", "one in the index"))?;
            grounded.extend_from_slice(&self.index().row(Modality::Image, row)?[space.dims_abstract..]);
        }
        let pairs: Vec<(usize, usize)> = (0..found.hits.len()).map(|image| (image, 0)).collect();
        let second = self.encoder().caption_log_likelihoods(&grounded, &[text], &pairs, &())?;
        for (hit, second) in found.hits.iter_mut().zip(second) {
            hit.score += weight * second;
        }
        found.hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        for (rank, hit) in found.hits.iter_mut().enumerate() {
            hit.rank = rank + 1;
        }
        Ok(())
    }
}
