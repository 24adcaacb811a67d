//! Hits without those that are near to everything in front.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::calibration::QueryScale;
use super::retriever::Retriever;
use gxn_base::Result;
use gxn_index::{Hit, Modality, QueryPart, SearchOptions};

/// Hits whose hubs are corrected together: those behind them stay behind them.
const BLOCK: usize = 100;

/// The hubness of rows that were hits: hubs are hits of many queries.
#[derive(Debug, Default)]
pub(super) struct KnownHubness {
    images: Mutex<HashMap<usize, f32>>,
    captions: Mutex<HashMap<usize, f32>>,
}

impl Retriever {
    /// The hits of a query of one part by their scores less their hubness, which comes with them, as `scale` tells it.
    pub(super) fn hits_without_hubs(
        &self,
        scale: &QueryScale<'_>,
        part: QueryPart<'_>,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<(Hit, Option<f32>)>> {
        let SearchOptions { offset, top, target, .. } = *options;
        let first = offset / BLOCK * BLOCK;
        let end = offset.saturating_add(top).div_ceil(BLOCK).saturating_mul(BLOCK);
        let hits = self.index().search(&[part], &SearchOptions { offset: first, top: end - first, ..*options })?;
        let hubness = self.hubness(scale, target, &hits)?;
        let corrected = |(mut hit, hubness): (Hit, Option<f32>)| {
            let hubness = part.weight * hubness?;
            hit.score -= hubness;
            Some((hit, Some(hubness)))
        };
        let mut found: Vec<(Hit, Option<f32>)> = hits.into_iter().zip(hubness).filter_map(corrected).collect();
        for block in found.chunks_mut(BLOCK) {
            block.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score));
        }
        Ok(found.into_iter().skip(offset - first).take(top).collect())
    }

    /// Hubness of hits, computed where it is not known; `None` of an item that a server has lost since.
    fn hubness(&self, scale: &QueryScale<'_>, target: Modality, hits: &[Hit]) -> Result<Vec<Option<f32>>> {
        let known = match target {
            Modality::Image => &self.known_hubness.images,
            Modality::Text => &self.known_hubness.captions,
        };
        let known = || known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_hits = || -> Vec<Option<f32>> {
            let known = known();
            hits.iter().map(|hit| known.get(&hit.row).copied()).collect()
        };
        let new: Vec<&Hit> =
            hits.iter().zip(of_hits()).filter(|(_, known)| known.is_none()).map(|(hit, _)| hit).collect();
        for new in new.chunks(BLOCK) {
            let ids: Vec<&str> = new.iter().map(|hit| hit.id.as_str()).collect();
            let (mut places, mut rows) = (Vec::new(), Vec::new());
            for (hit, row) in new.iter().zip(self.index().embeddings(target, &ids)?) {
                if let Some(row) = row {
                    places.push(hit.row);
                    rows.extend(row);
                }
            }
            known().extend(places.into_iter().zip(scale.hubness(&rows)));
        }
        Ok(of_hits())
    }
}
