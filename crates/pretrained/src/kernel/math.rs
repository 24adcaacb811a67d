//! Elementary functions that vectorise.

/// e^x to about 1 ulp for |x| <= 87, clamped beyond; NaN stays NaN. The polynomial is Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer that then stands in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, coefficient);
    }
    let y = p.mul_add(r * r, r) + 1.0;
    y * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// Logistic function 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, to about 1 ulp: Norbert Juffa's two minimax polynomials, for small and large |x|.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let (size, square) = (x.abs(), x * x);
    let mut small = -5.967_617e-4_f32;
    for coefficient in [4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_25e-1, -3.761_253_4e-1, 1.283_791_7e-1] {
        small = small.mul_add(square, coefficient);
    }
    let small = small.mul_add(x, x);
    let mut large = (-1.728_534_7e-5_f32).mul_add(size, 3.831_971_3e-4);
    large = large.mul_add(square, (-3.883_964_4e-3_f32).mul_add(size, 2.425_462_2e-2));
    for coefficient in [-1.067_778_8e-1, -6.348_467e-1, -1.287_175_1e-1] {
        large = large.mul_add(size, coefficient);
    }
    let large = (1.0 - exp(large.mul_add(size, -size))).copysign(x);
    if size > 0.921_875 { large } else { small }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf in f64: its power series, which converges everywhere.
    fn precise_erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..400 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        2.0 / std::f64::consts::PI.sqrt() * sum
    }

    #[test]
    fn functions_agree_with_precise_ones() {
        assert!((precise_erf(0.5) - 0.520_499_877_813_046_5).abs() < 1e-15);
        for k in -400..=400 {
            let x = k as f32 * 0.01;
            let wide = f64::from(x);
            assert!((f64::from(exp(x)) / wide.exp() - 1.0).abs() < 3e-7, "exp({x})");
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 2e-7, "sigmoid({x})");
            assert!((f64::from(erf(x)) - precise_erf(wide)).abs() < 2e-7, "erf({x})");
        }
    }

    #[test]
    fn functions_saturate_and_keep_nan() {
        assert_eq!((sigmoid(1e9), erf(1e9), erf(-1e9)), (1.0, 1.0, -1.0));
        assert!(sigmoid(-1e9) < 1e-37);
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
    }
}
