//! The fused forward and backward pass of a GRU over packed rows.
//!
//! Gates as in PyTorch, for input x, previous state h and the rows r, z, n of the weights:
//! r = σ(W_ir x + b_ir + W_hr h + b_hr), z = σ(W_iz x + b_iz + W_hz h + b_hz),
//! n = tanh(W_in x + b_in + r ⊙ m) with m = W_hn h + b_hn, and h' = (1 − z) ⊙ n + z ⊙ h.

use super::packing::Packing;
use crate::matrix::{Matrix, Target, column_sums, multiply, transposed_copy};
use crate::multiversion::{self, vectorised};
use rayon::prelude::*;

/// Fewest rows worth a task of their own.
const ROWS_PER_TASK: usize = 8;

/// The weights of one direction, as slices in PyTorch's layout.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    /// `[3H, E]`
    pub input: &'a [f32],
    /// `[3H, H]`
    pub hidden: &'a [f32],
    /// `[3H]`
    pub input_bias: &'a [f32],
    /// `[3H]`
    pub hidden_bias: &'a [f32],
}

/// What the backward pass needs of the forward pass. `R` is the number of packed rows.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    /// Inputs `[R, E]`.
    x: Vec<f32>,
    /// Gates r, z, n `[R, 3H]`.
    gates: Vec<f32>,
    /// W_hn h + b_hn `[R, H]`.
    candidate: Vec<f32>,
    /// The state before each row `[R, H]`.
    previous: Vec<f32>,
}

/// Gradients of the inputs; each is absent where nobody asked for it.
#[derive(Default)]
pub(super) struct InputGradients {
    /// `[B, T, E]`
    pub x: Option<Vec<f32>>,
    /// `[3H, E]`
    pub input: Option<Vec<f32>>,
    /// `[3H, H]`
    pub hidden: Option<Vec<f32>>,
    /// `[3H]`
    pub input_bias: Option<Vec<f32>>,
    /// `[3H]`
    pub hidden_bias: Option<Vec<f32>>,
    /// `[B, H]`
    pub initial: Option<Vec<f32>>,
}

/// Which gradients are asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub x: bool,
    pub input: bool,
    pub hidden: bool,
    pub input_bias: bool,
    pub hidden_bias: bool,
    pub initial: bool,
}

/// The states after each token, `[B, T, H]` with zeros at the padding, and the trace for [`backward`].
///
/// `x` is `[B, T, E]`; `initial` is `[B, H]`, zero when absent.
pub(super) fn forward(packing: &Packing, x: &[f32], weights: Weights, initial: Option<&[f32]>) -> (Vec<f32>, Trace) {
    let hidden = weights.hidden_bias.len() / 3;
    let width = weights.input.len() / (3 * hidden);
    let rows = packing.rows();
    let x = packing.pack(x, width);
    // The product packs its right side in every step; that is cheaper when it lies row by row.
    let input = transposed_copy(weights.input, 3 * hidden, width);
    let recurrent = transposed_copy(weights.hidden, 3 * hidden, hidden);
    let bias: Vec<f32> = (weights.input_bias[..2 * hidden].iter().zip(weights.hidden_bias).map(|(a, b)| a + b))
        .chain(weights.input_bias[2 * hidden..].iter().copied())
        .chain(weights.hidden_bias[2 * hidden..].iter().copied())
        .collect(); // [4H]: r, z, n of the input, n of the state

    let mut gates = vec![0.0; rows * 3 * hidden];
    multiply(Matrix::new(&x, rows, width), Matrix::new(&input, width, 3 * hidden), &mut gates, Target::Replace);
    let mut candidate = vec![0.0; rows * hidden];
    let mut previous = vec![0.0; rows * hidden];
    if let Some(initial) = initial {
        for (place, state) in packing.places().zip(previous.chunks_exact_mut(hidden)) {
            state.copy_from_slice(&initial[place * hidden..][..hidden]);
        }
    }

    let mut out = vec![0.0; packing.batch() * packing.time * hidden];
    let mut targets = rows_in_packed_order(packing, &mut out, hidden);
    let mut projection = vec![0.0; packing.batch() * 3 * hidden];
    for step in 0..packing.steps() {
        let range = packing.step(step);
        let active = range.len();
        let (before, after) = previous.split_at_mut(range.end * hidden);
        let state = &before[range.start * hidden..];
        if step > 0 || initial.is_some() {
            let recurrent = Matrix::new(&recurrent, hidden, 3 * hidden);
            multiply(Matrix::new(state, active, hidden), recurrent, &mut projection, Target::Replace);
        }
        (
            &mut targets[range.clone()],
            gates[range.start * 3 * hidden..range.end * 3 * hidden].par_chunks_mut(3 * hidden),
            candidate[range.start * hidden..range.end * hidden].par_chunks_mut(hidden),
            state.par_chunks(hidden),
            projection[..active * 3 * hidden].par_chunks(3 * hidden),
        )
            .into_par_iter()
            .with_min_len(ROWS_PER_TASK)
            .for_each(|(next, gates, candidate, state, projection)| {
                cell(next, gates, candidate, state, projection, &bias);
            });
        if step + 1 < packing.steps() {
            for (next, state) in
                targets[range].iter().zip(after.chunks_exact_mut(hidden)).take(packing.step(step + 1).len())
            {
                state.copy_from_slice(next);
            }
        }
    }
    (out, Trace { x, gates, candidate, previous })
}

