//! `GET /openapi.json`: the routes as an OpenAPI document.

use axum::Json;
use utoipa::OpenApi;

use crate::routes::{
    clip_retrieval, data, edit, embeddings, explain, generate, health, index, items, models, reports, runs, search,
};

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
        explain::explain,
        embeddings::embeddings,
        generate::caption,
        generate::imagine,
        edit::add,
        edit::remove,
        edit::job,
        edit::job_events,
        runs::runs,
        runs::run,
        runs::run_events,
        runs::sample,
        reports::reports,
        reports::report,
        reports::judge,
        data::data,
        clip_retrieval::knn_service,
        clip_retrieval::metadata,
        clip_retrieval::indices_list,
    )
)]
struct Document;

/// The document.
pub(crate) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
