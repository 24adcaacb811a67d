//! `POST /v1/caption` and `POST /v1/imagine`

use std::io::Cursor;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gxn::imagine::small_image::LABEL;
use gxn_data::{ImageLimits, ImageSource, has_word, read_limited};
use image::{ImageFormat, RgbImage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::items::find;
use super::query::{check_text, image_bytes};
use crate::app::App;
use crate::extract::{Body, Upload};
use crate::form::FormRequest;
use crate::problem::{Answer, Problem};

/// Captions of an image at most; beams of a search are as many, and at least three.
const MOST_CAPTIONS: usize = 10;
const LEAST_BEAM: usize = 3;
/// Generated images of a text at most.
const MOST_IMAGES: usize = 16;

/// An image to be captioned.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptionRequest {
    /// The image as a data URI.
    image: Option<String>,
    /// Or an image of the index.
    id: Option<String>,
    /// Captions.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1, maximum = 10)]
    n: usize,
}

/// The same as a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes a form, which is read as a CaptionRequest")]
pub(crate) struct CaptionForm {
    /// An image file.
    #[schema(value_type = Option<String>, format = Binary)]
    image: Option<Vec<u8>>,
    /// Or an image of the index.
    id: Option<String>,
    /// Captions.
    n: Option<usize>,
}

impl FormRequest for CaptionRequest {
    const TEXTS: &'static [&'static str] = &["image", "id"];
}

fn one() -> usize {
    1
}

/// Generated captions, the likeliest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CaptionResponse {
    captions: Vec<Caption>,
    model: String,
}

/// A generated caption.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Caption {
    text: String,
    /// ln p of its words and its end.
    log_probability: f64,
}

/// Generates captions of an image.
#[utoipa::path(post, path = "/v1/caption", tag = "model", request_body(content(
    (CaptionRequest = "application/json"), (CaptionForm = "multipart/form-data"))), responses(
    (status = 200, body = CaptionResponse),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The model does not generate captions", body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn caption(
    State(app): State<App>,
    Upload(request): Upload<CaptionRequest>,
) -> Answer<Json<CaptionResponse>> {
    let library = app.library()?;
    if !(1..=MOST_CAPTIONS).contains(&request.n) {
        return Err(Problem::invalid(format!("n: found {}, expected 1 to {MOST_CAPTIONS}", request.n)));
    }
    let retriever = library.retriever();
    if !retriever.encoder().can_caption() {
        // Says what to do; no image is read for it.
        retriever.encoder().caption_features(&[], 1)?;
    }
    let bytes = match (request.image, request.id) {
        (Some(uri), None) => image_bytes(&uri)?,
        (None, Some(id)) => stored_bytes(&app, id).await?,
        _ => return Err(Problem::invalid("the request: expected either `image` or `id`")),
    };
    let feature = library.encoding.images(vec![bytes]).await?.remove(0).feature;
    let (count, beam) = (request.n, request.n.max(LEAST_BEAM));
    let found = library.encoding.run(move |encoder| encoder.caption_features(&feature, beam)).await?;
    let captions = found.into_iter().flatten().take(count);
    let captions = captions.map(|c| Caption { text: c.caption, log_probability: c.log_probability }).collect();
    Ok(Json(CaptionResponse { captions, model: library.model.name.clone() }))
}

/// The bytes of an image of the index.
pub(crate) async fn stored_bytes(app: &App, id: String) -> Answer<Vec<u8>> {
    let retriever = app.library()?.retriever();
    App::blocking(move || {
        let file = retriever.file_of(&find(&retriever, &id)?)?;
        Ok(read_limited(&ImageSource::File(file), &ImageLimits::default())?)
    })
    .await
}

/// A text to be imagined.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImagineRequest {
    text: String,
    /// Of the first image; the next ones have the next seeds.
    #[serde(default)]
    seed: u64,
    /// Images.
    #[serde(default = "four")]
    #[schema(default = 4, minimum = 1, maximum = 16)]
    n: usize,
}

fn four() -> usize {
    4
}

/// Generated images.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImagineResponse {
    /// PNG files as data URIs, 64×64 pixels.
    images: Vec<String>,
    model: String,
    /// What they are.
    note: &'static str,
}

/// Generates images of a text.
#[utoipa::path(post, path = "/v1/imagine", tag = "model", request_body = ImagineRequest, responses(
    (status = 200, body = ImagineResponse),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The model does not generate images", body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn imagine(
    State(app): State<App>,
    Body(request): Body<ImagineRequest>,
) -> Answer<Json<ImagineResponse>> {
    let library = app.library()?;
    check_text(&request.text, &app.options().limits)?;
    if !has_word(&request.text) {
        return Err(Problem::invalid("the text: found no word, expected at least one"));
    }
    if !(1..=MOST_IMAGES).contains(&request.n) {
        return Err(Problem::invalid(format!("n: found {}, expected 1 to {MOST_IMAGES}", request.n)));
    }
    let ImagineRequest { text, seed, n } = request;
    let images = library.encoding.run(move |encoder| {
        let seeds: Vec<u64> = (0..n as u64).map(|at| seed.wrapping_add(at)).collect();
        let images = encoder.generate_images(&vec![text; n], &seeds)?;
        Ok(images.iter().map(|image| image.to_rgb()).collect::<Vec<_>>())
    });
    let images = images.await?.iter().map(png_uri).collect::<Answer<_>>()?;
    Ok(Json(ImagineResponse { images, model: library.model.name.clone(), note: LABEL }))
}

fn png_uri(image: &RgbImage) -> Answer<String> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| Problem::internal(format!("an image cannot be written: {error}")))?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(bytes.into_inner())))
}
