//! Shapes of others: OpenAI's embeddings, clip-retrieval's routes, the OpenAPI document.

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gxn_server::ServeOptions;
use serde_json::{Value, json};

use crate::fixture::{got, ids, options, patch, post, posted, problem, send, tiny, uri, warm};

fn vector(entry: &Value) -> Vec<f32> {
    entry["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

#[tokio::test]
async fn embeddings_in_both_forms() {
    let app = tiny();
    let image = uri(&patch([220, 30, 30], 0));
    let input = json!(["a red patch", image, {"type": "text", "text": "blue"}, {"type": "image_url", "image_url": {"url": image}}]);
    let found = posted(&app, "/v1/embeddings", json!({"model": "joint", "input": input})).await;
    let data = found["data"].as_array().unwrap();
    assert_eq!((data.len(), &found["object"], &found["model"]), (4, &json!("list"), &json!("joint")));
    assert_eq!(found["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    assert!(data.iter().enumerate().all(|(at, entry)| entry["index"] == at && entry["object"] == "embedding"));
    assert_eq!(vector(&data[1]), vector(&data[3]));
    let packed =
        posted(&app, "/v1/embeddings", json!({"model": "gxn", "input": "a red patch", "encoding_format": "base64"}));
    let bytes = STANDARD.decode(packed.await["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let unpacked: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    assert_eq!((unpacked.len(), unpacked), (32, vector(&data[0])));
}

/// Where the model scores by the cosine, the inner product of a text and an image is their score.
#[tokio::test]
async fn the_inner_product_is_the_score() {
    let app = tiny();
    let found = posted(&app, "/v1/search", json!({"query": [{"text": "a red patch"}], "top": 1})).await;
    let file = std::fs::read(found["hits"][0]["path"].as_str().unwrap()).unwrap();
    let image = format!("data:image/png;base64,{}", STANDARD.encode(file));
    let both = posted(&app, "/v1/embeddings", json!({"model": "gxn", "input": ["a red patch", image]})).await;
    let product: f32 = vector(&both["data"][0]).iter().zip(vector(&both["data"][1])).map(|(a, b)| a * b).sum();
    let score = found["hits"][0]["score"].as_f64().unwrap();
    assert!((f64::from(product) - score).abs() < 2e-3, "{product} {score}");
}

/// More inputs than may wait for the model are encoded one batch after the other.
#[tokio::test]
async fn one_request_alone_does_not_fill_the_queue() {
    let mut options = options();
    options.limits.queue = 3;
    let app = warm(options);
    let image = uri(&patch([220, 30, 30], 0));
    let texts = ["a red patch", "a blue patch"];
    let input: Vec<&str> = (0..8).map(|n| if n < 6 { texts[n % 2] } else { image.as_str() }).collect();
    let found = posted(&app, "/v1/embeddings", json!({"model": "gxn", "input": input})).await;
    let entries = found["data"].as_array().unwrap();
    let embedding = |at: usize| &entries[at]["embedding"];
    assert_eq!((entries.len(), embedding(4), embedding(6)), (8, embedding(0), embedding(7)));
    assert_ne!(embedding(0), embedding(1));
}

#[tokio::test]
async fn embeddings_that_cannot_be() {
    let app = tiny();
    let texts: Vec<&str> = vec!["red"; 513];
    for (body, status) in [
        (json!({"model": "other", "input": "red"}), 404),
        (json!({"model": "gxn", "input": []}), 400),
        (json!({"model": "gxn", "input": [1, 2]}), 400),
        (json!({"model": "gxn", "input": "?!"}), 400),
        (json!({"model": "gxn", "input": texts}), 413),
        (json!({"model": "gxn", "input": "red", "dimensions": 3}), 400),
        (json!({"model": "gxn", "input": "red", "encoding_format": "hex"}), 400),
        (json!({"model": "gxn", "input": "http://a/b.png", "modality": "image"}), 400),
        (json!({"model": "gxn", "input": "data:image/png;base64,aGk="}), 400),
    ] {
        problem(&post(&app, "/v1/embeddings", body).await, status);
    }
    let models = got(&app, "/v1/models").await;
    let model = &models["data"][0];
    assert_eq!((&model["id"], &model["object"], &model["owned_by"]), (&json!("joint"), &json!("model"), &json!("gxn")));
    assert_eq!(model["can"], json!(["embed_text", "embed_image", "caption", "imagine"]));
}

#[tokio::test]
async fn clip_retrievals_client_finds_its_routes() {
    let app = tiny();
    assert_eq!(got(&app, "/indices-list").await, json!(["joint"]));
    let ask = |body: Value| posted(&app, "/knn-service", body);
    // As its client sends it.
    let body = json!({
        "text": "a red patch", "image": null, "image_url": null, "embedding_input": null, "deduplicate": true,
        "use_safety_model": true, "use_violence_detector": true, "indice_name": "joint", "use_mclip": false,
        "aesthetic_score": 9, "aesthetic_weight": 0.5, "modality": "image", "num_images": 4, "num_result_ids": 3000,
    });
    let hits = ask(body).await;
    assert_eq!(hits.as_array().unwrap().len(), 4);
    let own =
        posted(&app, "/v1/search", json!({"query": [{"text": "a red patch"}], "top": 4, "group_duplicates": false}))
            .await;
    assert_eq!((&hits[0]["similarity"], &hits[0]["image_path"]), (&own["hits"][0]["score"], &own["hits"][0]["path"]));
    assert_eq!(hits[0]["url"], json!(format!("/v1/items/{}/original", ids(&own)[0])));
    let embedded = posted(&app, "/v1/embeddings", json!({"model": "gxn", "input": "a red patch"})).await;
    let again = ask(json!({"embedding_input": embedded["data"][0]["embedding"], "num_images": 4})).await;
    assert_eq!((&again[0]["id"], &again[0]["image_path"]), (&hits[0]["id"], &hits[0]["image_path"]));
    let data = uri(&patch([220, 30, 30], 0));
    let by_image = ask(json!({"image": data.split_once(',').unwrap().1, "num_images": 2})).await;
    assert_eq!(by_image.as_array().unwrap().len(), 2);
    let captions = ask(json!({"text": "red", "modality": "text", "num_images": 2})).await;
    assert!(!captions[0]["caption"].as_str().unwrap().is_empty());
    let known = posted(&app, "/metadata", json!({"ids": [hits[1]["id"], hits[0]["id"]], "indice_name": "joint"})).await;
    assert_eq!((&known[0]["id"], &known[1]["id"]), (&hits[1]["id"], &hits[0]["id"]));
    assert_eq!(known[1]["metadata"]["image_path"], hits[0]["image_path"]);
    assert!(known[0]["metadata"]["caption"].is_string() && known[0]["metadata"]["split"].is_string());
    // Where the images lie is this machine's own affair.
    let beyond = warm(ServeOptions { listen: "0.0.0.0:1".parse().unwrap(), insecure: true, ..options() });
    let elsewhere = posted(&beyond, "/knn-service", json!({"text": "a red patch"})).await;
    assert!(hits[0]["image_path"].as_str().unwrap().starts_with('/'));
    assert!(elsewhere[0]["image_path"].as_str().unwrap().starts_with("images/"), "{elsewhere}");
    // Its client names no content type.
    let untyped = Request::post("/knn-service").body(Body::from(r#"{"text": "red", "num_images": 1}"#)).unwrap();
    assert_eq!(send(&app, untyped).await.json().as_array().unwrap().len(), 1);
    for (path, body, status) in [
        ("/knn-service", json!({"image_url": "http://127.0.0.1:9/x.png"}), 400),
        ("/knn-service", json!({}), 400),
        ("/knn-service", json!({"text": "red", "modality": "audio"}), 400),
        ("/knn-service", json!({"text": "red", "indice_name": "laion5B"}), 404),
        ("/knn-service", json!({"embedding_input": [1.0]}), 400),
        ("/metadata", json!({"ids": [99999]}), 404),
    ] {
        problem(&post(&app, path, body).await, status);
    }
}

#[tokio::test]
async fn the_document_describes_every_route() {
    let document = got(&tiny(), "/openapi.json").await;
    let source = include_str!("../../src/app.rs");
    let routes: Vec<&str> = source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let of_page = ["/", "/assets/{name}", "/openapi.json"];
    let described = document["paths"].as_object().unwrap();
    assert!(routes.len() > 25);
    for route in routes {
        assert_eq!(described.contains_key(route), !of_page.contains(&route), "{route}");
    }
    // Every schema that is referred to is there.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}
