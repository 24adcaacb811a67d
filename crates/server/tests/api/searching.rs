//! `POST /v1/search`: what is asked for, what comes back, what is refused.

use std::time::Duration;

use gxn::encoder::Encoder;
use gxn::retrieve::{IndexOptions, refresh};
use gxn_server::ServeOptions;
use serde_json::{Value, json};

use crate::fixture::{get, got, ids, index, patch, photos, post, posted, problem, shared, tiny, uri, warm};

#[tokio::test]
async fn a_sentence_finds_images_with_all_that_is_known_of_them() {
    let found = posted(&tiny(), "/v1/search", json!({"query": [{"text": "a red patch"}], "top": 3})).await;
    let hits = found["hits"].as_array().unwrap();
    assert_eq!((hits.len(), &found["total"], &found["probably_none"]), (3, &json!(24), &json!(false)));
    let scores: Vec<f64> = hits.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    for (at, hit) in hits.iter().enumerate() {
        let parts = hit["parts"]["abstract"].as_f64().unwrap() + hit["parts"]["grounded"].as_f64().unwrap();
        assert!((parts - scores[at]).abs() < 1e-5, "{hit}");
        assert_eq!((&hit["rank"], &hit["width"], &hit["height"]), (&json!(at + 1), &json!(32), &json!(32)));
        assert!(hit["path"].as_str().unwrap().ends_with(".png") && hit["relevance"].is_null(), "{hit}");
        assert_eq!(hit["id"], hit["image_id"]);
    }
    for stage in ["decode", "encode", "search", "fetch", "total"] {
        assert!(found["took_ms"][stage].as_f64().unwrap() >= 0.0);
    }
}

#[tokio::test]
async fn images_and_items_are_queries_and_weights_turn_them_round() {
    let app = tiny();
    let green = json!({"image": uri(&patch([30, 200, 40], 2))});
    let by_image = ids(&posted(&app, "/v1/search", json!({"query": [green], "top": 5})).await);
    let item = posted(&app, "/v1/search", json!({"query": [{"id": by_image[0]}], "top": 5})).await;
    assert_eq!(ids(&item)[0], by_image[0]);
    assert!((item["hits"][0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-3, "an image has the cosine 1 with itself");
    let against = posted(&app, "/v1/search", json!({"query": [{"id": by_image[0], "weight": -1}], "top": 24})).await;
    assert_eq!(ids(&against).last(), Some(&by_image[0]));
    let both = json!({"query": [{"text": "a red patch"}, {"id": by_image[0], "weight": 0.5}], "top": 5});
    assert_eq!(ids(&posted(&app, "/v1/search", both).await).len(), 5);
}

#[tokio::test]
async fn pages_are_one_list_and_copies_one_hit() {
    let app = tiny();
    let query = json!([{"text": "a patch at the top left"}]);
    let (mut cursor, mut paged, mut pages) = (Value::Null, Vec::new(), 0);
    loop {
        let found = posted(&app, "/v1/search", json!({"query": query, "top": 5, "cursor": cursor})).await;
        paged.extend(ids(&found));
        cursor = found["cursor"].clone();
        pages += 1;
        if cursor.is_null() {
            break;
        }
    }
    let whole = posted(&app, "/v1/search", json!({"query": query, "top": 200})).await;
    // 24 images, of which two are one.
    assert_eq!((paged.len(), pages), (23, 5));
    assert_eq!(paged, ids(&whole));
    let copies: Vec<&Value> =
        whole["hits"].as_array().unwrap().iter().filter(|hit| hit["duplicates"] != json!([])).collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0]["duplicates"].as_array().unwrap().len(), 1);
    let apart = posted(&app, "/v1/search", json!({"query": query, "top": 200, "group_duplicates": false})).await;
    assert_eq!(ids(&apart).len(), 24);
}

