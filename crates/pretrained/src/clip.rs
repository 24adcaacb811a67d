//! CLIP's towers (Radford et al., 2021), by their names in transformers.

use gxn_base::Result;

use crate::config::{ImageConfig, TextConfig};
use crate::image_tower::{ImagePooling, ImageTower, PatchNames, PatchTokens};
use crate::kernel::{Linear, Mask};
use crate::text_tower::{TextPooling, TextTower};
use crate::transformer::{Names, Order, Transformer, norm};
use crate::weights::Weights;

/// What CLIP and SigLIP call the tensors of a block.
pub(crate) const NAMES: Names = Names {
    blocks: "encoder.layers",
    norms: ["layer_norm1", "layer_norm2"],
    qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    out: "self_attn.out_proj",
    feed: ["mlp.fc1", "mlp.fc2"],
    scales: None,
};

/// The image tower for images of `size` (height, width): a class token, a norm before the blocks, the class token's norm and
/// projection to `embedding` values.
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn images(
    weights: &Weights,
    config: &ImageConfig,
    embedding: usize,
    size: [usize; 2],
) -> Result<ImageTower> {
    let (stack, grid) = (&config.stack, config.side / config.patch);
    let names = PatchNames {
        patches: "vision_model.embeddings.patch_embedding",
        bias: false,
        class: Some(("vision_model.embeddings.class_embedding", &[stack.width])),
        positions: ("vision_model.embeddings.position_embedding.weight", &[grid * grid + 1, stack.width]),
        any_size: false,
    };
    Ok(ImageTower {
        tokens: PatchTokens::read(weights, &names, config, size)?,
        // The name is misspelled in the published files.
        before: Some(norm(weights, "vision_model.pre_layrnorm", stack)?),
        blocks: Transformer::read(weights, "vision_model.", &NAMES, (stack, Order::NormFirst, Mask::None, true))?,
        after: norm(weights, "vision_model.post_layernorm", stack)?,
        pooling: ImagePooling::First,
        project: Some(projection(weights, "visual_projection", [stack.width, embedding])?),
    })
}

/// The text tower: a token sees itself and those before it; the end token's norm and projection to `embedding` values.
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn texts(weights: &Weights, config: &TextConfig, embedding: usize, end: Option<u32>) -> Result<TextTower> {
    let (stack, width) = (&config.stack, config.stack.width);
    Ok(TextTower {
        words: weights.tensor("text_model.embeddings.token_embedding.weight", &[config.vocabulary, width])?,
        positions: weights.values("text_model.embeddings.position_embedding.weight", &[config.positions, width])?,
        before: None,
        blocks: Transformer::read(weights, "text_model.", &NAMES, (stack, Order::NormFirst, Mask::Causal, true))?,
        after: Some(norm(weights, "text_model.final_layer_norm", stack)?),
        pooling: end.map_or(TextPooling::Largest, TextPooling::End),
        project: Some(projection(weights, "text_projection", [width, embedding])?),
        width,
    })
}

fn projection(weights: &Weights, name: &str, [inputs, outputs]: [usize; 2]) -> Result<Linear> {
    Ok(Linear::new(weights.values(&format!("{name}.weight"), &[outputs, inputs])?, None, inputs))
}
