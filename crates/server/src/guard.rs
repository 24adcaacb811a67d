//! What every request passes through: origin, key, limits of number and time; headers of every response; the log line.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::problem::{Answer, Problem};

/// Headers of every response.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Paths that need no key: the page asks for it, and nothing in them is of the index.
const OPEN: [&str; 3] = ["/", "/health", "/openapi.json"];

/// Lets a request pass if it may, and if it is answered in time.
pub(crate) async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let checked = check_host(&app, request.headers(), request.uri())
        .and_then(|()| check_origin(request.method(), request.headers(), request.uri()))
        .and_then(|()| check_key(&app, request.headers(), request.uri().path()));
    if let Err(problem) = checked {
        return problem.into_response();
    }
    let Ok(_permit) = app.requests().clone().try_acquire_owned() else {
        return Problem::busy(format!("{} requests are being answered", app.options().limits.requests)).into_response();
    };
    let limit = app.options().limits.time;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::busy(format!("no answer within {} s", limit.as_secs())).into_response(),
    }
}

/// The host and port that a request was sent to.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    uri.authority().map(|authority| authority.as_str()).or_else(|| headers.get(header::HOST)?.to_str().ok())
}

/// On this machine alone, a name that a web site points here is not ours (DNS rebinding).
fn check_host(app: &App, headers: &HeaderMap, uri: &Uri) -> Answer<()> {
    if !app.options().listen.ip().is_loopback() || app.options().api_key.is_some() {
        return Ok(());
    }
    let Some(host) = host(headers, uri) else { return Ok(()) };
    let name = host.rsplit_once(':').filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit())).map_or(host, |x| x.0);
    let is_own = name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_own {
        return Ok(());
    }
    Err(Problem::forbidden(format!("the host: found {name:?}, expected localhost"))
        .with_remedy("open the address that the server printed"))
}

/// Pages of other sites change nothing here.
fn check_origin(method: &Method, headers: &HeaderMap, uri: &Uri) -> Answer<()> {
    if method.is_safe() {
        return Ok(());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let of_page = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, place)| place);
    if of_page.is_some() && of_page == host(headers, uri) {
        return Ok(());
    }
    Err(Problem::forbidden("the origin: found a page of another site, expected one of this server"))
}

fn check_key(app: &App, headers: &HeaderMap, path: &str) -> Answer<()> {
    let Some(key) = &app.options().api_key else { return Ok(()) };
    if OPEN.contains(&path) || path.starts_with("/assets/") {
        return Ok(());
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Err(Problem::unauthorized("the key: found none, expected one"));
    };
    let scheme = given.as_bytes().get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let given = scheme.map_or(&b""[..], |_| &given.as_bytes()[7..]);
    // Digests are of one length, so that the time tells nothing of the key, not even its length.
    let is_right = Sha256::digest(given).ct_eq(&Sha256::digest(key.as_bytes()));
    if bool::from(is_right) { Ok(()) } else { Err(Problem::unauthorized("the key: found another one")) }
}

/// Adds the headers that keep browsers from doing more than they should.
pub(crate) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Counts a request and writes its line.
pub(crate) async fn account(State(app): State<App>, request: Request<Body>, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    // Methods and paths that are no routes would make names without end.
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), start.elapsed());
    app.metrics().request(&route, status, took);
    let ms = took.as_secs_f64() * 1e3;
    tracing::debug!(%method, path, status, ms, "request");
    response
}
