//! What handlers take from a request, with problems as rejections.

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::form::{FormRequest, read_form};
use crate::problem::Problem;

/// A body of `application/json`.
pub(crate) struct Body<T>(pub T);

/// A body of `application/json`, or a form with files that says the same.
pub(crate) struct Upload<T>(pub T);

/// A body of JSON that need not say so, as clip-retrieval's client sends it. For routes that change nothing.
pub(crate) struct UntypedBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        check_type(&request)?;
        read(request, app).await.map(Self)
    }
}

impl<T: FormRequest> FromRequest<App> for Upload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let content_type = content_type(&request).to_owned();
        match essence(&content_type).to_ascii_lowercase().as_str() {
            JSON => read(request, app).await.map(Self),
            FORM => read_form(&content_type, bytes(request, app).await?).await.map(Self),
            _ => Err(other_type(&content_type, "application/json or multipart/form-data")),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<App> for UntypedBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if request.headers().contains_key(CONTENT_TYPE) {
            check_type(&request)?;
        }
        read(request, app).await.map(Self)
    }
}

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data";

fn check_type(request: &Request) -> Result<(), Problem> {
    let found = content_type(request);
    if essence(found).eq_ignore_ascii_case(JSON) { Ok(()) } else { Err(other_type(found, JSON)) }
}

fn content_type(request: &Request) -> &str {
    request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none")
}

/// A content type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn other_type(found: &str, expected: &str) -> Problem {
    Problem::media_type(format!("the content type: found {found:?}, expected {expected}"))
}

async fn bytes(request: Request, app: &App) -> Result<Bytes, Problem> {
    let most = app.options().limits.body_bytes;
    to_bytes(request.into_body(), most).await.map_err(|_| {
        Problem::too_large(format!("the body: found more than it may have, or a part of it; at most {most} bytes"))
    })
}

async fn read<T: DeserializeOwned>(request: Request, app: &App) -> Result<T, Problem> {
    let bytes = bytes(request, app).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::invalid(format!("the body: {error}")))
}

/// The last variable part of a path.
pub(crate) struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::invalid(format!("the path: {}", error.body_text())))?;
        Ok(Self(id))
    }
}

/// Parameters behind the `?`.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(found) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::invalid(format!("the parameters: {}", error.body_text())))?;
        Ok(Self(found))
    }
}
