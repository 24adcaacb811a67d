//! Keys, origins, limits and headers; the socket.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use gxn_server::{App, ServeOptions};
use serde_json::json;

use crate::fixture::{get, options, post, problem, request, send, tiny, warm};

#[tokio::test]
async fn every_answer_has_the_headers_that_browsers_obey() {
    let app = tiny();
    for path in ["/", "/assets/page.js", "/health", "/nowhere", "/v1/items/nobody"] {
        let answer = get(&app, path).await;
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'self'; img-src 'self' data: blob:;") && !policy.contains("unsafe"));
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(answer.header(header::X_FRAME_OPTIONS), "DENY");
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
    assert!(get(&app, "/").await.header(header::CONTENT_TYPE).starts_with("text/html"));
    problem(&get(&app, "/assets/nothing.js").await, 404);
    problem(&get(&app, "/nowhere").await, 404);
    problem(&send(&app, request(Method::PUT, "/v1/search", &json!({}))).await, 405);
}

#[tokio::test]
async fn bodies_are_json_of_a_bounded_size() {
    let app = tiny();
    let sent = |kind: &str, body: &str| {
        let request = Request::post("/v1/search").header(header::CONTENT_TYPE, kind);
        request.body(Body::from(body.to_owned())).unwrap()
    };
    problem(&send(&app, sent("text/plain", "{}")).await, 415);
    problem(&send(&app, Request::post("/v1/search").body(Body::from("{}")).unwrap()).await, 415);
    problem(&send(&app, sent("application/json", "{")).await, 400);
    problem(&send(&app, sent("application/json; charset=utf-8", "[]")).await, 400);
    let mut small = options();
    small.limits.body_bytes = 100;
    let app = warm(small);
    problem(&send(&app, sent("application/json", &" ".repeat(101))).await, 413);
}

#[tokio::test]
async fn a_key_opens_what_is_of_the_index() {
    let app = warm(ServeOptions { api_key: Some("correct horse".into()), ..options() });
    let with = |value: &str| {
        let request = Request::get("/v1/models").header(header::AUTHORIZATION, value);
        request.body(Body::empty()).unwrap()
    };
    for path in ["/", "/assets/page.js", "/health", "/openapi.json"] {
        assert_eq!(get(&app, path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/v1/models", "/v1/index", "/v1/items/1/thumb", "/metrics", "/indices-list", "/v1/nowhere"] {
        let answer = get(&app, path).await;
        assert!(problem(&answer, 401).contains("Bearer KEY"), "{path}");
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer");
    }
    for wrong in ["Bearer wrong", "Bearer correct horse ", "Basic correct horse", "correct horse", "Bearer ", "Bearer"]
    {
        problem(&send(&app, with(wrong)).await, 401);
    }
    for right in ["Bearer correct horse", "bearer correct horse"] {
        assert_eq!(send(&app, with(right)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn pages_of_other_sites_reach_nothing() {
    let app = tiny();
    let from = |method: Method, host: &str, origin: &str| {
        let mut request = request(method, "/v1/search", &json!({"query": [{"text": "red"}]}));
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        request
    };
    let own = from(Method::POST, "localhost:8080", "http://localhost:8080");
    assert_eq!(send(&app, own).await.status, StatusCode::OK);
    for origin in ["http://evil.example", "null", "http://localhost:9"] {
        problem(&send(&app, from(Method::POST, "localhost:8080", origin)).await, 403);
    }
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"] {
        let named = Request::get("/health").header(header::HOST, host).body(Body::empty()).unwrap();
        problem(&send(&app, named).await, 403);
    }
    for host in ["localhost", "127.0.0.1:8080", "[::1]:8080"] {
        let named = Request::get("/health").header(header::HOST, host).body(Body::empty()).unwrap();
        assert_eq!(send(&app, named).await.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn too_much_to_do_is_said_at_once() {
    let busy = |change: fn(&mut ServeOptions)| {
        let mut options = options();
        change(&mut options);
        warm(options)
    };
    let none_at_once = busy(|options| options.limits.requests = 0);
    let no_time = busy(|options| options.limits.time = Duration::from_millis(1));
    // Ninety texts and seventeen images to encode.
    let long = json!({"query": "red ".repeat(90), "id": "red_1.png"});
    for app in [none_at_once, no_time] {
        let answer = post(&app, "/v1/explain", long.clone()).await;
        assert!(problem(&answer, 503).contains("try again"));
        assert_eq!(answer.header(header::RETRY_AFTER), "1");
    }
    let cold = App::new(options()).unwrap();
    for path in ["/health", "/v1/models"] {
        problem(&get(&cold.router(), path).await, 503);
    }
    assert_eq!(get(&cold.router(), "/").await.status, StatusCode::OK);
    let refused = App::new(ServeOptions { listen: "0.0.0.0:1".parse().unwrap(), ..options() });
    assert!(refused.is_err(), "no key");
}

#[tokio::test]
async fn what_was_done_is_counted() {
    let app = tiny();
    get(&app, "/v1/items/nobody").await;
    let text = String::from_utf8(get(&app, "/metrics").await.bytes).unwrap();
    assert!(text.contains(r#"gxn_requests_total{route="/v1/items/{id}",status="404"}"#), "{text}");
    assert!(text.contains(r#"gxn_items{modality="image"} 24"#) && text.contains("gxn_request_seconds_bucket"));
    assert!(!text.contains("nobody"));
}

#[tokio::test]
async fn a_socket_answers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, tiny()).await });
    let ask = move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let sent = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(sent.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    let answer = tokio::task::spawn_blocking(ask).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(r#""status":"ok","images":24"#), "{answer}");
}
