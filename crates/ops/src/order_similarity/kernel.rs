//! Sums over pairs of rows without ever storing the `[rows, rows, D]` differences.

use crate::multiversion::{multiply_add, vectorised};
use rayon::prelude::*;

/// Rows and columns of the score that one call works on at once; their sums stay in registers.
const TILE: usize = 4;
/// Independent partial sums of one pair.
const LANES: usize = 16;

/// −‖max(0, upper_i − lower_j)‖² for all pairs, `[N, M]`; `upper` is `[N, D]`, `lower` `[M, D]`.
pub(super) fn scores(upper: &[f32], lower: &[f32], width: usize) -> Vec<f32> {
    let columns = lower.len() / width;
    let mut out = vec![0.0; upper.len() / width * columns];
    out.par_chunks_mut(TILE * columns).zip(upper.par_chunks(TILE * width)).for_each(|(out, upper)| {
        tile_scores(out, upper, lower, width);
    });
    out
}

/// Row i of the result is −2 Σ_j grad_ij max(0, upper_i − lower_j): the gradient of [`scores`] for `upper`.
///
/// `grad` is `[N, M]`.
pub(super) fn upper_gradient(upper: &[f32], lower: &[f32], grad: &[f32], width: usize) -> Vec<f32> {
    let columns = lower.len() / width;
    let mut out = vec![0.0; upper.len()];
    out.par_chunks_mut(width).zip(upper.par_chunks(width)).zip(grad.par_chunks(columns)).for_each(
        |((out, own), grad)| {
            for (others, grad) in lower.chunks(TILE * width).zip(grad.chunks(TILE)) {
                let mut weights = [0.0; TILE];
                weights.iter_mut().zip(grad).for_each(|(weight, grad)| *weight = -2.0 * grad);
                match others.len() / width {
                    TILE => add_violations(out, own, others, &weights),
                    _ => others
                        .chunks(width)
                        .zip(weights)
                        .for_each(|(other, weight)| add_violation(out, own, other, weight)),
                }
            }
        },
    );
    out
}

/// Row j of the result is 2 Σ_i grad_ij max(0, upper_i − lower_j): the gradient of [`scores`] for `lower`.
///
/// `transposed_grad` is `[M, N]`. As max(0, u − l) is the violation of −l over −u, this is [`upper_gradient`] with
/// the signs and the sides exchanged.
pub(super) fn lower_gradient(upper: &[f32], lower: &[f32], transposed_grad: &[f32], width: usize) -> Vec<f32> {
    let negated = |values: &[f32]| values.iter().map(|value| -value).collect::<Vec<_>>();
    let mut out = upper_gradient(&negated(lower), &negated(upper), transposed_grad, width);
    out.par_chunks_mut(1 << 14).for_each(|out| out.iter_mut().for_each(|value| *value = -*value));
    out
}

vectorised! {
    /// Scores of up to [`TILE`] rows of `upper` against all rows of `lower`.
    fn tile_scores(out: &mut [f32], upper: &[f32], lower: &[f32], width: usize) {
        let columns = lower.len() / width;
        let rows = upper.len() / width;
        for first in (0..columns).step_by(TILE) {
            let count = TILE.min(columns - first);
            if rows == TILE && count == TILE {
                let mut sums = [[[0.0f32; LANES]; TILE]; TILE];
                let whole = width / LANES * LANES;
                for d in (0..whole).step_by(LANES) {
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let upper = &upper[i * width + d..][..LANES];
                        for (j, sums) in sums.iter_mut().enumerate() {
                            let lower = &lower[(first + j) * width + d..][..LANES];
                            for lane in 0..LANES {
                                let violation = positive(upper[lane] - lower[lane]);
                                sums[lane] = multiply_add::<FMA>(violation, violation, sums[lane]);
                            }
                        }
                    }
                }
                for (i, sums) in sums.iter().enumerate() {
                    for (j, sums) in sums.iter().enumerate() {
                        let rest = (i * width + whole..(i + 1) * width).zip((first + j) * width + whole..);
                        let rest = rest.map(|(u, l)| positive(upper[u] - lower[l])).map(|v| v * v);
                        out[i * columns + first + j] = -rest.fold(tree_sum(sums), |sum, square| sum + square);
                    }
                }
            } else {
                for i in 0..rows {
                    for j in first..first + count {
                        let mut sums = [0.0f32; LANES];
                        let (upper, lower) = (&upper[i * width..][..width], &lower[j * width..][..width]);
                        for (upper, lower) in upper.chunks(LANES).zip(lower.chunks(LANES)) {
                            for ((sum, upper), lower) in sums.iter_mut().zip(upper).zip(lower) {
                                let violation = positive(upper - lower);
                                *sum = multiply_add::<FMA>(violation, violation, *sum);
                            }
                        }
                        out[i * columns + j] = -tree_sum(&sums);
                    }
                }
            }
        }
    }
}

/// max(0, x), but NaN for NaN: a broken embedding must not get a perfect score.
#[inline(always)]
fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// The sum of all lanes, halved again and again, so that the compiler can keep it in registers.
#[inline(always)]
fn tree_sum(lanes: &[f32; LANES]) -> f32 {
    let mut lanes = *lanes;
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

vectorised! {
    /// `out += Σ_k weights_k max(0, own − others_k)` for [`TILE`] rows `others`.
    fn add_violations(out: &mut [f32], own: &[f32], others: &[f32], weights: &[f32; TILE]) {
        let width = out.len();
        let own = &own[..width];
        let (a, others) = others.split_at(width);
        let (b, others) = others.split_at(width);
        let (c, d) = others.split_at(width);
        let d = &d[..width];
        for k in 0..width {
            let mut sum = out[k];
            sum = multiply_add::<FMA>(weights[0], positive(own[k] - a[k]), sum);
            sum = multiply_add::<FMA>(weights[1], positive(own[k] - b[k]), sum);
            sum = multiply_add::<FMA>(weights[2], positive(own[k] - c[k]), sum);
            sum = multiply_add::<FMA>(weights[3], positive(own[k] - d[k]), sum);
            out[k] = sum;
        }
    }
}

vectorised! {
    /// `out += weight max(0, own − other)`.
    fn add_violation(out: &mut [f32], own: &[f32], other: &[f32], weight: f32) {
        for ((out, own), other) in out.iter_mut().zip(own).zip(other) {
            *out = multiply_add::<FMA>(weight, positive(own - other), *out);
        }
    }
}
