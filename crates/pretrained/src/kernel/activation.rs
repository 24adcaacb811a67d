//! [`Activation`]: the function between the two products of a feed-forward part.

use pulp::{Arch, Simd, WithSimd};

use super::math::{erf, sigmoid};

/// An activation, as a configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x · Φ(x), with the exact normal distribution: x/2 · (1 + erf(x/√2)).
    Gelu,
    /// x · σ(1.702 x).
    QuickGelu,
    /// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
    TanhGelu,
    /// max(0, x).
    Relu,
}

impl Activation {
    /// Replaces every value.
    pub(crate) fn apply(self, values: &mut [f32]) {
        Arch::new().dispatch(Job { activation: self, values });
    }
}

struct Job<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl WithSimd for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // √(2/π) doubled: tanh(z) = 2σ(2z) − 1, so x/2 · (1 + tanh(z)) = x · σ(2z).
        const TWICE_ROOT: f32 = 1.595_769;
        match self.activation {
            Activation::Gelu => {
                replace(
                    self.values,
                    #[inline(always)]
                    |x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
                );
            }
            Activation::QuickGelu => replace(
                self.values,
                #[inline(always)]
                |x| x * sigmoid(1.702 * x),
            ),
            Activation::TanhGelu => {
                replace(
                    self.values,
                    #[inline(always)]
                    |x| x * sigmoid(TWICE_ROOT * x * (0.044_715 * x).mul_add(x, 1.0)),
                );
            }
            Activation::Relu => replace(
                self.values,
                #[inline(always)]
                |x| x.max(0.0),
            ),
        }
    }
}

#[inline(always)]
fn replace(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}
