//! [`Validation`]: what the validation split tells after an epoch.

use crate::evaluate::encode::paired;
use crate::model::EmbeddingRows;
use crate::train::metrics::NamedMetrics;
use gxn_base::Result;
use gxn_eval::Scoring;
use gxn_eval::metrics::{METRIC_KEYS, Metrics};

/// The result of a validation pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Validation {
    /// Recall, median and mean rank in both directions.
    pub metrics: Metrics,
    /// Sum of the six recalls, in percent.
    pub rsum: f64,
    /// 1 − mean cosine between two images' abstract embeddings.
    pub image_spread: f64,
    /// 1 − mean cosine between two captions' abstract embeddings.
    pub caption_spread: f64,
    /// How good generated captions and images are, where the stage has them; see [`caption_task`](super::caption_task) and
    /// [`image_task`](super::image_task).
    pub generated: NamedMetrics,
}

impl Validation {
    /// All numbers by name: the keys of result files, the spreads and what [`Validation::generated`] holds.
    pub fn by_name(&self) -> serde_json::Map<String, serde_json::Value> {
        let spreads = [("image_spread", self.image_spread), ("caption_spread", self.caption_spread)];
        METRIC_KEYS
            .into_iter()
            .zip(self.metrics.values())
            .chain(spreads)
            .chain(self.generated.iter())
            .map(|(k, v)| (k.to_string(), v.into()))
            .collect()
    }
}

/// Recall and spread of embedded images and captions.
///
/// # Errors
/// When an image has no caption.
pub fn validate(
    images: &EmbeddingRows,
    captions: &EmbeddingRows,
    caption_image: &[usize],
    scoring: Scoring,
) -> Result<Validation> {
    let metrics = paired(images, captions).metrics(caption_image, scoring)?;
    Ok(Validation {
        rsum: metrics.rsum(),
        metrics,
        image_spread: spread(&images.abstract_level, images.dim),
        caption_spread: spread(&captions.abstract_level, captions.dim),
        generated: NamedMetrics::default(),
    })
}

/// 1 − mean cosine between two different unit rows: 0 when all are the same.
fn spread(rows: &[f32], dim: usize) -> f64 {
    let count = rows.len() / dim.max(1);
    if count < 2 {
        return 1.0;
    }
    let mut sum = vec![0f64; dim];
    for row in rows.chunks_exact(dim) {
        for (s, &x) in sum.iter_mut().zip(row) {
            *s += f64::from(x);
        }
    }
    // ‖Σ x‖² = Σ‖x‖² + Σ_{i≠j} x_i·x_j, and rows have unit length.
    let square: f64 = sum.iter().map(|s| s * s).sum();
    1.0 - (square - count as f64) / (count as f64 * (count as f64 - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two equal rows have cosine 1, two orthogonal ones 0.
    #[test]
    fn spread_of_two_rows() {
        assert!(spread(&[1.0, 0.0, 1.0, 0.0], 2).abs() < 1e-12);
        assert!((spread(&[1.0, 0.0, 0.0, 1.0], 2) - 1.0).abs() < 1e-12);
    }
}
