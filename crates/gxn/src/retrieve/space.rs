//! [`Encoder::space`]: the joint space of a model's index.

use gxn_index::Space;

use crate::encoder::Encoder;

impl Encoder {
    /// The joint space of its embeddings, for an index.
    pub fn space(&self) -> Space {
        Space {
            similarity: self.config().matching.similarity,
            lambda: self.lambda() as f32,
            dims_abstract: self.dim(),
            dims_grounded: if self.has_grounded_level() { self.dim() } else { 0 },
        }
    }
}
