//! LOOK: pictures and sentences become embeddings (paper §3.2, spec §3–4).

pub mod backbone;
pub mod features;
pub mod gru;
pub mod image_encoder;
pub mod init;
pub mod linear;
pub mod phase;
pub mod sentence_encoder;

pub use image_encoder::ImageEncoder;
pub use init::Init;
pub use phase::{Phase, Site};
pub use sentence_encoder::{SentenceEncoder, TokenBatch};