/// Gradients for the loss gradient `grad` `[B, T, H]` of the output of [`forward`].
///
/// The trace is used up: its buffers turn into gradients.
pub(super) fn backward(
    packing: &Packing,
    mut trace: Trace,
    input: &[f32],
    recurrent: &[f32],
    grad: &[f32],
    has_initial: bool,
    wanted: Wanted,
) -> InputGradients {
    let carry = through_time(packing, &mut trace, recurrent, grad, wanted.initial);
    let Trace { x, gates, candidate, previous } = trace;
    let rows = packing.rows();
    let (hidden, width) = (previous.len() / rows, x.len() / rows);
    let shared_grad = Matrix::strided(&gates, rows, 2 * hidden, 3 * hidden);
    let candidate_grad = Matrix::new(&candidate, rows, hidden);
    let mut out = InputGradients::default();
    if wanted.hidden {
        // Without an initial state the first step's states are zero and add nothing.
        let first = if has_initial { 0 } else { packing.step(0).end };
        let state_grad = Matrix::new(&gates[first * 3 * hidden..], rows - first, 3 * hidden);
        let states = Matrix::new(&previous[first * hidden..], rows - first, hidden);
        let mut grad = vec![0.0; 3 * hidden * hidden];
        multiply(state_grad.transposed(), states, &mut grad, Target::Replace);
        out.hidden = Some(grad);
    }
    if wanted.input {
        let x = Matrix::new(&x, rows, width);
        let mut grad = vec![0.0; 3 * hidden * width];
        let (shared, rest) = grad.split_at_mut(2 * hidden * width);
        multiply(shared_grad.transposed(), x, shared, Target::Replace);
        multiply(candidate_grad.transposed(), x, rest, Target::Replace);
        out.input = Some(grad);
    }
    if wanted.x {
        let (shared, rest) = input.split_at(2 * hidden * width);
        let mut grad = vec![0.0; rows * width];
        multiply(shared_grad, Matrix::new(shared, 2 * hidden, width), &mut grad, Target::Replace);
        multiply(candidate_grad, Matrix::new(rest, hidden, width), &mut grad, Target::Add);
        out.x = Some(packing.unpack(&grad, width));
    }
    if wanted.input_bias || wanted.hidden_bias {
        let sums = column_sums(&gates, 3 * hidden);
        out.input_bias = wanted.input_bias.then(|| {
            let mut sums = sums[..2 * hidden].to_vec();
            sums.extend(column_sums(&candidate, hidden));
            sums
        });
        out.hidden_bias = wanted.hidden_bias.then_some(sums);
    }
    if wanted.initial {
        let mut grad = vec![0.0; packing.batch() * hidden];
        for (place, carry) in packing.places().zip(carry.chunks_exact(hidden)) {
            grad[place * hidden..][..hidden].copy_from_slice(carry);
        }
        out.initial = Some(grad);
    }
    out
}

