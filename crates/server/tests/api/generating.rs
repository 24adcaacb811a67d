//! Captions, generated images and explanations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fixture::{got, ids, patch, photos, post, posted, problem, tiny, uri, warm};

#[tokio::test]
async fn captions_of_uploads_and_items() {
    let app = tiny();
    let image = uri(&patch([40, 60, 220], 1));
    let found = posted(&app, "/v1/caption", json!({"image": image, "n": 2})).await;
    let captions = found["captions"].as_array().unwrap();
    assert!(captions.len() == 2 && found["model"] == "joint", "{found}");
    let p: Vec<f64> = captions.iter().map(|caption| caption["log_probability"].as_f64().unwrap()).collect();
    assert!(p[0] >= p[1] && p[0] < 0.0, "{p:?}");
    let id = &ids(&posted(&app, "/v1/search", json!({"query": [{"text": "blue"}], "top": 1})).await)[0];
    assert_eq!(posted(&app, "/v1/caption", json!({"id": id})).await["captions"].as_array().unwrap().len(), 1);
    for (body, status) in [
        (json!({}), 400),
        (json!({"image": image, "id": id}), 400),
        (json!({"image": image, "n": 11}), 400),
        (json!({"id": "nobody"}), 404),
        (json!({"image": "data:image/png;base64,aGk="}), 400),
    ] {
        problem(&post(&app, "/v1/caption", body).await, status);
    }
}

#[tokio::test]
async fn images_of_a_text_follow_from_their_seeds() {
    let app = tiny();
    let imagine =
        |seed: u64, n: usize| posted(&app, "/v1/imagine", json!({"text": "a red patch", "seed": seed, "n": n}));
    let (first, second) = (imagine(5, 2).await, imagine(6, 1).await);
    assert_eq!(first["images"][1], second["images"][0]);
    assert_eq!(first["images"].as_array().unwrap().len(), 2);
    assert!(first["note"].as_str().unwrap().contains("not a photograph"));
    let data = first["images"][0].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    let image = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
    assert_eq!((image.width(), image.height()), (64, 64));
    for body in [json!({"text": "?!"}), json!({"text": "red", "n": 0}), json!({"text": "red", "n": 17})] {
        problem(&post(&app, "/v1/imagine", body).await, 400);
    }
}

#[tokio::test]
async fn a_model_that_cannot_says_what_to_do() {
    let (_folder, options) = photos();
    let app = warm(options);
    assert_eq!(got(&app, "/v1/models").await["data"][0]["can"], json!(["embed_text", "embed_image"]));
    let caption = problem(&post(&app, "/v1/caption", json!({"id": "red.png"})).await, 409);
    let imagine = problem(&post(&app, "/v1/imagine", json!({"text": "red"})).await, 409);
    assert!(caption.contains("caption decoder") && imagine.contains("image generator"), "{caption} {imagine}");
    let found = posted(&app, "/v1/explain", json!({"query": "a red patch", "id": "red.png"})).await;
    assert!(found["caption"].is_null() && found["words"].as_array().unwrap().len() == 3, "{found}");
}

/// Each share is the difference of two scores that a search gives.
#[tokio::test]
async fn an_explanation_is_exact() {
    let app = tiny();
    let (query, without) = ("a red patch", "a patch");
    let search = |text: &'static str| posted(&app, "/v1/search", json!({"query": [{"text": text}], "top": 24}));
    let found = search(query).await;
    let id = found["hits"][0]["id"].clone();
    let score = |found: &Value| {
        let hit = found["hits"].as_array().unwrap().iter().find(|hit| hit["id"] == id).unwrap();
        hit["score"].as_f64().unwrap()
    };
    let explained = posted(&app, "/v1/explain", json!({"query": query, "id": id})).await;
    let near = |a: f64, b: f64| assert!((a - b).abs() < 2e-3, "{a} {b}: {explained}");
    // The index holds 16-bit numbers.
    near(explained["score"].as_f64().unwrap(), score(&found));
    assert_eq!(explained["words"][1]["word"], "red");
    near(explained["words"][1]["contribution"].as_f64().unwrap(), score(&found) - score(&search(without).await));
    let cells = &explained["cells"];
    assert_eq!((&cells["rows"], &cells["columns"]), (&json!(4), &json!(4)));
    assert_eq!(cells["contribution"].as_array().unwrap().len(), 16);
    assert!(explained["caption"]["text"].is_string() && explained["caption"]["missing"].is_array());
    problem(&post(&app, "/v1/explain", json!({"query": "red", "id": "nobody"})).await, 404);
    problem(&post(&app, "/v1/explain", json!({"query": "?!", "id": id})).await, 400);
}
