//! Gated recurrent unit over padded sequences (Cho et al. 2014, in the form that PyTorch and cuDNN compute).

mod extension;
mod kernel;
mod packing;
mod plain;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use extension::GruBackend;
use packing::Packing;
use plain::gru_plain;
use std::sync::Arc;

/// The order in which a sequence is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first token to the last valid one.
    Forward,
    /// From the last valid token to the first one.
    Reverse,
}

/// The weights of one direction in PyTorch's layout: gates r, z, n one below the other.
#[derive(Clone, Debug)]
pub struct GruWeights {
    /// Input weights `[3H, E]`.
    pub w_ih: Tensor<2>,
    /// State weights `[3H, H]`.
    pub w_hh: Tensor<2>,
    /// Input bias `[3H]`.
    pub b_ih: Tensor<1>,
    /// State bias `[3H]`.
    pub b_hh: Tensor<1>,
}

impl GruWeights {
    /// Panics unless all shapes fit together.
    fn check(&self, x: &Tensor<3>, lengths: &[usize], initial: Option<&Tensor<2>>) {
        let [batch, time, width] = x.dims();
        let [gates, hidden] = self.w_hh.dims();
        assert_eq!(gates, 3 * hidden, "w_hh: found {gates} rows, expected three times its {hidden} columns");
        assert_eq!(self.w_ih.dims(), [gates, width], "w_ih: found the left shape, expected the right one");
        assert_eq!(self.b_ih.dims(), [gates], "b_ih: found the left shape, expected the right one");
        assert_eq!(self.b_hh.dims(), [gates], "b_hh: found the left shape, expected the right one");
        assert_eq!(lengths.len(), batch, "lengths: found the left number, expected one for each sequence of the batch");
        if let Some(&length) = lengths.iter().find(|&&length| length == 0 || length > time) {
            panic!("lengths: found {length}, expected 1..={time}");
        }
        if let Some(initial) = initial {
            assert_eq!(initial.dims(), [batch, hidden], "initial: found the left shape, expected the right one");
        }
    }
}

/// The states after each token, zero at the padding; a sequence's last state stands at its last token in the order
/// of reading (token `length - 1` forwards, token 0 in reverse).
///
/// `lengths[b]` tokens of sequence `b` are valid, 1..=T. Padding changes neither states nor gradients and costs no
/// time. Gradients reach `x`, the weights and `initial`, which is zero when absent. For step-by-step decoding, T is 1
/// and the state of the last call is the next call's `initial`.
///
/// # Shapes
/// `x` `[B, T, E]`, `initial` `[B, H]` → `[B, T, H]`.
///
/// # Panics
/// If shapes or lengths do not fit together, or B or T is zero.
pub fn gru(
    x: Tensor<3>,
    lengths: &[usize],
    weights: &GruWeights,
    initial: Option<Tensor<2>>,
    direction: Direction,
) -> Tensor<3> {
    weights.check(&x, lengths, initial.as_ref());
    let [batch, time, _] = x.dims();
    assert!(batch > 0, "found an empty batch, expected at least one sequence");
    if !super::is_host(&x) {
        return gru_plain(x, lengths, weights, initial, direction);
    }
    let has_initial = initial.is_some();
    let initial = initial.unwrap_or_else(|| Tensor::zeros([1, 1], &x.device()));
    let weights = weights.clone();
    Tensor::from_dispatch(Dispatch::gru_sequence(
        x.into_dispatch(),
        weights.w_ih.into_dispatch(),
        weights.w_hh.into_dispatch(),
        weights.b_ih.into_dispatch(),
        weights.b_hh.into_dispatch(),
        initial.into_dispatch(),
        has_initial,
        Arc::new(Packing::new(lengths, time, direction)),
    ))
}
