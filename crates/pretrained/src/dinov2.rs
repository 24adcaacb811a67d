//! DINOv2's image tower (Oquab et al., 2024), by its names in transformers.

use gxn_base::Result;

use crate::config::ImageConfig;
use crate::image_tower::{ImagePooling, ImageTower, PatchNames, PatchTokens};
use crate::kernel::Mask;
use crate::transformer::{Names, Order, Transformer, norm};
use crate::weights::Weights;

const NAMES: Names = Names {
    blocks: "encoder.layer",
    norms: ["norm1", "norm2"],
    qkv: ["attention.attention.query", "attention.attention.key", "attention.attention.value"],
    out: "attention.output.dense",
    feed: ["mlp.fc1", "mlp.fc2"],
    scales: Some(["layer_scale1.lambda1", "layer_scale2.lambda1"]),
};

/// The tower for images of `size` (height, width). The feature is the class token after the last norm (`pooler_output`).
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn images(weights: &Weights, config: &ImageConfig, bias: bool, size: [usize; 2]) -> Result<ImageTower> {
    let (stack, grid) = (&config.stack, config.side / config.patch);
    let names = PatchNames {
        patches: "embeddings.patch_embeddings.projection",
        bias: true,
        class: Some(("embeddings.cls_token", &[1, 1, stack.width])),
        positions: ("embeddings.position_embeddings", &[1, grid * grid + 1, stack.width]),
        any_size: true,
    };
    Ok(ImageTower {
        tokens: PatchTokens::read(weights, &names, config, size)?,
        before: None,
        blocks: Transformer::read(weights, "", &NAMES, (stack, Order::NormFirst, Mask::None, bias))?,
        after: norm(weights, "layernorm", stack)?,
        pooling: ImagePooling::First,
        project: None,
    })
}
