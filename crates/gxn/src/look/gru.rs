//! Recurrent networks over captions (spec §4).

use burn::module::{Module, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};

use super::init::Init;
use crate::config::Pooling;
use gxn_ops::gru::{Direction, GruWeights, gru};

/// The weights of a GRU that reads in one direction; PyTorch's layout, gates r, z, n.
#[derive(Module, Debug)]
pub struct Gru {
    /// `[3H, E]`
    w_ih: Param<Tensor<2>>,
    /// `[3H, H]`
    w_hh: Param<Tensor<2>>,
    /// `[3H]`
    b_ih: Param<Tensor<1>>,
    /// `[3H]`
    b_hh: Param<Tensor<1>>,
}

impl Gru {
    /// All weights uniform(−1/√H, 1/√H), PyTorch's default.
    pub fn new(init: &Init, name: &str, width: usize, hidden: usize) -> Self {
        let bound = 1.0 / (hidden as f32).sqrt();
        Self {
            w_ih: init.uniform(&format!("{name}.w_ih"), [3 * hidden, width], bound),
            w_hh: init.uniform(&format!("{name}.w_hh"), [3 * hidden, hidden], bound),
            b_ih: init.uniform(&format!("{name}.b_ih"), [3 * hidden], bound),
            b_hh: init.uniform(&format!("{name}.b_hh"), [3 * hidden], bound),
        }
    }

    /// The states, zero at the padding.
    ///
    /// # Shapes
    /// `[B, T, E]` → `[B, T, H]`
    pub fn forward(&self, words: Tensor<3>, lengths: &[usize], direction: Direction) -> Tensor<3> {
        gru(words, lengths, &self.weights(), None, direction)
    }

    /// The states of a network that begins in the state `initial` (zero where there is none) and reads forwards.
    ///
    /// # Shapes
    /// `[B, T, E]`, `[B, H]` → `[B, T, H]`
    pub fn forward_from(&self, words: Tensor<3>, lengths: &[usize], initial: Option<Tensor<2>>) -> Tensor<3> {
        gru(words, lengths, &self.weights(), initial, Direction::Forward)
    }

    fn weights(&self) -> GruWeights {
        GruWeights { w_ih: self.w_ih.val(), w_hh: self.w_hh.val(), b_ih: self.b_ih.val(), b_hh: self.b_hh.val() }
    }
}

/// Two GRUs, one for each direction.
#[derive(Module, Debug)]
pub struct BiGru {
    forward: Gru,
    reverse: Gru,
}

impl BiGru {
    /// See [`Gru::new`].
    pub fn new(init: &Init, name: &str, width: usize, hidden: usize) -> Self {
        Self {
            forward: Gru::new(init, &format!("{name}.forward"), width, hidden),
            reverse: Gru::new(init, &format!("{name}.reverse"), width, hidden),
        }
    }

    /// The pooled states of both directions.
    ///
    /// # Shapes
    /// `[B, T, E]` → `[B, 2H]`
    pub fn forward(&self, words: Tensor<3>, lengths: &[usize], pooling: Pooling) -> Tensor<2> {
        let forward = self.forward.forward(words.clone(), lengths, Direction::Forward);
        let reverse = self.reverse.forward(words, lengths, Direction::Reverse);
        if pooling == Pooling::Last {
            // The reverse direction reads the first token last.
            let [batch, _, hidden] = reverse.dims();
            let first = reverse.slice([0..batch, 0..1, 0..hidden]).reshape([batch, hidden]);
            return Tensor::cat(vec![last_state(forward, lengths), first], 1);
        }
        pool(Tensor::cat(vec![forward, reverse], 2), lengths, pooling)
    }
}

/// One vector of each sequence's states, which are zero at the padding; [`Pooling::Last`] takes the last valid token.
///
/// # Shapes
/// `[B, T, H]` → `[B, H]`
pub fn pool(states: Tensor<3>, lengths: &[usize], pooling: Pooling) -> Tensor<2> {
    let [batch, time, hidden] = states.dims();
    let device = states.device();
    match pooling {
        Pooling::Last => last_state(states, lengths),
        Pooling::Mean => {
            let inverse: Vec<f32> = lengths.iter().map(|&n| 1.0 / n as f32).collect();
            let inverse = Tensor::<2>::from_data(TensorData::new(inverse, [batch, 1]), &device);
            states.sum_dim(1).reshape([batch, hidden]) * inverse
        }
        Pooling::Max => {
            // States lie in (−1, 1): −2 never wins.
            let padding: Vec<bool> = lengths.iter().flat_map(|&n| (0..time).map(move |t| t >= n)).collect();
            let padding = Tensor::<3, Bool>::from_data(TensorData::new(padding, [batch, time, 1]), &device);
            states.mask_fill(padding.expand([batch, time, hidden]), -2.0).max_dim(1).reshape([batch, hidden])
        }
    }
}

fn last_state(states: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [batch, time, hidden] = states.dims();
    let rows: Vec<i64> = lengths.iter().enumerate().map(|(b, &n)| (b * time + n - 1) as i64).collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [batch]), &states.device());
    states.reshape([batch * time, hidden]).select(0, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// Two sequences of lengths 2 and 1, one dimension: states (1, 3, pad) and (−0.5, pad, pad).
    #[test]
    fn pooling_ignores_the_padding() {
        let states = Tensor::<3>::from_data([[[0.1], [0.3], [0.0]], [[-0.5], [0.0], [0.0]]], &Device::flex());
        let pooled = |p| pool(states.clone(), &[2, 1], p).into_data().iter::<f32>().collect::<Vec<_>>();
        assert_eq!(pooled(Pooling::Mean), [0.2, -0.5]);
        assert_eq!(pooled(Pooling::Max), [0.3, -0.5]);
        assert_eq!(pooled(Pooling::Last), [0.3, -0.5]);
    }

    #[test]
    fn padding_never_changes_a_sentence() {
        let init = Init::new(7, &Device::flex());
        let network = BiGru::new(&init, "t", 4, 5);
        let words = init.uniform("x", [1, 3, 4], 1.0).val();
        let padded = Tensor::cat(vec![words.clone(), Tensor::ones([1, 2, 4], &Device::flex())], 1);
        for pooling in [Pooling::Mean, Pooling::Max, Pooling::Last] {
            let a = network.forward(words.clone(), &[3], pooling).into_data();
            let b = network.forward(padded.clone(), &[3], pooling).into_data();
            a.assert_approx_eq::<f32>(&b, burn::tensor::Tolerance::absolute(1e-6));
        }
    }
}
