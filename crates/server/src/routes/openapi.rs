//! `GET /openapi.json`: the routes as an OpenAPI document.

use axum::Json;
use utoipa::OpenApi;

use crate::routes::{health, index, items, models, search};

#[derive(OpenApi)]
#[openapi(
    info(title = "gxn", description = "Search images by words and images; embeddings, captions and generated images."),
    paths(
        health::health,
        health::metrics,
        models::models,
        index::index,
        search::search,
        items::item,
        items::thumb,
        items::original,
    )
)]
struct Document;

/// The document.
pub(crate) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
