//! `GET /v1/index`

use axum::Json;
use axum::extract::State;
use gxn_index::Modality;
use gxn_index::filter::IMAGE_FIELDS;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::Answer;

/// What is served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexInfo {
    images: usize,
    captions: usize,
    /// Names that a filter can use: those that every image has, then columns of the first images.
    fields: Vec<String>,
    /// The folder that paths are relative to.
    root: Option<String>,
    /// The model's name.
    model: String,
    /// Seconds since 1970.
    created: u64,
    /// Whether items can be added and removed.
    read_only: bool,
}

/// The index.
#[utoipa::path(get, path = "/v1/index", tag = "index", responses((status = 200, body = IndexInfo)))]
pub(crate) async fn index(State(app): State<App>) -> Answer<Json<IndexInfo>> {
    let library = app.library()?;
    let (retriever, model) = (library.retriever(), library.model.name.clone());
    let shows_paths = app.options().shows_paths();
    let read_only = app.options().read_only;
    App::blocking(move || {
        let index = retriever.index();
        let own = IMAGE_FIELDS.iter().map(|&field| field.to_owned());
        Ok(Json(IndexInfo {
            images: index.count(Modality::Image),
            captions: index.count(Modality::Text),
            fields: own.chain(index.columns()?).collect(),
            root: retriever.root().filter(|_| shows_paths).map(|root| root.display().to_string()),
            model,
            created: index.meta().created_unix_s,
            read_only,
        }))
    })
    .await
}
