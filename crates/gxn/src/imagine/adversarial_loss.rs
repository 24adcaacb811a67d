//! The losses of discriminator and generator on logits (paper Eq. 11 and 12, spec §8.1).
//!
//! Eq. 8 is the game that they play: min over G, max over D of L_D + L_G. Eq. 9 and 10 are Eq. 11 and 12 without the
//! conditioning augmentation and its Kullback–Leibler term: β_s = 0.

use burn::tensor::Tensor;
use burn::tensor::activation::softplus;

use crate::config::ImageConfig;

/// −ln D: the cross-entropy of calling everything real, mean over the batch.
fn called_real(logits: Tensor<1>) -> Tensor<1> {
    softplus(-logits, 1.0).mean()
}

/// −ln(1 − D): the cross-entropy of calling everything false, mean over the batch.
fn called_false(logits: Tensor<1>) -> Tensor<1> {
    softplus(logits, 1.0).mean()
}

/// −L_D of Eq. 11: −ln D(i, t) − β_f ln(1 − D(î, t)) − β_w ln(1 − D(i, t')).
///
/// # Shapes
/// logits `[B]` of real images, generated ones, and real ones with another image's sentence → `[1]`
pub fn discriminator_loss(real: Tensor<1>, fake: Tensor<1>, wrong: Tensor<1>, config: &ImageConfig) -> Tensor<1> {
    called_real(real) + called_false(fake) * config.beta_fake + called_false(wrong) * config.beta_wrong
}

/// L_G of Eq. 12 on the logits of generated images: −ln D, or ln(1 − D) as it is written, plus β_s times the divergence.
///
/// # Shapes
/// `[B]`, `[1]` → `[1]`
pub fn generator_loss(fake: Tensor<1>, divergence: Tensor<1>, config: &ImageConfig) -> Tensor<1> {
    let adversarial = if config.saturating { -called_false(fake) } else { called_real(fake) };
    adversarial + divergence * config.beta_kl
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn logits(values: [f32; 2]) -> Tensor<1> {
        Tensor::from_data(values, &Device::flex())
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    /// Spec §13.6: 2 ln 2 for logits 0 everywhere.
    #[test]
    fn worked_losses() {
        let config = ImageConfig::default();
        let zero = || logits([0.0, 0.0]);
        assert!((value(discriminator_loss(zero(), zero(), zero(), &config)) - 2.0 * 2f32.ln()).abs() < 1e-6);
        let divergence = || Tensor::<1>::from_data([0.25], &Device::flex());
        assert!((value(generator_loss(zero(), divergence(), &config)) - 2f32.ln() - 0.5).abs() < 1e-6);
        let literal = ImageConfig { saturating: true, ..config };
        assert!((value(generator_loss(zero(), divergence(), &literal)) + 2f32.ln() - 0.5).abs() < 1e-6);
    }

    /// D = σ(ln 3) = 3/4 for the real ones: −ln(3/4); D = 1/4 for the others: −ln(3/4) each.
    #[test]
    fn a_good_discriminator_pays_little_and_large_logits_stay_finite() {
        let config = ImageConfig::default();
        let (real, fake) = (logits([3f32.ln(); 2]), logits([-(3f32.ln()); 2]));
        let loss = value(discriminator_loss(real, fake.clone(), fake, &config));
        assert!((loss + 2.0 * 0.75f32.ln()).abs() < 1e-6, "{loss}");
        let extreme = value(discriminator_loss(logits([-200.0; 2]), logits([200.0; 2]), logits([0.0; 2]), &config));
        assert!((extreme - 200.0 - 100.0 - 0.5 * 2f32.ln()).abs() < 1e-2, "{extreme}");
    }
}
