//! Whether a forward pass is part of a training step, and where its randomness comes from.

use burn::tensor::Tensor;

use crate::seed::mix;
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
    /// What the pretrained text encoder adds to t_h.
    AbstractText = 7,
    /// What the pretrained text encoder adds to t_l.
    GroundedText = 8,
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
