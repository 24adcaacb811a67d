//! P_v^h and P_v^l: a CNN feature becomes v_h and v_l (paper Eq. 1, spec §3).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::Init;
use super::linear::LinearMap;
use super::phase::{Phase, Site};
use crate::config::{FeatureTransform, Level, LookConfig};

/// Features whose standard deviation over the train images is smaller count as constant.
const LEAST_DEVIATION: f32 = 1e-3;

/// The two linear maps on one feature, and what is done to the feature before them.
#[derive(Module, Debug)]
pub struct ImageEncoder {
    /// Mean of the (square-rooted) feature over the train images, `[F]`; not trained.
    feature_mean: Option<Param<Tensor<1>>>,
    /// 1 / standard deviation, `[F]`; not trained.
    feature_scale: Option<Param<Tensor<1>>>,
    abstract_map: LinearMap,
    grounded_map: Option<LinearMap>,
    #[module(skip)]
    transform: FeatureTransform,
    #[module(skip)]
    feature_dropout: f64,
}

impl ImageEncoder {
    /// A new encoder for features of width `feature_dim`; standardising transforms start as mean 0, deviation 1.
    pub fn new(init: &Init, config: &LookConfig, levels: Level, feature_dim: usize) -> Self {
        let standardises = config.transform != FeatureTransform::L2;
        Self {
            feature_mean: standardises.then(|| init.fixed(vec![0.0; feature_dim], [feature_dim])),
            feature_scale: standardises.then(|| init.fixed(vec![1.0; feature_dim], [feature_dim])),
            abstract_map: LinearMap::new(init, "abstract_image_map", feature_dim, config.embed_dim),
            grounded_map: (levels == Level::Both)
                .then(|| LinearMap::new(init, "grounded_image_map", feature_dim, config.embed_dim)),
            transform: config.transform,
            feature_dropout: config.feature_dropout,
        }
    }

    /// Takes mean and deviation of the train features (`[N, F]`, row-major); does nothing for [`FeatureTransform::L2`].
    pub fn fit(&mut self, features: &[f32], feature_dim: usize, init: &Init) {
        if self.transform == FeatureTransform::L2 || features.is_empty() {
            return;
        }
        let count = (features.len() / feature_dim) as f64;
        let (mut sum, mut squares) = (vec![0f64; feature_dim], vec![0f64; feature_dim]);
        for row in features.chunks_exact(feature_dim) {
            for ((s, q), &x) in sum.iter_mut().zip(&mut squares).zip(row) {
                let x = if self.transform == FeatureTransform::SqrtStandardise { x.max(0.0).sqrt() } else { x };
                *s += f64::from(x);
                *q += f64::from(x) * f64::from(x);
            }
        }
        let mean: Vec<f32> = sum.iter().map(|s| (s / count) as f32).collect();
        let scale = squares
            .iter()
            .zip(&sum)
            .map(|(q, s)| 1.0 / ((q / count - (s / count).powi(2)).max(0.0).sqrt() as f32 + LEAST_DEVIATION))
            .collect();
        self.feature_mean = Some(init.fixed(mean, [feature_dim]));
        self.feature_scale = Some(init.fixed(scale, [feature_dim]));
    }

    /// Width of the joint space, `D`.
    pub fn embed_dim(&self) -> usize {
        self.abstract_map.width_out()
    }

    /// Whether there is a grounded level.
    pub fn has_grounded_level(&self) -> bool {
        self.grounded_map.is_some()
    }

    fn transformed(&self, feature: Tensor<2>) -> Tensor<2> {
        let feature = match self.transform {
            FeatureTransform::L2 => return unit_length(feature),
            FeatureTransform::Standardise => feature,
            FeatureTransform::SqrtStandardise => feature.clamp_min(0.0).sqrt(),
        };
        match (&self.feature_mean, &self.feature_scale) {
            (Some(mean), Some(scale)) => (feature - mean.val().unsqueeze()) * scale.val().unsqueeze(),
            _ => feature,
        }
    }

    /// (v_h, v_l) before normalisation; v_l only where the model has two levels.
    ///
    /// # Shapes
    /// `[B, F]` → `[B, D]`, `[B, D]`
    pub fn forward(&self, feature: Tensor<2>, phase: Phase) -> (Tensor<2>, Option<Tensor<2>>) {
        let x = phase.dropout(self.transformed(feature), self.feature_dropout, Site::Feature);
        let v_l = self.grounded_map.as_ref().map(|map| map.forward(x.clone()));
        (self.abstract_map.forward(x), v_l)
    }
}

/// `x / ‖x‖₂` of each row; a zero row stays zero.
///
/// # Shapes
/// `[B, D]` → `[B, D]`
pub fn unit_length(x: Tensor<2>) -> Tensor<2> {
    let squares = x.clone().square().sum_dim(1);
    x / squares.add_scalar(1e-12).sqrt()
}
