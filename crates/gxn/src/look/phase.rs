//! Whether a forward pass is part of a training step, and where its randomness comes from.

use burn::tensor::Tensor;

use gxn_ops::dropout::dropout;

/// Training or evaluation.
///
/// The randomness of a step is a pure function of its seed, so that a resumed run repeats it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A training step with its own seed.
    Train {
        /// Differs between steps.
        seed: u64,
    },
    /// No randomness.
    Evaluate,
}

/// The places where dropout acts; each has its own mask in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// The image feature.
    Feature = 1,
    /// The word vectors that the bidirectional GRU reads.
    AbstractWords = 2,
    /// The word vectors that the GRU reads.
    GroundedWords = 3,
    /// The pooled states of the bidirectional GRU.
    AbstractState = 4,
    /// The pooled states of the GRU.
    GroundedState = 5,
    /// The states of the caption decoder.
    CaptionState = 6,
}

impl Phase {
    /// Inverted dropout with probability `p` in training, the identity otherwise.
    pub fn dropout<const D: usize>(self, x: Tensor<D>, p: f64, site: Site) -> Tensor<D> {
        match self {
            Self::Train { seed } if p > 0.0 => dropout(x, p, mix(seed, site as u64)),
            _ => x,
        }
    }
}

/// A seed for part `part` of whatever `seed` stands for (one round of splitmix64).
pub fn mix(seed: u64, part: u64) -> u64 {
    let mut z = seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
