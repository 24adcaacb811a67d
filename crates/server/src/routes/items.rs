//! `GET /v1/items/{id}`, `…/thumb`, `…/original`

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gxn::retrieve::Retriever;
use gxn_base::Kind;
use gxn_data::{ImageLimits, ImageSource, read_limited};
use gxn_index::ImageItem;
use image::ImageFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::extract::{Id, Params};
use crate::problem::{Answer, Problem};
use crate::thumbs::{Thumbs, thumb as make_thumb};

/// An image of the index.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Item {
    id: String,
    /// As the index has it: relative to the indexed folder where it lies in it.
    path: String,
    width: u32,
    height: u32,
    /// Bytes.
    size: u64,
    /// Seconds since 1970.
    mtime: f64,
    sha256: String,
    /// Columns of the dataset.
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
    /// The captions that the index has of it.
    captions: Vec<StoredCaption>,
}

/// A caption of the dataset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoredCaption {
    id: String,
    text: String,
}

/// Parameters of a small copy.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThumbParams {
    /// The longer side in pixels; 64, 128, 256, 512 or 1024, others are rounded up.
    #[param(minimum = 1, maximum = 1024, example = 256)]
    side: Option<u32>,
}

/// The image with this id.
pub(crate) fn find(retriever: &Retriever, id: &str) -> Answer<ImageItem> {
    let item = retriever.index().image_of_id(id)?;
    item.ok_or_else(|| Problem::not_found(format!("the id: found {id:?}, expected that of an image of the index")))
}

/// An image with its fields and captions.
#[utoipa::path(get, path = "/v1/items/{id}", tag = "index", params(("id" = String, Path, description = "Its id, percent-encoded")),
    responses(
        (status = 200, body = Item),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn item(State(app): State<App>, Id(id): Id) -> Answer<Json<Item>> {
    let retriever = app.library()?.retriever();
    App::blocking(move || {
        let item = find(&retriever, &id)?;
        let captions = retriever.index().captions_of_image(&id)?.into_iter();
        Ok(Json(Item {
            captions: captions.map(|caption| StoredCaption { id: caption.id, text: caption.text }).collect(),
            id: item.id,
            path: item.path,
            width: item.width,
            height: item.height,
            size: item.size,
            mtime: item.mtime_unix_ms as f64 / 1e3,
            sha256: item.sha256,
            fields: item.meta,
        }))
    })
    .await
}

/// The image's item and file.
async fn file(retriever: Arc<Retriever>, id: String) -> Answer<(ImageItem, PathBuf)> {
    App::blocking(move || {
        let item = find(&retriever, &id)?;
        let file = retriever.file_of(&item)?;
        Ok((item, file))
    })
    .await
}

/// A small copy as JPEG.
#[utoipa::path(get, path = "/v1/items/{id}/thumb", tag = "index",
    params(("id" = String, Path, description = "The image's id, percent-encoded"), ThumbParams),
    responses(
        (status = 200, body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "The client has it"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn thumb(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<ThumbParams>,
    headers: HeaderMap,
) -> Answer<Response> {
    let side = match params.side.unwrap_or(256) {
        side @ 1..=1024 => Thumbs::side(side),
        side => return Err(Problem::invalid(format!("side: found {side}, expected 1 to 1024"))),
    };
    let (item, file) = file(app.library()?.retriever(), id).await?;
    let key = if item.sha256.is_empty() {
        format!("{}-{}-{side}", item.id, item.mtime_unix_ms)
    } else {
        format!("{}-{side}", item.sha256)
    };
    let tag = format!("\"{}\"", gxn_data::ContentHash::of(key.as_bytes()));
    if headers.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let copy = match app.thumbs().get(&key) {
        Some(copy) => copy,
        None => {
            let _turn = app.thumbs().turn().await;
            let made = App::blocking(move || Ok(make_thumb(&file, side, &ImageLimits::default()).map_err(unusable)?));
            let copy = Bytes::from(made.await?);
            app.thumbs().keep(key, copy.clone());
            copy
        }
    };
    let headers =
        [(CONTENT_TYPE, "image/jpeg".to_owned()), (ETAG, tag), (CACHE_CONTROL, "private, max-age=300".into())];
    Ok((headers, copy).into_response())
}

/// The file as it is.
#[utoipa::path(get, path = "/v1/items/{id}/original", tag = "index",
    params(("id" = String, Path, description = "The image's id, percent-encoded")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "image/*"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn original(State(app): State<App>, Id(id): Id) -> Answer<Response> {
    let (_, file) = file(app.library()?.retriever(), id).await?;
    let read = move || Ok(read_limited(&ImageSource::File(file), &ImageLimits::default()).map_err(unusable)?);
    let bytes = App::blocking(read).await?;
    let kind = content_type(&bytes)
        .ok_or_else(|| Problem::from(gxn_base::Error::unsupported("the file", "no image", "an image")))?;
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, max-age=300")], bytes).into_response())
}

/// The file of an image may have become unusable; that is no fault of the request, and none of the server.
fn unusable(error: gxn_base::Error) -> gxn_base::Error {
    match error.kind() {
        Kind::Invalid => gxn_base::Error::unsupported(
            "the image's file",
            error.found().unwrap_or("damaged data").to_owned(),
            "an image that can be decoded",
        ),
        _ => error,
    }
}

/// The content type by the bytes, of formats that browsers show and that hold no scripts.
pub(crate) fn content_type(bytes: &[u8]) -> Option<&'static str> {
    match image::guess_format(bytes).ok()? {
        ImageFormat::Jpeg => Some("image/jpeg"),
        ImageFormat::Png => Some("image/png"),
        ImageFormat::WebP => Some("image/webp"),
        ImageFormat::Gif => Some("image/gif"),
        ImageFormat::Bmp => Some("image/bmp"),
        ImageFormat::Tiff => Some("image/tiff"),
        _ => None,
    }
}
