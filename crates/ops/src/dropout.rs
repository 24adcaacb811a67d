//! Dropout whose mask is a pure function of a seed: training can be resumed bit by bit.

use super::multiversion::vectorised;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// Values of one task.
const CHUNK: usize = 1 << 14;

/// Inverted dropout: each element is zero with probability `p` and divided by 1 − p otherwise.
///
/// Whether an element is dropped depends only on `seed` and its place, not on threads, devices or earlier calls; so
/// a seed made from (run, step, layer) makes training repeatable. `p` = 0 returns `x` itself.
///
/// # Shapes
/// Any → the same.
///
/// # Panics
/// Unless 0 <= p < 1.
pub fn dropout<const D: usize>(x: Tensor<D>, p: f64, seed: u64) -> Tensor<D> {
    assert!((0.0..1.0).contains(&p), "dropout: found p = {p}, expected 0 <= p < 1");
    if p == 0.0 {
        return x;
    }
    let shape = x.dims();
    let mask = TensorData::new(mask(shape.iter().product(), p, seed), shape);
    let mask = Tensor::from_data(mask, (&x.device(), x.dtype()));
    x * mask
}

/// The factors of [`dropout`]: 0 or 1 / (1 − p).
fn mask(count: usize, p: f64, seed: u64) -> Vec<f32> {
    let threshold = (p * (1u64 << 32) as f64).round() as u64;
    let keep = (1.0 / (1.0 - p)) as f32;
    // Hashed first, so that neighbouring seeds do not give shifted copies of one sequence.
    let start = hash(seed ^ 0x6a09_e667_f3bc_c908);
    let mut mask = vec![0.0; count];
    mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, mask)| {
        fill(mask, start.wrapping_add((chunk * CHUNK) as u64 * STRIDE), threshold, keep);
    });
    mask
}

/// SplitMix64 (Steele, Lea, Flood 2014): element k is `hash(start + k · STRIDE)`.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn hash(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

vectorised! {
    fn fill(mask: &mut [f32], start: u64, threshold: u64, keep: f32) {
        for (k, mask) in mask.iter_mut().enumerate() {
            let random = hash(start.wrapping_add((k as u64).wrapping_mul(STRIDE))) >> 32;
            *mask = if random < threshold { 0.0 } else { keep };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::values;
    use burn::tensor::Device;

    #[test]
    fn drops_the_asked_share_and_keeps_the_mean() {
        for p in [0.1, 0.5, 0.8] {
            let out = values(dropout(Tensor::<2>::ones([500, 200], &Device::flex()), p, 42));
            let dropped = out.iter().filter(|&&value| value == 0.0).count() as f64 / out.len() as f64;
            assert!((dropped - p).abs() < 0.006, "p {p}: {dropped}"); // about four standard deviations at p = 0.5
            let kept = (1.0 / (1.0 - p)) as f32;
            assert!(out.iter().all(|&value| value == 0.0 || value == kept));
        }
    }

    #[test]
    fn a_pure_function_of_seed_and_place() {
        let x = Tensor::<1>::ones([100_000], &Device::flex());
        let out = values(dropout(x.clone(), 0.3, 7));
        assert_eq!(out, values(dropout(x.clone(), 0.3, 7)));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(out, pool.install(|| values(dropout(x.clone(), 0.3, 7))));
        // The beginning does not depend on how much follows.
        assert_eq!(out[..1000], values(dropout(Tensor::<1>::ones([1000], &Device::flex()), 0.3, 7)));
        // Neighbouring seeds agree as often as independent masks do: 0.3² + 0.7² = 0.58.
        for seed in [6, 8, 1 << 40] {
            let other = values(dropout(x.clone(), 0.3, seed));
            let agree = out.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / 1e5;
            assert!((agree - 0.58).abs() < 0.01, "seed {seed}: {agree}");
        }
    }

    #[test]
    fn zero_is_the_identity_and_gradients_use_the_mask() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::ones([64], &device).require_grad();
        assert_eq!(values(dropout(x.clone(), 0.0, 1)), vec![1.0; 64]);
        let out = dropout(x.clone(), 0.5, 1);
        let grads = out.clone().sum().backward();
        assert_eq!(values(x.grad(&grads).unwrap()), values(out));
    }

    #[test]
    #[should_panic(expected = "found p = 1, expected 0 <= p < 1")]
    fn refuses_to_drop_everything() {
        let _ = dropout(Tensor::<1>::ones([2], &Device::flex()), 1.0, 0);
    }
}