#[tokio::test]
async fn filters_captions_and_notes() {
    let app = tiny();
    let search = |body: Value| posted(&app, "/v1/search", body);
    let query = json!([{"text": "a red patch"}]);
    let test = search(json!({"query": query, "filter": "split=test", "top": 50})).await;
    assert!((1..24).contains(&ids(&test).len()) && test["total"].is_null(), "{test}");
    let captions = search(json!({"query": query, "target": "text", "top": 4})).await;
    assert!(captions["hits"][0]["caption"].is_string() && captions["hits"][0]["id"] != captions["hits"][0]["image_id"]);
    let unknown = search(json!({"query": [{"text": "a zebra patch"}], "filter": "splat=test"})).await;
    assert_eq!(
        unknown["notes"],
        json!([
            "the model has never seen: zebra",
            "no image of the index has the field splat; its columns are imgid, split"
        ])
    );
    let nothing = search(json!({"query": [{"text": "?!"}]})).await;
    assert_eq!((ids(&nothing).len(), &nothing["notes"]), (0, &json!(["there is no word in: ?!"])));
    let cancelled = search(json!({"query": [{"text": "red"}, {"text": "red", "weight": -1}]})).await;
    assert_eq!(cancelled["notes"], json!(["the parts of the query cancel each other out"]));
}

