//! The caption losses (paper Eq. 4 to 7, spec §7.2 to 7.4) on the log-probabilities of words.

use burn::tensor::{Tensor, TensorData};

use crate::config::{CaptionConfig, Stage};

/// Cross-entropy, Eq. 4: −mean over words of ln p.
///
/// # Shapes
/// `[N]` → `[1]`
pub fn cross_entropy(log_probabilities: Tensor<1>) -> Tensor<1> {
    -log_probabilities.mean()
}

/// Self-critical loss, Eq. 5, whose gradient is Eq. 6: −mean over words of a · ln p, where a = r(c̃) − r(c̄) is the
/// advantage of the sampled caption that the word belongs to, and constant.
///
/// # Shapes
/// `[N]`, one advantage for each caption and its number of words → `[1]`
///
/// # Panics
/// If the lengths do not add up to `N`.
pub fn self_critical(log_probabilities: Tensor<1>, advantages: &[f64], lengths: &[usize]) -> Tensor<1> {
    let weights = advantages.iter().zip(lengths).flat_map(|(&a, &n)| std::iter::repeat_n(a as f32, n));
    let weights: Vec<f32> = weights.collect();
    let count = weights.len();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [count]), &log_probabilities.device());
    -(log_probabilities * weights).mean()
}

/// Eq. 7: (1 − γ) L_xe + γ L_rl.
pub fn mixed(cross_entropy: Tensor<1>, self_critical: Tensor<1>, gamma: f64) -> Tensor<1> {
    cross_entropy * (1.0 - gamma) + self_critical * gamma
}

/// γ in epoch `epoch` (from 0) of a stage of `epochs`: linear from `gamma_from` to `gamma_to`.
pub fn gamma(config: &CaptionConfig, epoch: usize, epochs: usize) -> f64 {
    config.gamma_from + (config.gamma_to - config.gamma_from) * progress(epoch, epochs)
}

/// Share of input words that are the model's own in epoch `epoch` (from 0) of a stage of `epochs`.
pub fn sampling(config: &CaptionConfig, stage: Stage, epoch: usize, epochs: usize) -> f64 {
    match stage {
        Stage::I2tXe => config.sampling * progress(epoch, epochs),
        _ => config.sampling,
    }
}

/// 0 in the first epoch, 1 in the last; 1 where there is one epoch only.
fn progress(epoch: usize, epochs: usize) -> f64 {
    if epochs <= 1 { 1.0 } else { (epoch as f64 / (epochs - 1) as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn leaf(values: &[f32]) -> Tensor<1> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::<1>::from_data(data, &Device::flex().autodiff()).require_grad()
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    /// Two captions of one and two words with advantages 2 and −1: −(2·(−1) − (−2) − (−3)) / 3 = −1.
    #[test]
    fn worked_losses() {
        let log_p = leaf(&[-1.0, -2.0, -3.0]);
        assert_eq!(value(cross_entropy(log_p.clone())), 2.0);
        assert_eq!(value(self_critical(log_p, &[2.0, -1.0], &[1, 2])), -1.0);
    }

    /// Spec §13.4.
    #[test]
    fn mixed_is_either_loss_at_the_ends() {
        let (a, b) = (leaf(&[-1.0, -4.0]), leaf(&[-2.0, -3.0]));
        let losses = || (cross_entropy(a.clone()), self_critical(b.clone(), &[0.5], &[2]));
        for (gamma, expected) in [(0.0, value(losses().0)), (1.0, value(losses().1))] {
            let (xe, rl) = losses();
            assert_eq!(value(mixed(xe, rl, gamma)), expected);
        }
    }

    /// Spec §13.4: where the sampled caption is the greedy one the advantage is 0, and so is the gradient.
    #[test]
    fn no_advantage_no_gradient() {
        let log_p = leaf(&[-1.0, -2.0]);
        let grads = self_critical(log_p.clone(), &[0.0], &[2]).backward();
        let grad: Vec<f32> = log_p.grad(&grads).unwrap().into_data().iter().collect();
        assert!(grad.iter().all(|&g| g == 0.0), "{grad:?}");
    }

    #[test]
    fn gamma_and_sampling_follow_the_stage() {
        let config = CaptionConfig::default();
        assert_eq!([0, 2, 4].map(|epoch| (gamma(&config, epoch, 5) * 100.0).round()), [5.0, 50.0, 95.0]);
        assert_eq!(gamma(&config, 0, 1), 0.95);
        assert_eq!([0, 1, 2].map(|epoch| sampling(&config, Stage::I2tXe, epoch, 3)), [0.0, 0.125, 0.25]);
        assert_eq!(sampling(&config, Stage::I2tMix, 0, 3), 0.25);
    }
}
