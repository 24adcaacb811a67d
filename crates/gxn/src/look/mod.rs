//! LOOK: images and captions become embeddings (paper §3.2, spec §3–4).

pub mod backbone;
mod cnn_on_device;
mod embedding_files;
pub mod feature_network;
pub mod features;
pub mod gru;
pub(crate) mod held_encoders;
pub mod image_encoder;
mod image_pipeline;
pub mod init;
pub mod linear;
pub mod phase;
pub mod pretrained_encoders;
pub mod prior;
pub mod sentence_encoder;
pub mod text_encoder;
mod unit_length;

pub use cnn_on_device::CnnOnDevice;
pub use embedding_files::EmbeddingFiles;
pub use feature_network::FeatureNetwork;
pub use image_encoder::ImageEncoder;
pub use image_pipeline::ImagePipeline;
pub use init::Init;
pub use phase::{Phase, Site};
pub use pretrained_encoders::{ImageTower, PretrainedEncoders};
pub use prior::Prior;
pub use sentence_encoder::{SentenceEncoder, TokenBatch};
pub use text_encoder::{TextEncoder, TextFeatures};
pub use unit_length::{to_unit_length, unit_length};
