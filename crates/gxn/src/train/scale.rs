//! [`fitted_scale`]: the temperature that fits given scores.

use burn::tensor::{Device, Tensor};

use super::sampler::{Batch, epoch_batches};
use super::training_data::TrainingData;
use crate::config::RunConfig;
use crate::matching::info_nce_loss;
use gxn_base::Result;

/// Batches that it is fitted on, at most.
const BATCHES: usize = 4;
/// Tried are 1, √2, 2, … up to the largest that training allows.
const TRIED: i32 = 14;

/// The 1 / temperature of least softmax loss on the first train pairs, whose scores `scores` gives, `[B, C]`. The cosines of an
/// encoder may lie close together: a loss that sees no difference between them would first spread what is right already, and
/// their softmax would say nothing.
///
/// # Errors
/// As `scores`.
pub(super) fn fitted_scale(
    data: &TrainingData,
    config: &RunConfig,
    device: &Device,
    scores: impl Fn(&Batch) -> Result<Tensor<2>>,
) -> Result<f32> {
    let t = &config.train;
    let sizes = [t.batch_size, t.captions_per_image];
    let scales: Vec<f32> = (0..TRIED).map(|half| 2f32.powf(0.5 * half as f32)).collect();
    let mut losses = vec![0.0; scales.len()];
    for batch in epoch_batches(&data.train_captions, &data.caption_image, sizes, t.seed, 0).iter().take(BATCHES) {
        let scores = scores(batch)?;
        let pairs = data.pairs(batch, config.matching.mask_equal_captions);
        for (loss, &scale) in losses.iter_mut().zip(&scales) {
            let scale = Tensor::from_data([scale], device);
            *loss += info_nce_loss(scores.clone(), &pairs, scale).into_scalar::<f32>();
        }
    }
    let best = losses.iter().zip(&scales).min_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(best.map_or(1.0, |(_, &scale)| scale))
}
