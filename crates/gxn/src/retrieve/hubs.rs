//! [`Retriever::correct_hubs`]: hits without those that are near to everything in front.

use super::found::Found;
use super::query::{Content, Part, Query};
use super::retriever::Retriever;
use crate::evaluate::encode::{paired, scoring};
use crate::model::EmbeddingRows;
use gxn_base::{Error, Remedy, Result};
use gxn_eval::{Hubness, Scoring};
use gxn_index::{Modality, SearchOptions};

/// The best hits of the first score, of which hubs are corrected.
pub const HUB_CANDIDATES: usize = 100;

impl Retriever {
    /// Takes the [`Hubness`] of each hit off its score and orders the hits by the difference. The pairs that the model was
    /// calibrated with show which hits are hubs. Their relevance stays that of the first score.
    ///
    /// # Errors
    /// When the model is not calibrated, the query is not one text that searches images or one image that searches captions, or
    /// the index is damaged.
    pub fn correct_hubs(&self, query: &Query, options: &SearchOptions<'_>, found: &mut Found) -> Result<()> {
        let calibration = self.calibration().ok_or_else(|| {
            Error::unsupported("the correction of hubs", "a model that is not calibrated", "a calibrated model")
                .with_remedy(Remedy::Calibrate)
        })?;
        let target = options.target;
        let weight = match query.parts.as_slice() {
            [part] if matches!(part.content, Content::Text(_)) == (target == Modality::Image) => part.weight,
            parts => {
                let found = match parts {
                    [Part { content: Content::Text(_), .. }] => "a text that searches captions".to_owned(),
                    [_] => "an image that searches images".to_owned(),
                    parts => format!("{} parts", parts.len()),
                };
                let expected = "one text that searches images, or one image that searches captions";
                return Err(Error::invalid("the query to correct hubs for", found, expected));
            }
        };
        let ids: Vec<&str> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
        let mut rows = Vec::with_capacity(ids.len());
        for (id, row) in ids.iter().zip(self.index().embeddings(target, &ids)?) {
            rows.push(row.ok_or_else(|| Error::not_found(format!("hit {id}"), "no row", "one in the index"))?);
        }
        let space = self.encoder().space();
        let (dim, grounded) = (space.dims_abstract, space.dims_grounded > 0);
        let (none, hits) = (
            EmbeddingRows::new(dim, grounded),
            EmbeddingRows::of_joined(rows.iter().map(Vec::as_slice), dim, grounded),
        );
        let items = match target {
            Modality::Image => paired(&hits, &none),
            Modality::Text => paired(&none, &hits),
        };
        let [bank_images, bank_captions] = calibration.bank();
        let own = scoring(self.encoder().config());
        let scoring = Scoring { lambda: options.lambda.unwrap_or(own.lambda), ..own };
        let hubness = Hubness::of(&items, &paired(&bank_images, &bank_captions), scoring)?;
        let of_hits = match target {
            Modality::Image => hubness.images,
            Modality::Text => hubness.captions,
        };
        for (hit, hubness) in found.hits.iter_mut().zip(of_hits) {
            hit.score -= weight * hubness;
        }
        found.order_by_score();
        Ok(())
    }
}
