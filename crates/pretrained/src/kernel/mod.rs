//! What a transformer computes, over plain slices: products, norms, activations, attention.

mod activation;
mod attention;
mod linear;
mod math;
mod norm;

pub(crate) use activation::Activation;
pub(crate) use attention::{Attention, Mask};
pub(crate) use linear::{After, Linear};
pub(crate) use norm::{Norm, to_unit_length};

use rayon::prelude::*;

/// On which threads work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// On the calling one.
    Own,
    /// On all of the current rayon pool.
    All,
}

impl Threads {
    /// How many there are.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Own => 1,
            Self::All => rayon::current_num_threads(),
        }
    }

    /// Calls `work` with each piece of `values` of `size` and the piece's number. The last piece may be shorter.
    pub(crate) fn pieces(self, values: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
        let size = size.max(1);
        if self.count() == 1 || values.len() <= size {
            values.chunks_mut(size).enumerate().for_each(|(number, piece)| work(number, piece));
        } else {
            values.par_chunks_mut(size).enumerate().for_each(|(number, piece)| work(number, piece));
        }
    }

    /// Rows of a piece, where each thread has one or more of `rows` rows.
    pub(crate) fn share(self, rows: usize) -> usize {
        rows.div_ceil(self.count()).max(1)
    }
}
