//! [`Retriever::search_ranked`]: hits in the order of more than the score.

use super::found::{Found, RankedHit};
use super::query::{Content, Part, Query};
use super::retriever::Retriever;
use crate::encoder::LIKELIHOOD_IMAGES;
use gxn_base::{Error, Remedy, Result};
use gxn_eval::check_rerank_weight;
use gxn_index::{Modality, SearchOptions};

/// The weight of the caption decoder that is the default: chosen on val of Flickr8k, with hubs corrected.
pub const RERANK_WEIGHT: f32 = 0.008;

/// How a second score orders the best hits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reranking {
    /// The best hits, which are ordered once more.
    pub candidates: usize,
    /// What the decoder counts.
    pub weight: f32,
}

/// What hits are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ranking {
    /// The score as it is. Otherwise a calibrated model corrects hubs where one sentence looks for images or one image looks for
    /// captions: scores are less what the item scores with most queries ([`gxn_eval::Hubness`]), 100 hits at a time.
    pub keep_hubs: bool,
    /// After that the best hits of one text among images, or of one image among captions, are ordered by score + weight · ln p(text |
    /// image), the caption decoder's; of captions less ln p(text), as short and common ones are likely with every image
    /// ([`Encoder::caption_information`](crate::encoder::Encoder::caption_information)). The others follow as they are. Relevance
    /// stays that of the first score.
    pub rerank: Option<Reranking>,
}

impl Retriever {
    /// [`Retriever::search`], with hits ordered by `ranking`.
    ///
    /// # Errors
    /// As [`Retriever::search`]. With re-ranking, as [`check_rerank_weight`], and when the query is not one text that looks for images
    /// or one image that looks for captions, the model has no caption decoder, or captions are looked for and it is not calibrated.
    pub fn search_ranked(&self, query: &Query, options: &SearchOptions<'_>, ranking: Ranking) -> Result<Found> {
        self.search_ranked_by(query, options, ranking, |_, part| self.embedding(&part.content))
    }

    /// The same with embeddings from elsewhere, as in [`Retriever::search_by`].
    ///
    /// # Errors
    /// As [`Retriever::search_by`] and [`Retriever::search_ranked`].
    pub fn search_ranked_by(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        ranking: Ranking,
        mut encode: impl FnMut(usize, &Part) -> Result<Vec<f32>>,
    ) -> Result<Found> {
        let Ranking { keep_hubs, rerank } = ranking;
        let Some(Reranking { candidates, weight }) = rerank else {
            return self.search_scored(query, options, keep_hubs, encode);
        };
        check_rerank_weight(weight)?;
        let SearchOptions { offset, top, target, .. } = *options;
        let [part] = query.parts.as_slice() else {
            let found = format!("{} parts", query.parts.len());
            return Err(Error::invalid("the query to re-rank", found, "one text or one image"));
        };
        let for_text = matches!(part.content, Content::Text(_));
        if for_text == (target == Modality::Text) {
            let (query, found, expected) =
                if for_text { ("a text", "captions", "images") } else { ("an image", "images", "captions") };
            return Err(Error::invalid(format!("the hits to re-rank for {query}"), found, expected));
        }
        let best = SearchOptions { offset: 0, top: candidates.max(offset.saturating_add(top)), ..*options };
        let mut embedding = Vec::new();
        let mut found = self.search_scored(query, &best, keep_hubs, |at, part| {
            embedding = encode(at, part)?;
            Ok(embedding.clone())
        })?;
        let behind = found.hits.split_off(candidates.min(found.hits.len()));
        let second = match &part.content {
            Content::Text(text) => self.likelihoods_of_images(text, &found.hits)?,
            _ => self.information_of_captions(&embedding, &found.hits)?,
        };
        for (hit, second) in found.hits.iter_mut().zip(second) {
            hit.score += weight * second;
        }
        found.order_by_score();
        found.hits.extend(behind);
        found.hits = found.hits.into_iter().skip(offset).take(top).collect();
        Ok(found)
    }

    /// ln p(text | image) of the images that were found.
    fn likelihoods_of_images(&self, text: &str, hits: &[RankedHit]) -> Result<Vec<f32>> {
        let ids: Vec<&str> = hits.iter().map(|hit| hit.id.as_str()).collect();
        let mut grounded = Vec::new();
        for (id, row) in ids.iter().zip(self.index().embeddings(Modality::Image, &ids)?) {
            let row = row.ok_or_else(|| Error::not_found(format!("image {id}"), "no row", "one in the index"))?;
            grounded.extend_from_slice(&row[self.encoder().space().dims_abstract..]);
        }
        let pairs: Vec<(usize, usize)> = (0..hits.len()).map(|image| (image, 0)).collect();
        self.encoder().caption_log_likelihoods(&grounded, &[text], &pairs, &())
    }

    /// ln p(caption | image) − ln p(caption) of the captions that were found for the image with this `embedding`.
    fn information_of_captions(&self, embedding: &[f32], hits: &[RankedHit]) -> Result<Vec<f32>> {
        if hits.is_empty() {
            return Ok(Vec::new());
        }
        let calibration = self.calibration().ok_or_else(|| {
            let expected = "a calibrated one, whose held-out images tell how likely captions are";
            Error::unsupported("re-ranking captions", "a model that is not calibrated", expected)
                .with_remedy(Remedy::Calibrate)
        })?;
        let grounded = |row: &[f32]| row[self.encoder().space().dims_abstract..].to_vec();
        let bank: Vec<f32> = calibration.some_images(LIKELIHOOD_IMAGES).flat_map(grounded).collect();
        let texts: Vec<&str> = hits.iter().map(|hit| hit.caption.as_deref().unwrap_or_default()).collect();
        let pairs: Vec<(usize, usize)> = (0..hits.len()).map(|caption| (0, caption)).collect();
        self.encoder().caption_information(&grounded(embedding), &bank, &texts, &pairs, &())
    }
}
