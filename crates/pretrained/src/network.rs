//! [`Network`]: what computes embeddings.

use std::fmt::Debug;

use gxn_base::Result;
use image::RgbImage;

use crate::{EncoderFolder, TextTokenizer};

/// The layers of an encoder: built here, or run by ONNX Runtime.
pub(crate) trait Network: Debug + Send + Sync {
    /// Values of an image's embedding, if it embeds images.
    fn image_width(&self) -> Option<usize>;
    /// Values of a text's embedding, if it embeds texts.
    fn text_width(&self) -> Option<usize>;
    /// `[N, image_width]`, each of length 1.
    fn embed_images(&self, images: &[RgbImage]) -> Result<Vec<f32>>;
    /// `[N, text_width]`, each of length 1, and how many texts were cut.
    fn embed_texts(&self, texts: &[&str]) -> Result<(Vec<f32>, usize)>;
    /// What makes tokens of texts.
    fn tokenizer(&self) -> Result<&TextTokenizer>;
}

/// The layers of the encoder in `folder`.
///
/// # Errors
/// Layers that are not built here, or an ONNX file where ONNX Runtime is not at hand.
pub(crate) fn open(folder: &EncoderFolder) -> Result<Box<dyn Network>> {
    match folder.onnx() {
        None => Ok(Box::new(crate::built::Built::open(folder)?)),
        #[cfg(feature = "ort")]
        Some(files) => Ok(Box::new(crate::onnx::Onnx::open(folder, files)?)),
        #[cfg(not(feature = "ort"))]
        Some(files) => Err(gxn_base::Error::unsupported(
            folder.path().display().to_string(),
            format!("{} without weights in safetensors", files.shown()),
            "model.safetensors of a kind that is built here (clip, siglip, dinov2, bert)",
        )
        .with_hint("a program built with feature ort runs ONNX files: cargo build --release --features ort")),
    }
}
