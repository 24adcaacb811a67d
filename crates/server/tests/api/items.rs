//! Items: what is known of them, small copies, files; and what is not given out.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::json;

use crate::fixture::{get, got, ids, photos, posted, problem, send, tiny, warm};

#[tokio::test]
async fn an_item_has_fields_and_captions() {
    let app = tiny();
    let id = &ids(&posted(&app, "/v1/search", json!({"query": [{"text": "a red patch"}], "top": 1})).await)[0];
    let item = got(&app, &format!("/v1/items/{id}")).await;
    assert_eq!((&item["id"], &item["width"], &item["height"]), (&json!(id), &json!(32), &json!(32)));
    assert_eq!(item["captions"].as_array().unwrap().len(), 2);
    assert!(item["captions"][0]["text"].is_string() && item["fields"]["split"].is_string(), "{item}");
    assert!(item["size"].as_u64().unwrap() > 0 && item["mtime"].as_f64().unwrap() > 1e9);
    problem(&get(&app, "/v1/items/nobody").await, 404);
    let index = got(&app, "/v1/index").await;
    assert_eq!((&index["images"], &index["captions"], &index["model"]), (&json!(24), &json!(48), &json!("joint")));
    assert!(index["fields"].as_array().unwrap().contains(&json!("split")));
}

#[tokio::test]
async fn small_copies_and_files() {
    let (folder, options) = photos();
    let app = warm(options);
    let copy = get(&app, "/v1/items/sub%2Fred%203.png/thumb?side=20").await;
    assert_eq!((copy.status, copy.header(header::CONTENT_TYPE)), (StatusCode::OK, "image/jpeg"));
    assert_eq!(image::load_from_memory(&copy.bytes).unwrap().width(), 32, "nothing is made larger");
    let tag = copy.header(header::ETAG).to_owned();
    let again = Request::get("/v1/items/sub%2Fred%203.png/thumb?side=64").header(header::IF_NONE_MATCH, &tag);
    let again = send(&app, again.body(Body::empty()).unwrap()).await;
    assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0));
    let file = get(&app, "/v1/items/sub%2Fgr%C3%B6%C3%9Fe.png/original").await;
    assert_eq!((file.status, file.header(header::CONTENT_TYPE)), (StatusCode::OK, "image/png"));
    assert_eq!(file.bytes, std::fs::read(folder.path().join("photos/sub/größe.png")).unwrap());
    for side in ["0", "1025", "x", "-1"] {
        problem(&get(&app, &format!("/v1/items/red.png/thumb?side={side}")).await, 400);
    }
    problem(&get(&app, "/v1/items/red.png/thumb?width=3").await, 400);
    problem(&get(&app, "/v1/items/%FF").await, 400);
}

#[tokio::test]
async fn nothing_outside_the_folder_is_given_out() {
    let (folder, options) = photos();
    let (photos, secret) = (folder.path().join("photos"), folder.path().join("secret.png"));
    let app = warm(options);
    std::fs::copy(photos.join("red.png"), &secret).unwrap();
    for id in ["..%2Fsecret.png", "%2Fetc%2Fpasswd", "sub%2F..%2F..%2Fsecret.png", ".gxn%2Fmeta.json"] {
        for part in ["", "/thumb", "/original"] {
            problem(&get(&app, &format!("/v1/items/{id}{part}")).await, 404);
        }
    }
    // A file that is gone, one that became a link which leads out, and one that is no image any more.
    std::fs::remove_file(photos.join("blue.png")).unwrap();
    problem(&get(&app, "/v1/items/blue.png/original").await, 404);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, photos.join("blue.png")).unwrap();
        for part in ["thumb", "original"] {
            let found = problem(&get(&app, &format!("/v1/items/blue.png/{part}")).await, 404);
            assert!(found.contains("outside") && !found.contains("secret"), "{found}");
        }
    }
    std::fs::write(photos.join("green.png"), "<script>").unwrap();
    for part in ["thumb", "original"] {
        problem(&get(&app, &format!("/v1/items/green.png/{part}")).await, 422);
    }
}
