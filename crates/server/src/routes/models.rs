//! `GET /v1/models`

use axum::Json;
use axum::extract::State;
use gxn::encoder::Encoder;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::Answer;

/// OpenAI's list of models; there is one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Models {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<ModelEntry>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelEntry {
    /// Its name.
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    #[schema(example = "gxn")]
    owned_by: &'static str,
    /// A hash over configuration, vocabulary, preprocessing and weights.
    fingerprint: String,
    /// Weight of the abstract level.
    lambda: f64,
    /// 2, or 1 where there is no grounded level and `lambda` is 1.
    levels: u8,
    /// Values of an embedding.
    dimensions: usize,
    /// Of `embed_text`, `embed_image`, `caption`, `imagine`.
    can: Vec<&'static str>,
    /// Whether hits have a relevance.
    calibrated: bool,
}

/// What the model can do.
pub(crate) fn abilities(encoder: &Encoder) -> Vec<&'static str> {
    let all = [
        ("embed_text", encoder.can_embed_texts()),
        ("embed_image", encoder.can_embed_images()),
        ("caption", encoder.can_caption()),
        ("imagine", encoder.can_generate_images()),
    ];
    all.into_iter().filter_map(|(name, can)| can.then_some(name)).collect()
}

/// The model.
#[utoipa::path(get, path = "/v1/models", tag = "model", responses((status = 200, body = Models)))]
pub(crate) async fn models(State(app): State<App>) -> Answer<Json<Models>> {
    let library = app.library()?;
    let (retriever, model) = (library.retriever(), library.model.clone());
    let encoder = retriever.encoder();
    let entry = ModelEntry {
        id: model.name,
        object: "model",
        created: model.created,
        owned_by: "gxn",
        fingerprint: model.fingerprint,
        lambda: encoder.lambda(),
        levels: if encoder.has_grounded_level() { 2 } else { 1 },
        dimensions: encoder.space().dims(),
        can: abilities(encoder),
        calibrated: retriever.calibration().is_some(),
    };
    Ok(Json(Models { object: "list", data: vec![entry] }))
}
