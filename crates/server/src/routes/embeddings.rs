//! `POST /v1/embeddings`, in OpenAI's shape.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gxn::encoder::Encoder;
use gxn_base::Similarity;
use gxn_data::{has_word, tokenize};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::{check_text, image_bytes};
use crate::app::App;
use crate::extract::Body;
use crate::library::Model;
use crate::problem::{Answer, Problem};

/// What is to be embedded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbeddingsRequest {
    /// The model's name or fingerprint.
    model: String,
    input: Input,
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// What strings of the input are; if this is absent, data URIs are images and all else is text.
    modality: Option<InputModality>,
    /// Values of an embedding; it must be the model's number.
    dimensions: Option<usize>,
    /// Not used.
    #[allow(dead_code, reason = "OpenAI's clients may send it")]
    user: Option<String>,
}

/// One input or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Input {
    /// A text, or a data URI.
    One(String),
    /// Several.
    Many(Vec<InputItem>),
}

/// One of several inputs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum InputItem {
    /// A text, or a data URI.
    Plain(String),
    /// `{"type": "text", "text": "…"}` or `{"type": "image_url", "image_url": {"url": "data:…"}}`.
    Typed(TypedItem),
}

/// An input that says what it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum TypedItem {
    /// A text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    ImageUrl {
        /// Where it is: a data URI.
        image_url: ImageUrl,
    },
}

/// An image as a data URI.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ImageUrl {
    /// The data URI.
    url: String,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Base64 of 32-bit floats, little end first.
    Base64,
}

/// What strings are.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InputModality {
    /// Texts.
    Text,
    /// Images as data URIs.
    Image,
}

/// The embeddings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingsResponse {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<EmbeddingEntry>,
    model: String,
    usage: Usage,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingEntry {
    #[schema(example = "embedding")]
    object: &'static str,
    index: usize,
    embedding: Values,
}

/// The values: `[√λ h ; √(1−λ) l]` of a model with cosine similarity, so that the inner product of a text and an image is
/// their score; `[h ; l]` of others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Values {
    /// Numbers.
    Floats(Vec<f32>),
    /// Base64.
    Packed(String),
}

/// Words that were read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

enum Content {
    Text(String),
    Image(Vec<u8>),
}

/// Embeds texts and images.
#[utoipa::path(post, path = "/v1/embeddings", tag = "model", request_body = EmbeddingsRequest, responses(
    (status = 200, body = EmbeddingsResponse),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such model", body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn embeddings(
    State(app): State<App>,
    Body(request): Body<EmbeddingsRequest>,
) -> Answer<Json<EmbeddingsResponse>> {
    let library = app.library()?;
    let retriever = library.retriever();
    let encoder = retriever.encoder();
    check_model(&request.model, &library.model)?;
    let dims = encoder.space().dims();
    if let Some(asked) = request.dimensions.filter(|&asked| asked != dims) {
        return Err(Problem::invalid(format!("dimensions: found {asked}, expected {dims}, as the model has")));
    }
    let contents = contents(request.input, request.modality, &app)?;
    let mut tokens = 0;
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    let is_text: Vec<bool> = contents.iter().map(|content| matches!(content, Content::Text(_))).collect();
    for content in contents {
        match content {
            Content::Text(text) => {
                tokens += tokenize(&text).len();
                texts.push(text);
            }
            Content::Image(bytes) => images.push(bytes),
        }
    }
    let mut texts = library.encoding.texts(texts).await?.into_iter();
    let mut images = library.encoding.images(images).await?.into_iter().map(|encoded| encoded.embedding);
    let mut data = Vec::with_capacity(is_text.len());
    for (index, is_text) in is_text.into_iter().enumerate() {
        let vector = if is_text { texts.next() } else { images.next() };
        let vector = vector.ok_or_else(|| Problem::internal("an embedding is missing"))?;
        let embedding = values(joint(vector, encoder), request.encoding_format);
        data.push(EmbeddingEntry { object: "embedding", index, embedding });
    }
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(Json(EmbeddingsResponse { object: "list", data, model: library.model.name.clone(), usage }))
}

/// Refuses a model that is not served.
pub(crate) fn check_model(asked: &str, model: &Model) -> Answer<()> {
    let is_served = asked == model.name || asked == "gxn" || asked.len() >= 8 && model.fingerprint.starts_with(asked);
    if is_served {
        return Ok(());
    }
    Err(Problem::not_found(format!("the model: found {asked:?}, expected {:?}", model.name))
        .with_remedy("GET /v1/models names it"))
}

fn contents(input: Input, modality: Option<InputModality>, app: &App) -> Answer<Vec<Content>> {
    let limits = &app.options().limits;
    let items = match input {
        Input::One(text) => vec![InputItem::Plain(text)],
        Input::Many(items) => items,
    };
    if items.is_empty() {
        return Err(Problem::invalid("the input: found none, expected at least one text or image"));
    }
    if items.len() > limits.inputs {
        let (found, most) = (items.len(), limits.inputs);
        return Err(Problem::too_large(format!("the input: found {found} items, expected at most {most}")));
    }
    let content = |item| {
        let (text, is_image) = match item {
            InputItem::Plain(text) => {
                let is_image = modality.map_or_else(|| text.starts_with("data:image/"), |m| m == InputModality::Image);
                (text, is_image)
            }
            InputItem::Typed(TypedItem::Text { text }) => (text, false),
            InputItem::Typed(TypedItem::ImageUrl { image_url }) => (image_url.url, true),
        };
        if is_image {
            return image_bytes(&text).map(Content::Image);
        }
        check_text(&text, limits)?;
        if !has_word(&text) {
            return Err(Problem::invalid("a text: found no word, expected at least one"));
        }
        Ok(Content::Text(text))
    };
    items.into_iter().map(content).collect()
}

/// The embedding in the space in which the inner product is the score, where there is one.
fn joint(mut vector: Vec<f32>, encoder: &Encoder) -> Vec<f32> {
    let space = encoder.space();
    if space.similarity == Similarity::Cosine {
        let border = space.dims_abstract.min(vector.len());
        let (low, high) = vector.split_at_mut(border);
        low.iter_mut().for_each(|value| *value *= space.lambda.sqrt());
        high.iter_mut().for_each(|value| *value *= (1.0 - space.lambda).sqrt());
    }
    vector
}

fn values(vector: Vec<f32>, format: EncodingFormat) -> Values {
    match format {
        EncodingFormat::Float => Values::Floats(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Values::Packed(STANDARD.encode(bytes))
        }
    }
}
