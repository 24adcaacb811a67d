//! Adding and removing images as jobs, and where a job is.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gxn::retrieve::{Provenance, SourceKind, add_image, remove_image};
use gxn_base::fs::write_synced;
use gxn_base::{Error, Result};
use gxn_data::{ImageLimits, decode_image, has_image_extension};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::items::find;
use super::query::image_bytes;
use crate::app::App;
use crate::events::{Next, follow};
use crate::extract::{Id, Upload};
use crate::form::{FormField, FormRequest, insert};
use crate::jobs::JobState;
use crate::problem::{Answer, Problem};

/// Bytes of a file's name.
const LONGEST_NAME: usize = 200;

/// An image to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewItem {
    /// The name of its file, such as `beach.jpg`.
    name: String,
    /// The image as a data URI.
    image: String,
}

/// The same as a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes a form, which is read as a NewItem")]
pub(crate) struct NewItemForm {
    /// The name of its file; without it, the file keeps the name that it has.
    name: Option<String>,
    /// An image file.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

impl FormRequest for NewItem {
    const TEXTS: &'static [&'static str] = &["name", "image"];

    fn arranged(fields: Vec<FormField>) -> Answer<Map<String, Value>> {
        let (mut map, mut own_name) = (Map::new(), None);
        for FormField { name, file_name, value } in fields {
            own_name = own_name.or(file_name);
            insert(&mut map, name, value)?;
        }
        if let (false, Some(name)) = (map.contains_key("name"), own_name) {
            insert(&mut map, "name".into(), name.into())?;
        }
        Ok(map)
    }
}

/// A job that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    /// Its id, for `/v1/jobs/{id}`.
    job: String,
}

/// Writes an image into the indexed folder and adds it to the index.
#[utoipa::path(post, path = "/v1/index/items", tag = "index", request_body(content(
    (NewItem = "application/json"), (NewItemForm = "multipart/form-data"))), responses(
    (status = 202, body = Begun),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The server is read-only", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "There is such a file, or the index is of a dataset", body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn add(State(app): State<App>, Upload(item): Upload<NewItem>) -> Answer<(StatusCode, Json<Begun>)> {
    may_write(&app)?;
    let library = app.library()?;
    let retriever = library.retriever();
    if library.is_outdated() {
        return Err(Problem::conflict("the index: found one of another model, expected one of the model that serves")
            .with_remedy("try again in a minute, or start the server again"));
    }
    check_name(&item.name)?;
    let bytes = image_bytes(&item.image)?;
    let limits = ImageLimits { max_pixels: app.options().limits.pixels, ..ImageLimits::default() };
    if Provenance::of(retriever.place(), retriever.index().meta())?.kind == Some(SourceKind::Dataset) {
        return Err(Problem::conflict("the index: found that of a dataset, expected that of a folder of images")
            .with_remedy("add the image to the dataset and index it again"));
    }
    let checked = App::blocking(move || {
        decode_image(&bytes, "the image", &limits)?;
        Ok(bytes)
    });
    let bytes = checked.await?;
    let root = retriever.root().ok_or_else(|| Problem::conflict("the index: found no folder that it is of"))?;
    let file = root.join(&item.name);
    if file.symlink_metadata().is_ok() {
        return Err(Problem::conflict(format!("the name: found {:?}, which is taken, expected a new one", item.name)));
    }
    let (encoder, place) = (retriever.encoder().clone(), retriever.place().clone());
    let job = app.jobs().submit(move || {
        write_new(&file, &bytes)?;
        let added = add_image(&encoder, &place, &file);
        if added.is_err() {
            // What is not in the index is not left in the folder either.
            let _ = std::fs::remove_file(&file);
        }
        added.map(|item| format!("added {}", item.id))
    })?;
    Ok((StatusCode::ACCEPTED, Json(Begun { job })))
}

/// Removes an image from the index; its file stays.
#[utoipa::path(delete, path = "/v1/index/items/{id}", tag = "index", params(("id" = String, Path, description = "Its id, percent-encoded")), responses(
    (status = 202, body = Begun),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The server is read-only", body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove(State(app): State<App>, Id(id): Id) -> Answer<(StatusCode, Json<Begun>)> {
    may_write(&app)?;
    let retriever = app.library()?.retriever();
    let place = retriever.place().clone();
    let item = App::blocking(move || find(&retriever, &id)).await?;
    let job = app.jobs().submit(move || {
        let removed = remove_image(&place, &item.id)?;
        Ok(format!("{} {}", if removed { "removed" } else { "was gone:" }, item.id))
    })?;
    Ok((StatusCode::ACCEPTED, Json(Begun { job })))
}

/// Refuses changes where the server is read-only.
pub(crate) fn may_write(app: &App) -> Answer<()> {
    if app.options().read_only { Err(Problem::forbidden("the server is read-only")) } else { Ok(()) }
}

/// A plain name of an image file, without folders, not hidden.
fn check_name(name: &str) -> Answer<()> {
    let is_plain = !name.starts_with('.')
        && !name.contains(['/', '\\', ':', '\0'])
        && !name.chars().any(char::is_control)
        && name.len() <= LONGEST_NAME
        && has_image_extension(Path::new(name));
    if is_plain {
        return Ok(());
    }
    Err(Problem::invalid(format!("the name: found {name:?}, expected that of an image file, such as beach.jpg")))
}

/// Writes a file that must be new; one that cannot be written whole is removed.
fn write_new(file: &Path, bytes: &[u8]) -> Result<()> {
    let claim = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    claim.map_err(|error| Error::io("cannot write", file, error))?;
    write_synced(file, bytes).inspect_err(|_| {
        let _ = std::fs::remove_file(file);
    })
}

fn state(app: &App, id: &str) -> Answer<JobState> {
    app.jobs().state(id).ok_or_else(|| Problem::not_found(format!("the job: found {id:?}, expected the id of one")))
}

/// Where a job is.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "index", params(("id" = String, Path, description = "The job's id")), responses(
    (status = 200, body = JobState),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn job(State(app): State<App>, Id(id): Id) -> Answer<Json<JobState>> {
    state(&app, &id).map(Json)
}

/// Where a job is, whenever that changes, until it is over (server-sent events).
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "index", params(("id" = String, Path, description = "The job's id")), responses(
    (status = 200, description = "A JSON object an event", body = String, content_type = "text/event-stream"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn job_events(State(app): State<App>, Id(id): Id) -> Answer<Response> {
    state(&app, &id)?;
    let (of_job, mut last) = (app.clone(), None);
    follow(&app, move || {
        let Ok(now) = state(&of_job, &id) else { return (Vec::new(), Next::End) };
        let then = if now.is_over() { Next::End } else { Next::Later };
        if last.as_ref() == Some(&now) {
            return (Vec::new(), then);
        }
        let text = serde_json::to_string(&now).unwrap_or_default();
        last = Some(now);
        (vec![text], then)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert!(check_name("my beach.JPG").is_ok());
        for bad in
            ["", ".a.jpg", "../a.jpg", "a/b.jpg", "a\\b.jpg", "a.txt", "a\n.jpg", &format!("{}.jpg", "a".repeat(300))]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
