//! Images that are added and removed over HTTP.

use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use gxn_server::ServeOptions;
use serde_json::{Value, json};

use crate::fixture::{Answer, get, got, ids, options, patch, photos, post, posted, problem, request, send, uri, warm};

/// Waits for the end of the job that a request began.
async fn over(app: &Router, answer: Answer) -> Value {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.bytes));
    let path = format!("/v1/jobs/{}", answer.json()["job"].as_str().unwrap());
    loop {
        let job = got(app, &path).await;
        if job["state"] == "done" || job["state"] == "failed" {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_image_comes_and_goes() {
    let (folder, options) = photos();
    let file = folder.path().join("photos/new.png");
    let app = warm(options);
    let new = json!({"name": "new.png", "image": uri(&patch([200, 9, 200], 1))});
    let job = over(&app, post(&app, "/v1/index/items", new.clone()).await).await;
    assert_eq!(job, json!({"state": "done", "done": 1, "total": 1, "message": "added new.png"}));
    assert!(file.is_file());
    assert_eq!(ids(&posted(&app, "/v1/search", json!({"query": [{"id": "new.png"}], "top": 1})).await), ["new.png"]);
    assert_eq!(got(&app, "/health").await["images"], 9);
    assert!(problem(&post(&app, "/v1/index/items", new).await, 409).contains("taken"));
    let delete = || send(&app, request(Method::DELETE, "/v1/index/items/new.png", &Value::Null));
    assert_eq!(over(&app, delete().await).await["state"], "done");
    problem(&get(&app, "/v1/items/new.png").await, 404);
    problem(&delete().await, 404);
    assert!(file.is_file(), "files are not removed");
}

#[tokio::test]
async fn a_job_tells_how_far_it_is() {
    let (_folder, options) = photos();
    let app = warm(options);
    let begun = send(&app, request(Method::DELETE, "/v1/index/items/red.png", &Value::Null)).await;
    let events = get(&app, &format!("/v1/jobs/{}/events", begun.json()["job"].as_str().unwrap())).await;
    let text = String::from_utf8(events.bytes).unwrap();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    assert_eq!(serde_json::from_str::<Value>(last).unwrap()["state"], "done", "{text}");
    problem(&get(&app, "/v1/jobs/99").await, 404);
    problem(&get(&app, "/v1/jobs/99/events").await, 404);
}

#[tokio::test]
async fn what_must_not_be_written_is_not() {
    let (folder, own) = photos();
    let app = warm(own.clone());
    let image = uri(&patch([1, 2, 3], 1));
    for (name, image, status) in [
        ("../x.png", image.as_str(), 400),
        (".x.png", &image, 400),
        ("x.txt", &image, 400),
        ("x.png", "data:image/png;base64,aGk=", 400),
        ("x.png", "http://127.0.0.1/x.png", 400),
        ("red.png", &image, 409),
    ] {
        problem(&post(&app, "/v1/index/items", json!({"name": name, "image": image})).await, status);
    }
    let reader = warm(ServeOptions { read_only: true, ..own });
    let new = json!({"name": "x.png", "image": image});
    problem(&post(&reader, "/v1/index/items", new.clone()).await, 403);
    problem(&send(&reader, request(Method::DELETE, "/v1/index/items/red.png", &Value::Null)).await, 403);
    assert!(!folder.path().join("photos/x.png").exists());
    // The dataset says what its index holds.
    let data = warm(options());
    assert!(problem(&post(&data, "/v1/index/items", new).await, 409).contains("a dataset"));
    assert!(!crate::fixture::shared().at("x.png").exists());
}
