//! P_v^h and P_v^l: a feature becomes v_h and v_l (paper Eq. 1, spec §3).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::Init;
use super::linear::LinearMap;
use super::phase::{Phase, Site};
use super::prior::Prior;
use super::unit_length::unit_length;
use crate::config::{FeatureTransform, Levels, LookConfig, MatchingConfig};

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
    /// Where the levels begin as the feature itself, a pretrained encoder's embedding.
    abstract_prior: Option<Prior>,
    grounded_prior: Option<Prior>,
    #[module(skip)]
    transform: FeatureTransform,
    #[module(skip)]
    feature_dropout: f64,
}

impl ImageEncoder {
    /// A new encoder for features of width `feature_dim`; standardising transforms start as mean 0, deviation 1.
    pub fn new(init: &Init, config: &LookConfig, matching: &MatchingConfig, feature_dim: usize) -> Self {
        let standardises = config.transform != FeatureTransform::L2;
        let both = matching.levels == Levels::Both;
        Self {
            feature_mean: standardises.then(|| init.fixed(vec![0.0; feature_dim], [feature_dim])),
            feature_scale: standardises.then(|| init.fixed(vec![1.0; feature_dim], [feature_dim])),
            abstract_map: LinearMap::new(init, "abstract_image_map", feature_dim, config.embed_dim),
            grounded_map: both.then(|| LinearMap::new(init, "grounded_image_map", feature_dim, config.embed_dim)),
            abstract_prior: matching.prior.then(|| Prior::new(init)),
            grounded_prior: (matching.prior && both).then(|| Prior::new(init)),
            transform: config.transform,
            feature_dropout: config.feature_dropout,
        }
    }

    /// Whether [`ImageEncoder::fit`] has something to do.
    pub fn standardises(&self) -> bool {
        self.transform != FeatureTransform::L2
    }

    /// Takes mean and deviation of the train features (each item any number of rows `[·, F]`, row-major); does nothing
    /// for [`FeatureTransform::L2`] and for no features.
    pub fn fit(&mut self, features: impl IntoIterator<Item = Vec<f32>>, feature_dim: usize, init: &Init) {
        if !self.standardises() {
            return;
        }
        let mut rows = 0usize;
        let (mut sum, mut squares) = (vec![0f64; feature_dim], vec![0f64; feature_dim]);
        for values in features {
            for row in values.chunks_exact(feature_dim) {
                rows += 1;
                for ((s, q), &x) in sum.iter_mut().zip(&mut squares).zip(row) {
                    let x = if self.transform == FeatureTransform::SqrtStandardise { x.max(0.0).sqrt() } else { x };
                    *s += f64::from(x);
                    *q += f64::from(x) * f64::from(x);
                }
            }
        }
        if rows == 0 {
            return;
        }
        let count = rows as f64;
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
            // The slope of √ at 0 is infinite: where the CNN is trained, a 0 after its ReLU would make every gradient NaN.
            FeatureTransform::SqrtStandardise => feature.clamp_min(f32::MIN_POSITIVE).sqrt(),
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
        let x = self.read(feature.clone(), phase);
        let v_l = self.grounded_map.as_ref().map(|map| map.forward(x.clone()));
        let v_h = self.abstract_map.forward(x);
        (moved(self.abstract_prior.as_ref(), &feature, v_h), v_l.map(|v_l| self.grounded(&feature, v_l)))
    }

    /// v_l alone, before normalisation; none where the model has one level.
    ///
    /// # Shapes
    /// `[B, F]` → `[B, D]`
    pub fn ground(&self, feature: Tensor<2>, phase: Phase) -> Option<Tensor<2>> {
        let v_l = self.grounded_map.as_ref().map(|map| map.forward(self.read(feature.clone(), phase)))?;
        Some(self.grounded(&feature, v_l))
    }

    fn grounded(&self, feature: &Tensor<2>, learned: Tensor<2>) -> Tensor<2> {
        moved(self.grounded_prior.as_ref(), feature, learned)
    }

    fn read(&self, feature: Tensor<2>, phase: Phase) -> Tensor<2> {
        phase.dropout(self.transformed(feature), self.feature_dropout, Site::Feature)
    }
}

/// What a level is made of: what it learned, on top of the prior where there is one.
fn moved(prior: Option<&Prior>, feature: &Tensor<2>, learned: Tensor<2>) -> Tensor<2> {
    match prior {
        Some(prior) => prior.moved(unit_length(feature.clone()), learned),
        None => learned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn encoder(transform: FeatureTransform, device: &Device) -> ImageEncoder {
        let config = LookConfig { transform, embed_dim: 3, ..LookConfig::default() };
        ImageEncoder::new(&Init::new(1, device), &config, &MatchingConfig::default(), 2)
    }

    fn transformed(encoder: &ImageEncoder, rows: [[f32; 2]; 2]) -> Vec<f32> {
        encoder.transformed(Tensor::from_data(rows, &Device::flex())).into_data().iter().collect()
    }

    /// Column 0: √ gives 1 and 3, mean 2, deviation 1, so ∓1 / (1 + 0.001). Column 1 is constant: 0.
    #[test]
    fn standardising_by_worked_numbers() {
        let init = Init::new(1, &Device::flex());
        for (transform, rows) in [
            (FeatureTransform::SqrtStandardise, [[1.0, 4.0], [9.0, 4.0]]),
            (FeatureTransform::Standardise, [[1.0, 2.0], [3.0, 2.0]]),
        ] {
            let mut encoder = encoder(transform, &Device::flex());
            assert_eq!(transformed(&encoder, rows)[3], 2.0, "mean 0 and deviation 1 before the fit");
            encoder.fit(rows.map(|row| row.to_vec()), 2, &init);
            let values = transformed(&encoder, rows);
            for (value, expected) in values.iter().zip([-1.0 / 1.001, 0.0, 1.0 / 1.001, 0.0]) {
                assert!((value - expected).abs() < 1e-5, "{transform:?}: {values:?}");
            }
        }
        // (3, 4) / 5, and nothing is fitted.
        let mut unit = encoder(FeatureTransform::L2, &Device::flex());
        unit.fit([vec![7.0, 7.0]], 2, &init);
        let values = transformed(&unit, [[3.0, 4.0], [0.0, 0.0]]);
        for (value, expected) in values.iter().zip([0.6, 0.8, 0.0, 0.0]) {
            assert!((value - expected).abs() < 1e-6, "{values:?}");
        }
    }

    /// A CNN that is trained has exact zeros after its ReLU.
    #[test]
    fn the_square_root_of_zero_has_a_gradient() {
        let device = Device::flex().autodiff();
        let encoder = encoder(FeatureTransform::SqrtStandardise, &device);
        let feature = Tensor::<2>::from_data(TensorData::from([[0.0f32, 4.0]]), &device).require_grad();
        let gradients = encoder.transformed(feature.clone()).sum().backward();
        let slope: Vec<f32> = feature.grad(&gradients).expect("it has one").into_data().iter().collect();
        assert_eq!(slope, [0.0, 0.25]);
    }
}
