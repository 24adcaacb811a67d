//! [`RunMeter`]: a finished run's results on a split: by both levels, by each alone, and under every λ.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use burn::tensor::Device;

use crate::encoder::Encoder;
use crate::evaluate::{DatasetFeatures, EncodedDataset, Measurement, lambda_sweep};
use crate::train::training_data::open_configured;
use gxn_base::{Progress, Result};
use gxn_data::Split;
use gxn_eval::{LevelRecall, Scoring, VariantResult};

/// Measures runs. Runs that share a CNN or image encoder share its features of a split.
#[derive(Debug, Default)]
pub struct RunMeter(HashMap<(String, Split), DatasetFeatures>);

impl RunMeter {
    /// The results of the best checkpoint of `run` on `split` of the data that it was trained on, computed on `device`.
    ///
    /// # Errors
    /// When the run or its data cannot be read, or `progress` is cancelled.
    pub fn measure(
        &mut self,
        run: &Path,
        split: Split,
        device: &Device,
        progress: &dyn Progress,
    ) -> Result<VariantResult> {
        let encoder = Encoder::load_on(run, device)?.with_feature_cache()?;
        let dataset = open_configured(&encoder.config().data)?;
        let network = encoder.trained()?.feature_fingerprint()?;
        let mut encoded = |split| -> Result<EncodedDataset> {
            let features = match self.0.entry((network.clone(), split)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(DatasetFeatures::extract(&encoder, &dataset, Some(split), progress)?)
                }
            };
            features.encode(&encoder, &dataset, None)
        };
        let measurement = Measurement::new(&encoder, run, &dataset, split);
        let measured = encoded(split)?;
        let report = measurement.report(&measured)?;
        let level_scores = if encoder.has_grounded_level() {
            let other = if split == Split::Val { None } else { Some(encoded(Split::Val)?) };
            Some(level_scores(&measured, other.as_ref().unwrap_or(&measured), measurement.scoring)?)
        } else {
            None
        };
        let card = encoder.trained()?.card();
        // The first stage's steps are no part of the budget.
        let before: u64 = card.ancestry.iter().skip(1).map(|ancestor| ancestor.match_steps).sum();
        let own_steps = if card.ancestry.is_empty() { 0 } else { card.match_steps.unwrap_or(card.step) };
        Ok(VariantResult { report, level_scores, match_steps: before + own_steps })
    }
}

/// R@1 by each level alone, and the λ of highest rsum on `val`.
fn level_scores(measured: &EncodedDataset, val: &EncodedDataset, own: Scoring) -> Result<LevelRecall> {
    let r1 = |lambda: f32| -> Result<[f64; 2]> {
        let metrics = measured.metrics(Scoring { lambda, ..own })?;
        Ok([metrics.image_to_text.r1, metrics.text_to_image.r1])
    };
    let best_lambda = lambda_sweep(val, own)?.best().map_or(0.0, |(lambda, _)| *lambda);
    Ok(LevelRecall { abstract_r1: r1(1.0)?, grounded_r1: r1(0.0)?, best_lambda })
}