#[tokio::test]
async fn the_caption_decoder_orders_the_best_images_once_more() {
    let app = tiny();
    let search = |body: Value| posted(&app, "/v1/search", body);
    let query = json!([{"text": "a red patch at the top left"}]);
    let all = |more: Value| {
        let mut body = json!({"query": query, "top": 24, "group_duplicates": false});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        search(body)
    };
    let (plain, same) = (all(json!({})).await, all(json!({"rerank": 24, "rerank_weight": 0})).await);
    assert_eq!(plain["hits"], same["hits"]);
    // A weight that leaves nothing to the first score, for five images.
    let five = all(json!({"rerank": 5, "rerank_weight": 1e6})).await;
    let (mut before, mut after) = (ids(&plain), ids(&five));
    assert_eq!(before[5..], after[5..]);
    let scores: Vec<f64> = five["hits"].as_array().unwrap()[..5].iter().map(|h| h["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores[0] < 0.0, "{scores:?}");
    before[..5].sort();
    after[..5].sort();
    assert_eq!(before, after);
    // A second page goes on in the same list.
    let first =
        search(json!({"query": query, "top": 3, "rerank": 5, "rerank_weight": 1e6, "group_duplicates": false})).await;
    let second = json!({"query": query, "top": 3, "rerank": 5, "rerank_weight": 1e6, "group_duplicates": false,
        "cursor": first["cursor"]});
    assert_eq!([ids(&first), ids(&search(second).await)].concat(), ids(&five)[..6]);
    for (body, status, says) in [
        (json!({"query": query, "rerank": 0}), 400, "rerank"),
        (json!({"query": query, "rerank": 201}), 400, "rerank"),
        (json!({"query": query, "rerank": 5, "rerank_weight": -1}), 400, "the weight of re-ranking"),
        (json!({"query": [{"text": "red"}, {"text": "blue"}], "rerank": 5}), 400, "one text"),
        (json!({"query": query, "target": "text", "rerank": 5}), 400, "expected images"),
    ] {
        let said = problem(&post(&app, "/v1/search", body).await, status);
        assert!(said.contains(says), "{says:?} not in {said}");
    }
    let (_folder, without) = photos();
    let said =
        problem(&post(&warm(without), "/v1/search", json!({"query": [{"text": "red"}], "rerank": 5})).await, 409);
    assert!(said.contains("caption decoder"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let app = tiny();
    let query = json!([{"text": "red"}]);
    let many: Vec<Value> = (0..17).map(|_| json!({"text": "red"})).collect();
    for (body, status, says) in [
        (json!({"query": []}), 400, "no part"),
        (json!({}), 400, "query"),
        (json!({"query": query, "tops": 3}), 400, "unknown field"),
        (json!({"query": [{"text": "red", "id": "1"}]}), 400, "exactly one"),
        (json!({"query": [{"text": "red", "weight": 1e9}]}), 400, "weight"),
        (json!({"query": many}), 413, "17 parts"),
        (json!({"query": [{"text": "a".repeat(2001)}]}), 413, "2001 characters"),
        (json!({"query": [{"image": "http://127.0.0.1/x.png"}]}), 400, "nothing is fetched"),
        (json!({"query": [{"image": "data:image/png;base64,aGVsbG8="}]}), 400, "the image"),
        (json!({"query": [{"id": "nobody"}]}), 404, "nobody"),
        (json!({"query": query, "top": 0}), 400, "top"),
        (json!({"query": query, "top": 201}), 400, "top"),
        (json!({"query": query, "cursor": "?"}), 400, "cursor"),
        (json!({"query": query, "filter": "width >"}), 400, ""),
        (json!({"query": query, "lambda": 2}), 400, "λ"),
        (json!({"query": query, "min_relevance": 2}), 400, "probability"),
        (json!({"query": query, "min_relevance": 0.5}), 409, "calibrate"),
    ] {
        let found = problem(&post(&app, "/v1/search", body.clone()).await, status);
        assert!(found.contains(says), "{body}: {found}");
    }
}

#[tokio::test]
async fn an_image_with_too_many_pixels_is_refused() {
    let mut options = crate::fixture::options();
    options.limits.pixels = 100;
    let app = warm(options);
    let body = json!({"query": [{"image": uri(&patch([1, 2, 3], 0))}]});
    assert!(problem(&post(&app, "/v1/search", body).await, 422).contains("32 × 32 pixels"));
}

#[tokio::test]
async fn an_index_that_was_changed_serves_without_a_restart() {
    let (folder, options) = photos();
    let app = warm(options);
    assert_eq!(got(&app, "/health").await["images"], 8);
    let photos = folder.path().join("photos");
    patch([9, 9, 200], 1).save(photos.join("new.png")).unwrap();
    index(&photos);
    assert_eq!(got(&app, "/health").await["images"], 9);
    assert_eq!(ids(&posted(&app, "/v1/search", json!({"query": [{"id": "new.png"}], "top": 1})).await), ["new.png"]);
    // Of an index without captions none are asked for.
    let body = json!({"query": [{"text": "red"}], "target": "text"});
    problem(&post(&app, "/v1/search", body).await, 409);
    assert_eq!(get(&app, "/v1/index").await.json()["fields"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn the_model_of_an_index_that_another_one_made_serves_without_a_restart() {
    let (folder, options) = photos();
    let app = warm(options);
    let photos = folder.path().join("photos");
    let before = got(&app, "/health").await;
    assert_eq!((&before["status"], &before["model"]), (&json!("ok"), &json!("plain")));
    let encoder = Encoder::load(&shared().at("runs/joint")).unwrap();
    refresh(&encoder, &photos, photos.join(".gxn"), &IndexOptions::default(), &()).unwrap();
    for _ in 0..600 {
        if got(&app, "/health").await["model"] == "joint" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let after = got(&app, "/health").await;
    assert_eq!(
        (&after["status"], &after["model"], &after["images"]),
        (&json!("ok"), &json!("joint"), &before["images"])
    );
    assert_eq!(
        posted(&app, "/v1/search", json!({"query": [{"text": "red"}], "top": 1})).await["hits"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// A model that the user named is not exchanged: what it found before is served, and whoever asks hears of it.
#[tokio::test]
async fn an_index_that_cannot_be_opened_any_more_is_outdated() {
    let (folder, options) = photos();
    let app = warm(ServeOptions { model: Some(shared().at("runs/plain")), ..options });
    let photos = folder.path().join("photos");
    let encoder = Encoder::load(&shared().at("runs/joint")).unwrap();
    refresh(&encoder, &photos, photos.join(".gxn"), &IndexOptions::default(), &()).unwrap();
    let health = got(&app, "/health").await;
    assert_eq!(
        (&health["status"], &health["model"], &health["images"]),
        (&json!("outdated"), &json!("plain"), &json!(8))
    );
    let added = post(&app, "/v1/index/items", json!({"name": "new.png", "image": uri(&patch([9, 9, 200], 1))})).await;
    assert!(problem(&added, 409).contains("start the server again"));
    assert!(!photos.join("new.png").exists());
}
