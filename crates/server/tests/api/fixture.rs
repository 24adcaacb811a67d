//! A tiny dataset, a model that captions and imagines, indexes, and requests without a socket.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gxn::config::{RunConfig, SelectBy, Similarity, Stage};
use gxn::encoder::Encoder;
use gxn::look::backbone::BackboneKind;
use gxn::retrieve::{IndexOptions, refresh};
use gxn::train::Trainer;
use gxn_server::{App, ServeOptions};
use image::RgbImage;
use serde_json::Value;
use tower::ServiceExt;

use crate::tiny_dataset::{COLOURS, tiny_dataset};

pub use crate::tiny_dataset::patch;

/// What all tests share and nobody changes.
pub struct Shared {
    folder: tempfile::TempDir,
}

impl Shared {
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// `tiny.json` with `images`; the runs `runs/plain`, which only matches, and `runs/joint`, which also captions and imagines;
/// `index`, of the dataset, made with `joint`.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let shared = Shared { folder: tempfile::tempdir().unwrap() };
        let data = tiny_dataset(shared.folder.path());
        std::fs::copy(shared.at("images/red_0.png"), shared.at("images/black_3.png")).unwrap(); // the last is a copy of the first
        let run = |name: &str, stage: Stage, begin: Option<&str>, merge: Option<&str>| {
            let path = |name: &str| shared.at(&format!("runs/{name}")).display().to_string();
            let mut config = config(&data, stage);
            (config.train.init_from, config.train.merge_from) = (begin.map(path), merge.map(path));
            Trainer::new(config, path(name).as_ref(), &shared.at("features"), &()).unwrap().run(&()).unwrap();
        };
        run("plain", Stage::Match, None, None);
        run("captions", Stage::I2tXe, Some("plain"), None);
        run("images", Stage::T2iPretrain, Some("plain"), None);
        run("joint", Stage::I2tT2i, Some("captions"), Some("images"));
        let encoder = Encoder::load(&shared.at("runs/joint")).unwrap();
        refresh(&encoder, &data, shared.at("index"), &IndexOptions::default(), &()).unwrap();
        shared
    })
}

fn config(data: &Path, stage: Stage) -> RunConfig {
    let mut config = RunConfig::default();
    config.data.source = data.display().to_string();
    let look = &mut config.look;
    (look.backbone, look.finetune, look.weights) = (BackboneKind::Small, true, "random".into());
    (look.side_px, look.embed_dim, look.sentence.word_dim, look.sentence.hidden) = (32, 16, 8, 12);
    (config.matching.similarity, config.matching.absolute) = (Similarity::Cosine, false);
    (config.imagine.caption.hidden, config.imagine.caption.min_count) = (10, 1);
    let image = &mut config.imagine.image;
    (image.generator_width, image.discriminator_width, image.condition_dim, image.noise_dim) = (4, 2, 4, 4);
    (config.train.stage, config.train.select_by) = (stage, SelectBy::Last);
    (config.train.epochs, config.train.batch_size) = (1, 6);
    config
}

/// A folder of its own with eight images, and its index, made with the run `plain`.
pub fn photos() -> (tempfile::TempDir, ServeOptions) {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for (number, (colour, rgb)) in COLOURS.iter().enumerate() {
        patch(*rgb, number % 4).save(photos.join(format!("{colour}.png"))).unwrap();
    }
    std::fs::create_dir(photos.join("sub")).unwrap();
    patch([220, 30, 30], 3).save(photos.join("sub/red 3.png")).unwrap();
    patch([220, 30, 30], 2).save(photos.join("sub/größe.png")).unwrap();
    index(&photos);
    let options = ServeOptions::new(photos.join(".gxn"));
    (folder, options)
}

/// Brings the index of a folder of photos up to date, as another program would.
pub fn index(photos: &Path) {
    let encoder = Encoder::load(&shared().at("runs/plain")).unwrap();
    refresh(&encoder, photos, photos.join(".gxn"), &IndexOptions::default(), &()).unwrap();
}

/// Of the shared index.
pub fn options() -> ServeOptions {
    let shared = shared();
    ServeOptions {
        runs: shared.at("runs"),
        data: Some(shared.at("tiny.json")),
        ..ServeOptions::new(shared.at("index"))
    }
}

/// The routes of what is served, model and index open.
pub fn warm(options: ServeOptions) -> Router {
    let app = App::new(options).unwrap();
    app.warm_up().unwrap();
    app.router()
}

/// The routes of the shared index.
pub fn tiny() -> Router {
    static APP: OnceLock<App> = OnceLock::new();
    let app = APP.get_or_init(|| {
        let app = App::new(options()).unwrap();
        app.warm_up().unwrap();
        app
    });
    app.router()
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

pub async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

/// A field of a form: its name, the file's name and content type where it is one, its bytes.
pub type Field<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a [u8]);

/// Sends a form, as `curl -F` does.
pub async fn post_form(router: &Router, path: &str, fields: &[Field<'_>]) -> Answer {
    let mut body = Vec::new();
    for (name, file, bytes) in fields {
        body.extend(format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
        if let Some((file_name, kind)) = file {
            body.extend(format!("; filename=\"{file_name}\"\r\nContent-Type: {kind}").bytes());
        }
        body.extend([b"\r\n\r\n", *bytes, b"\r\n"].concat());
    }
    body.extend(b"--edge--\r\n");
    let request = Request::post(path).header(header::CONTENT_TYPE, "multipart/form-data; boundary=edge");
    send(router, request.body(Body::from(body)).unwrap()).await
}

pub fn request(method: Method, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

pub async fn post(router: &Router, path: &str, body: Value) -> Answer {
    send(router, request(Method::POST, path, &body)).await
}

/// The JSON of a request that must succeed.
pub async fn posted(router: &Router, path: &str, body: Value) -> Value {
    let answer = post(router, path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.bytes));
    answer.json()
}

pub async fn got(router: &Router, path: &str) -> Value {
    let answer = get(router, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.bytes));
    answer.json()
}

/// Asserts a problem of this status; returns its detail and remedy.
pub fn problem(answer: &Answer, status: u16) -> String {
    let text = String::from_utf8_lossy(&answer.bytes);
    assert_eq!(answer.status.as_u16(), status, "{text}");
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json");
    let json = answer.json();
    assert_eq!(json["status"], status);
    assert!(json["type"].as_str().unwrap().starts_with("urn:gxn:problem:") && json["title"].is_string(), "{json}");
    format!("{} / {}", json["detail"].as_str().unwrap(), json["remedy"].as_str().unwrap_or_default())
}

/// An image as the bytes of a file.
pub fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// An image as a data URI.
pub fn uri(image: &RgbImage) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png(image)))
}

pub fn ids(found: &Value) -> Vec<String> {
    found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}
