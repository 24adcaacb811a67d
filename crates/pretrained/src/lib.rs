//! Pretrained image and text encoders, read from folders as model hubs lay them out.
#![warn(missing_docs)]

mod batches;
mod bert;
mod built;
mod clip;
mod config;
mod dinov2;
mod encoder;
mod family;
mod folder;
#[cfg(test)]
mod golden;
mod image_tower;
mod interpolate;
mod kernel;
mod lazy;
mod network;
#[cfg(feature = "ort")]
mod onnx;
mod onnx_files;
mod preprocess;
mod processor_settings;
mod siglip;
mod text_tower;
mod tokenizer;
mod tokenizer_files;
mod towers;
mod transformer;
mod weights;

pub use encoder::PretrainedEncoder;
pub use family::Family;
pub use folder::EncoderFolder;
pub use preprocess::ImageProcessor;
pub use tokenizer::{TextTokenizer, Tokens};
