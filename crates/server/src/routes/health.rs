//! `/health` and `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use gxn_index::Modality;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::{Answer, Problem};

/// A server that is ready.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or `outdated`: the index was changed and cannot be opened with this model, so what it was before is served.
    #[schema(example = "ok")]
    status: &'static str,
    images: usize,
    captions: usize,
    /// The model's name.
    model: String,
}

/// Whether model and index are open.
#[utoipa::path(get, path = "/health", tag = "server", responses(
    (status = 200, body = Health),
    (status = 503, description = "They are being opened", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn health(State(app): State<App>) -> Answer<Json<Health>> {
    let library = app.library()?;
    let retriever = library.retriever();
    let count = |modality| retriever.index().count(modality);
    let (images, captions) = (count(Modality::Image), count(Modality::Text));
    let status = if library.is_outdated() { "outdated" } else { "ok" };
    Ok(Json(Health { status, images, captions, model: library.model.name.clone() }))
}

/// Counts and times for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "server", responses(
    (status = 200, description = "Prometheus text", body = String, content_type = "text/plain"),
))]
pub(crate) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    if let Ok(library) = app.library() {
        for (lane, count) in library.encoding.waiting() {
            app.metrics().waiting(lane, count);
        }
        let retriever = library.retriever();
        for (name, modality) in [("image", Modality::Image), ("text", Modality::Text)] {
            app.metrics().items(name, retriever.index().count(modality));
        }
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics().text())
}
