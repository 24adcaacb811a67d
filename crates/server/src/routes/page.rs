//! The page's files.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::extract::Id;
use crate::page::asset;
use crate::problem::{Answer, Problem};

fn file(name: &str) -> Answer<Response> {
    let asset = asset(name).ok_or_else(|| Problem::not_found(format!("the file {name:?} of the page: found none")))?;
    Ok(([(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "no-cache")], asset.bytes).into_response())
}

pub(crate) async fn index() -> Answer<Response> {
    file("index.html")
}

pub(crate) async fn named(Id(name): Id) -> Answer<Response> {
    file(&name)
}
