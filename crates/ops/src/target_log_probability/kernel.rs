//! The fused forward and backward pass over `[N, V]` logits.

use crate::matrix::{Matrix, Target, column_sums, multiply, transposed_copy};
use crate::multiversion::{self, vectorised};
use rayon::prelude::*;

/// Gradients of the inputs; each is absent where nobody asked for it.
pub(super) struct Gradients {
    /// `[N, H]`
    pub states: Option<Vec<f32>>,
    /// `[H, V]`
    pub weight: Option<Vec<f32>>,
    /// `[V]`
    pub bias: Option<Vec<f32>>,
}

/// ln p of the targets, `[N]`, and all probabilities, `[N, V]`.
pub(super) fn forward(states: &[f32], weight: &[f32], bias: &[f32], targets: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let (rows, words) = (targets.len(), bias.len());
    let width = states.len() / rows;
    let mut logits = vec![0.0; rows * words];
    multiply(Matrix::new(states, rows, width), Matrix::new(weight, width, words), &mut logits, Target::Replace);
    let mut found = vec![0.0; rows];
    (logits.par_chunks_exact_mut(words), &mut found, targets).into_par_iter().for_each(|(row, found, &target)| {
        let (logit, log_sum) = softmax(row, bias, target);
        *found = logit - log_sum;
    });
    (found, logits)
}

/// Gradients for the loss gradient `grad` `[N]`; the probabilities turn into the gradient of the logits.
pub(super) fn backward(
    states: &[f32],
    weight: &[f32],
    mut probabilities: Vec<f32>,
    targets: &[usize],
    grad: &[f32],
    wanted: [bool; 3],
) -> Gradients {
    let rows = targets.len();
    let (width, words) = (states.len() / rows, probabilities.len() / rows);
    // d ln p[target] / d logit = [v = target] − p.
    (probabilities.par_chunks_exact_mut(words), grad, targets).into_par_iter().for_each(|(row, &grad, &target)| {
        row.iter_mut().for_each(|p| *p *= -grad);
        row[target] += grad;
    });
    let logits = Matrix::new(&probabilities, rows, words);
    let states = Matrix::new(states, rows, width);
    Gradients {
        states: wanted[0].then(|| {
            let mut out = vec![0.0; rows * width];
            let weight = transposed_copy(weight, width, words);
            multiply(logits, Matrix::new(&weight, words, width), &mut out, Target::Replace);
            out
        }),
        weight: wanted[1].then(|| {
            let mut out = vec![0.0; width * words];
            multiply(states.transposed(), logits, &mut out, Target::Replace);
            out
        }),
        bias: wanted[2].then(|| column_sums(&probabilities, words)),
    }
}

vectorised! {
    /// Turns a row of logits without bias into probabilities; the logit of the target and ln Σ exp.
    fn softmax(row: &mut [f32], bias: &[f32], target: usize) -> (f32, f32) {
        const LANES: usize = 16;
        let mut tops = [f32::NEG_INFINITY; LANES];
        for (logits, bias) in row.chunks_mut(LANES).zip(bias.chunks(LANES)) {
            for ((logit, bias), top) in logits.iter_mut().zip(bias).zip(&mut tops) {
                *logit += bias;
                *top = top.max(*logit);
            }
        }
        let top = tops.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let logit = row[target];
        let mut sums = [0.0f32; LANES];
        for logits in row.chunks_mut(LANES) {
            for (logit, sum) in logits.iter_mut().zip(&mut sums) {
                *logit = multiversion::exp::<FMA>(*logit - top);
                *sum += *logit;
            }
        }
        let sum: f32 = sums.iter().sum();
        let scale = 1.0 / sum;
        row.iter_mut().for_each(|p| *p *= scale);
        (logit, top + sum.ln())
    }
}
