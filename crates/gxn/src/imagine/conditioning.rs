//! Conditioning augmentation (paper Eq. 12, spec §8.2): t_l becomes a draw from a normal distribution around it.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::config::ImageConfig;
use crate::look::Init;
use crate::look::linear::LinearMap;

/// φ: t_l → μ and ln σ².
#[derive(Module, Debug)]
pub struct Conditioning {
    /// `[D, 2C]`: μ, then ln σ². Begins as the other linear maps do (Xavier), not as StackGAN's N(0, 0.02) of spec §8.4.
    map: LinearMap,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    rectified: bool,
}

/// The distribution of the condition, `[B, C]` each.
#[derive(Debug, Clone)]
pub struct ConditionDistribution {
    /// μ.
    pub mean: Tensor<2>,
    /// ln σ².
    pub log_variance: Tensor<2>,
}

impl Conditioning {
    /// A new map from t_l of width `embed_dim`.
    pub fn new(init: &Init, config: &ImageConfig, embed_dim: usize) -> Self {
        Self {
            map: LinearMap::new(init, "picture_condition_map", embed_dim, 2 * config.condition_dim),
            scale: config.scale(embed_dim),
            rectified: config.condition_relu,
        }
    }

    /// The distribution that belongs to t_l.
    ///
    /// # Shapes
    /// `[B, D]` → `[B, C]` each
    pub fn forward(&self, t_l: Tensor<2>) -> ConditionDistribution {
        let both = self.map.forward(t_l * self.scale);
        let both = if self.rectified { relu(both) } else { both };
        let [batch, width] = both.dims();
        let half = |from: usize| both.clone().slice([0..batch, from..from + width / 2]);
        ConditionDistribution { mean: half(0), log_variance: half(width / 2) }
    }
}

impl ConditionDistribution {
    /// t_c = μ + σ ε.
    ///
    /// # Shapes
    /// `noise` ε `[B, C]` → `[B, C]`
    pub fn draw(&self, noise: Tensor<2>) -> Tensor<2> {
        self.mean.clone() + (self.log_variance.clone() * 0.5).exp() * noise
    }

    /// D_KL(N(μ, σ) ‖ N(0, 1)), mean over batch and dimensions: −½ mean(1 + ln σ² − μ² − σ²) (spec §8.1).
    ///
    /// # Shapes
    /// → `[1]`
    pub fn divergence(&self) -> Tensor<1> {
        let variance = self.log_variance.clone().exp();
        (self.log_variance.clone() + 1.0 - self.mean.clone().square() - variance).mean() * -0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn condition(mean: f32, log_variance: f32) -> ConditionDistribution {
        let full = |value| Tensor::<2>::full([2, 3], value, &Device::flex());
        ConditionDistribution { mean: full(mean), log_variance: full(log_variance) }
    }

    /// Spec §13.6: 0 for μ = 0, σ = 1. For μ = 2, σ² = e: −½ (1 + 1 − 4 − e) = ½ (2 + e).
    #[test]
    fn worked_divergence() {
        let value = |c: ConditionDistribution| c.divergence().into_scalar::<f32>();
        assert_eq!(value(condition(0.0, 0.0)), 0.0);
        assert!((value(condition(2.0, 1.0)) - 0.5 * (2.0 + 1f32.exp())).abs() < 1e-5);
    }

    #[test]
    fn a_draw_is_the_mean_plus_deviations() {
        let noise = Tensor::<2>::full([2, 3], 2.0, &Device::flex());
        let drawn: Vec<f32> = condition(1.0, 9f32.ln()).draw(noise).into_data().iter().collect();
        assert!(drawn.iter().all(|&x| (x - 7.0).abs() < 1e-5), "{drawn:?}");
    }
}
