//! The towers of any family, from its configuration and weights.

use std::path::{Path, PathBuf};

use gxn_base::{Error, Result};

use crate::config::Config;
use crate::image_tower::ImageTower;
use crate::kernel::{After, Linear, Threads, to_unit_length};
use crate::text_tower::TextTower;
use crate::weights::Weights;
use crate::{bert, clip, dinov2, siglip};

/// The weights of an encoder. Those that were published as part of a larger model are found by the names of its own.
///
/// # Errors
/// See [`Weights::open`].
pub(crate) fn weights(config: &Config, paths: &[PathBuf]) -> Result<Weights> {
    let weights = Weights::open(paths)?;
    Ok(match config {
        Config::Dinov2 { .. } => weights.without_prefix("dinov2.", "embeddings.cls_token"),
        Config::Bert { .. } => weights.without_prefix("bert.", "embeddings.word_embeddings.weight"),
        Config::Clip { .. } | Config::Siglip { .. } => weights,
    })
}

/// The image tower for images of `size` (height, width).
///
/// # Errors
/// An encoder without one; see [`Weights::tensor`].
pub(crate) fn images(config: &Config, weights: &Weights, size: [usize; 2]) -> Result<ImageTower> {
    match config {
        Config::Clip { image, embedding, .. } => clip::images(weights, image, *embedding, size),
        Config::Siglip { image, .. } => siglip::images(weights, image, size),
        Config::Dinov2 { image, bias } => dinov2::images(weights, image, *bias, size),
        Config::Bert { .. } => Err(Error::unsupported("this encoder", "one of texts alone", "one that embeds images")),
    }
}

/// The text tower. A sentence encoder's pooling is read from `folder`.
///
/// # Errors
/// An encoder without one; see [`Weights::tensor`].
pub(crate) fn texts(config: &Config, weights: &Weights, folder: &Path) -> Result<TextTower> {
    match config {
        Config::Clip { text, embedding, end, .. } => clip::texts(weights, text, *embedding, *end),
        Config::Siglip { text, embedding, .. } => siglip::texts(weights, text, *embedding),
        Config::Bert { text, segments } => bert::texts(weights, text, *segments, bert::pooling(folder)?),
        Config::Dinov2 { .. } => {
            Err(Error::unsupported("this encoder", "one of images alone", "one that embeds texts"))
        }
    }
}

/// The projection of pooled features of `width` values, scaled to length 1.
pub(crate) fn embedding(project: Option<&Linear>, width: usize, pooled: Vec<f32>, threads: Threads) -> Vec<f32> {
    let Some(project) = project else {
        let mut out = pooled;
        to_unit_length(&mut out, width);
        return out;
    };
    let mut out = vec![0.0; pooled.len() / width * project.outputs()];
    project.apply(&pooled, &mut out, After::Nothing, threads);
    to_unit_length(&mut out, project.outputs());
    out
}
