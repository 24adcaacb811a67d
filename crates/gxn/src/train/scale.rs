//! [`fitted_scale`]: the first temperature of a network that begins with an encoder's scores.

use burn::tensor::{Device, Tensor, TensorData};

use super::sampler::epoch_batches;
use super::training_data::TrainingData;
use crate::config::RunConfig;
use crate::look::{Phase, TokenBatch};
use crate::matching::{combined_scores, info_nce_loss};
use crate::model::Gxn;
use gxn_base::Result;

/// Batches that it is fitted on, at most.
const BATCHES: usize = 4;
/// Tried are 1, √2, 2, … up to the largest that training allows.
const TRIED: i32 = 14;

/// The 1 / temperature of least softmax loss on the first train pairs: the cosines of an encoder may lie close together, and a
/// loss that sees no difference between them would first spread what is right already.
///
/// # Errors
/// When an image can no longer be read.
pub(super) fn fitted_scale(model: &Gxn, data: &TrainingData, config: &RunConfig, device: &Device) -> Result<f32> {
    let (t, matching) = (&config.train, &config.matching);
    let sizes = [t.batch_size, t.captions_per_image];
    let scales: Vec<f32> = (0..TRIED).map(|half| 2f32.powf(0.5 * half as f32)).collect();
    let mut losses = vec![0.0; scales.len()];
    for batch in epoch_batches(&data.train_captions, &data.caption_image, sizes, t.seed, 0).iter().take(BATCHES) {
        let features = data.features.mean_features(model, &batch.images)?;
        let shape = [batch.images.len(), features.len() / batch.images.len().max(1)];
        let images = model.encode_image(Tensor::from_data(TensorData::new(features, shape), device), Phase::Evaluate);
        let captions = TokenBatch::new(&data.step_captions(&batch.captions, 0.0, 0))
            .with_features(data.text_features_of(&batch.captions));
        let captions = model.encode_text(&captions, Phase::Evaluate);
        let scores = combined_scores(&images, &captions, matching.similarity, matching.effective_lambda());
        let pairs = data.pairs(batch, matching.mask_equal_captions);
        for (loss, &scale) in losses.iter_mut().zip(&scales) {
            let scale = Tensor::from_data([scale], device);
            *loss += info_nce_loss(scores.clone(), &pairs, scale).into_scalar::<f32>();
        }
    }
    let best = losses.iter().zip(&scales).min_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(best.map_or(1.0, |(_, &scale)| scale))
}
