//! LOOK: pictures and sentences become embeddings.

pub mod backbone;
pub mod features;

pub use backbone::{Backbone, BackboneKind};
