//! SigLIP's towers (Zhai et al., 2023), by their names in transformers. SigLIP 2 of fixed resolution has the same.

use gxn_base::Result;

use crate::clip::NAMES;
use crate::config::{ImageConfig, Stack, TextConfig};
use crate::image_tower::{AttentionPool, ImagePooling, ImageTower, PatchNames, PatchTokens};
use crate::kernel::{After, Linear, Mask, Threads};
use crate::text_tower::{TextPooling, TextTower};
use crate::transformer::{Order, Transformer, linear, norm, query_scale};
use crate::weights::Weights;

/// The image tower for images of `size` (height, width): no class token; a learned query pools.
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn images(weights: &Weights, config: &ImageConfig, size: [usize; 2]) -> Result<ImageTower> {
    let (stack, grid) = (&config.stack, config.side / config.patch);
    let names = PatchNames {
        patches: "vision_model.embeddings.patch_embedding",
        bias: true,
        class: None,
        positions: ("vision_model.embeddings.position_embedding.weight", &[grid * grid, stack.width]),
        any_size: false,
    };
    Ok(ImageTower {
        tokens: PatchTokens::read(weights, &names, config, size)?,
        before: None,
        blocks: Transformer::read(weights, "vision_model.", &NAMES, (stack, Order::NormFirst, Mask::None, true))?,
        after: norm(weights, "vision_model.post_layernorm", stack)?,
        pooling: ImagePooling::Attention(Box::new(pool(weights, stack)?)),
        project: None,
    })
}

fn pool(weights: &Weights, stack: &Stack) -> Result<AttentionPool> {
    let width = stack.width;
    let mut weight = weights.values("vision_model.head.attention.in_proj_weight", &[3 * width, width])?;
    let mut bias = weights.values("vision_model.head.attention.in_proj_bias", &[3 * width])?;
    let probe = weights.values("vision_model.head.probe", &[1, 1, width])?;
    let kv = Linear::new(weight.split_off(width * width), Some(bias.split_off(width)), width);
    let mut query = vec![0.0; width];
    Linear::new(weight, Some(bias), width).apply(&probe, &mut query, After::Nothing, Threads::Own);
    let scale = query_scale(stack);
    query.iter_mut().for_each(|value| *value *= scale);
    Ok(AttentionPool {
        query,
        kv,
        heads: stack.heads,
        out: linear(weights, "vision_model.head.attention.out_proj", [width, width])?,
        norm: norm(weights, "vision_model.head.layernorm", stack)?,
        up: linear(weights, "vision_model.head.mlp.fc1", [width, stack.hidden])?,
        after: After::Activate(stack.activation),
        down: linear(weights, "vision_model.head.mlp.fc2", [stack.hidden, width])?,
    })
}

/// The text tower: every text is filled up to all places, padding counts, and the last place is pooled and projected to
/// `embedding` values.
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn texts(weights: &Weights, config: &TextConfig, embedding: usize) -> Result<TextTower> {
    let (stack, width) = (&config.stack, config.stack.width);
    Ok(TextTower {
        words: weights.tensor("text_model.embeddings.token_embedding.weight", &[config.vocabulary, width])?,
        positions: weights.values("text_model.embeddings.position_embedding.weight", &[config.positions, width])?,
        before: None,
        blocks: Transformer::read(weights, "text_model.", &NAMES, (stack, Order::NormFirst, Mask::None, true))?,
        after: Some(norm(weights, "text_model.final_layer_norm", stack)?),
        pooling: TextPooling::Last,
        project: Some(linear(weights, "text_model.head", [width, embedding])?),
        width,
    })
}
