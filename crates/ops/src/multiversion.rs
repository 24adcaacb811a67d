//! Run-time choice of the vector unit, and elementary functions that vectorise.

/// Defines a function whose body is compiled three times (AVX-512, AVX2 with FMA, baseline) and chosen at run time.
///
/// Slices must be plain parameters: only then does the compiler know that they do not overlap, and vectorises.
/// Inside the body `FMA` is a constant that says whether a fused multiply-add is one instruction.
///
/// Measured against crate pulp 0.22: a structure per function is as fast, but longer; a closure that the compiler does not
/// inline runs without FMA, and the cell of the GRU then takes 48 times as long.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the machine has every feature the function was compiled for.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the machine has every feature the function was compiled for.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(super) use vectorised;

/// `a * b + c`, fused where that is one instruction (elsewhere it would be a library call).
#[inline(always)]
pub(super) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// e^x to about 1 ulp for |x| <= 87, clamped beyond; NaN stays NaN. The polynomial is Cephes' `expf`.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer that then stands in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add::<FMA>(n, -0.693_359_4, x);
    let r = multiply_add::<FMA>(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = multiply_add::<FMA>(p, r, coefficient);
    }
    let y = multiply_add::<FMA>(p, r * r, r) + 1.0;
    y * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// Logistic function 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Hyperbolic tangent, to about 1e-7 absolute.
#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    2.0 * sigmoid::<FMA>(2.0 * x) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_agree_with_the_standard_library() {
        for k in -2000..=2000 {
            let x = k as f32 * 0.01;
            for (exp, sigmoid, tanh) in [
                (exp::<false>(x), sigmoid::<false>(x), tanh::<false>(x)),
                (exp::<true>(x), sigmoid::<true>(x), tanh::<true>(x)),
            ] {
                assert!((exp / x.exp() - 1.0).abs() < 3e-7, "exp({x})");
                assert!((f64::from(sigmoid) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs() < 2e-7, "sigmoid({x})");
                assert!((f64::from(tanh) - f64::from(x).tanh()).abs() < 3e-7, "tanh({x})");
            }
        }
    }

    #[test]
    fn activations_saturate_and_keep_nan() {
        assert_eq!(sigmoid::<true>(1e9), 1.0);
        assert!(sigmoid::<true>(-1e9) < 1e-37);
        assert_eq!(tanh::<true>(-1e9), -1.0);
        assert!(exp::<true>(f32::NAN).is_nan() && sigmoid::<false>(f32::NAN).is_nan());
    }
}