/// Walks back over all steps: `gates` of the trace becomes the gradient of the state's projection and `candidate` the n rows
/// of the input's projection, whose r and z rows are the same. Returns the gradient of the initial state `[B, H]`, sequences
/// in sorted order.
fn through_time(
    packing: &Packing,
    trace: &mut Trace,
    recurrent: &[f32],
    grad: &[f32],
    initial_wanted: bool,
) -> Vec<f32> {
    let Trace { gates, candidate, previous, .. } = trace;
    let hidden = previous.len() / packing.rows();
    let targets: Vec<&[f32]> = packing.padded_rows().map(|row| &grad[row * hidden..][..hidden]).collect();
    let mut carry = vec![0.0; packing.batch() * hidden];
    for step in (0..packing.steps()).rev() {
        let range = packing.step(step);
        let active = range.len();
        let step_gates = &mut gates[range.start * 3 * hidden..range.end * 3 * hidden];
        (
            step_gates.par_chunks_mut(3 * hidden),
            candidate[range.start * hidden..range.end * hidden].par_chunks_mut(hidden),
            carry[..active * hidden].par_chunks_mut(hidden),
            previous[range.start * hidden..range.end * hidden].par_chunks(hidden),
            &targets[range],
        )
            .into_par_iter()
            .with_min_len(ROWS_PER_TASK)
            .for_each(|(gates, candidate, carry, state, grad)| cell_backward(gates, candidate, carry, state, grad));
        if step > 0 || initial_wanted {
            let recurrent = Matrix::new(recurrent, 3 * hidden, hidden);
            multiply(Matrix::new(step_gates, active, 3 * hidden), recurrent, &mut carry, Target::Add);
        }
    }
    carry
}

/// The rows of `padded` `[B * T, width]` that hold tokens, in packed order.
fn rows_in_packed_order<'a>(packing: &Packing, padded: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
    let mut rows: Vec<_> = padded.chunks_exact_mut(width).map(Some).collect();
    packing.padded_rows().map(|row| rows[row].take().expect("each padded row is one packed row")).collect()
}

vectorised! {
    /// One row of one step: `gates` goes from the input's projection to r, z, n.
    fn cell(
        next: &mut [f32],
        gates: &mut [f32],
        candidate: &mut [f32],
        state: &[f32],
        projection: &[f32],
        bias: &[f32],
    ) {
        let hidden = state.len();
        let (next, candidate) = (&mut next[..hidden], &mut candidate[..hidden]);
        let (gate_r, gates) = gates.split_at_mut(hidden);
        let (gate_z, gate_n) = gates.split_at_mut(hidden);
        let gate_n = &mut gate_n[..hidden];
        let (project_r, projection) = projection.split_at(hidden);
        let (project_z, project_n) = projection.split_at(hidden);
        let project_n = &project_n[..hidden];
        let (bias_r, bias) = bias.split_at(hidden);
        let (bias_z, bias) = bias.split_at(hidden);
        let (bias_n, bias_m) = bias.split_at(hidden);
        let bias_m = &bias_m[..hidden];
        for j in 0..hidden {
            let r = multiversion::sigmoid::<FMA>(gate_r[j] + bias_r[j] + project_r[j]);
            let z = multiversion::sigmoid::<FMA>(gate_z[j] + bias_z[j] + project_z[j]);
            let m = project_n[j] + bias_m[j];
            let n = multiversion::tanh::<FMA>(gate_n[j] + bias_n[j] + r * m);
            gate_r[j] = r;
            gate_z[j] = z;
            gate_n[j] = n;
            candidate[j] = m;
            next[j] = n + z * (state[j] - n);
        }
    }
}

vectorised! {
    /// One row of one step backwards. `gates` goes from r, z, n to the gradient of W_h h + b_h, `candidate` from m to
    /// the gradient of W_in x + b_in, `carry` from the gradient that later steps gave to what the z path hands on.
    fn cell_backward(gates: &mut [f32], candidate: &mut [f32], carry: &mut [f32], state: &[f32], grad: &[f32]) {
        let hidden = state.len();
        let (candidate, carry, grad) = (&mut candidate[..hidden], &mut carry[..hidden], &grad[..hidden]);
        let (gate_r, gates) = gates.split_at_mut(hidden);
        let (gate_z, gate_n) = gates.split_at_mut(hidden);
        let gate_n = &mut gate_n[..hidden];
        for j in 0..hidden {
            let (r, z, n) = (gate_r[j], gate_z[j], gate_n[j]);
            let grad = grad[j] + carry[j];
            let grad_n = grad * (1.0 - z) * (1.0 - n * n);
            gate_r[j] = grad_n * candidate[j] * r * (1.0 - r);
            gate_z[j] = grad * (state[j] - n) * z * (1.0 - z);
            gate_n[j] = grad_n * r;
            candidate[j] = grad_n;
            carry[j] = grad * z;
        }
    }
}
