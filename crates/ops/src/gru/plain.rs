//! The GRU as a composition of tensor operations: any device, automatic gradients.

use super::{Direction, GruWeights};
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::{Tensor, TensorData, s};

/// The same as [`gru`](super::gru) step by step, by tensor operations on whatever device holds the tensors.
pub(super) fn gru_plain(
    x: Tensor<3>,
    lengths: &[usize],
    weights: &GruWeights,
    initial: Option<Tensor<2>>,
    direction: Direction,
) -> Tensor<3> {
    let ([batch, time, _], [_, hidden]) = (x.dims(), weights.w_hh.dims());
    let device = x.device();
    let projected = x.matmul(weights.w_ih.clone().transpose().unsqueeze()) + weights.b_ih.clone().unsqueeze(); // [B, T, 3H]
    let recurrent = weights.w_hh.clone().transpose(); // [H, 3H]
    // Sequences of one length, such as single words, have no padding to leave out.
    let mask = lengths.iter().any(|&length| length < time).then(|| {
        let mask = (0..time).flat_map(|t| lengths.iter().map(move |&length| f32::from(t < length))).collect();
        Tensor::<3>::from_data(TensorData::new(mask, [time, batch, 1]), &device)
    });

    let mut state = initial.unwrap_or_else(|| Tensor::zeros([batch, hidden], &device));
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let token = match direction {
            Direction::Forward => step,
            Direction::Reverse => time - 1 - step,
        };
        let input: Tensor<2> = projected.clone().slice(s![.., token..token + 1, ..]).squeeze_dim(1); // [B, 3H]
        let [input_r, input_z, input_n] = gates(input, hidden);
        let [state_r, state_z, state_n] =
            gates(state.clone().matmul(recurrent.clone()) + weights.b_hh.clone().unsqueeze(), hidden);
        let r = sigmoid(input_r + state_r);
        let z = sigmoid(input_z + state_z);
        let n = tanh(input_n + r * state_n);
        let next = n.clone() + z * (state.clone() - n);
        let Some(mask) = &mask else {
            state = next;
            states.push(state.clone());
            continue;
        };
        // Padding leaves the state as it was; so the reverse direction starts at each last valid token.
        let valid: Tensor<2> = mask.clone().slice(s![token..token + 1, .., ..]).squeeze_dim(0); // [B, 1]
        state = state.clone() + (next - state) * valid.clone();
        states.push(state.clone() * valid);
    }
    if direction == Direction::Reverse {
        states.reverse();
    }
    Tensor::stack(states, 1)
}

/// The three gates side by side in `[B, 3H]`.
fn gates(all: Tensor<2>, hidden: usize) -> [Tensor<2>; 3] {
    [0, 1, 2].map(|gate| all.clone().slice(s![.., gate * hidden..(gate + 1) * hidden]))
}
