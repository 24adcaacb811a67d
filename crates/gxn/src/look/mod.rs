//! LOOK: pictures and sentences become embeddings.

pub mod backbone;

pub use backbone::{Backbone, BackboneKind};
