//! Forms with files (`multipart/form-data`): the same answers and the same errors as JSON.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::fixture::{
    Answer, Field, got, ids, options, patch, photos, png, post_form, posted, problem, send, tiny, uri, warm,
};

const PNG: Option<(&str, &str)> = Some(("a photo.png", "image/png"));

fn text<'a>(name: &'a str, value: &'a str) -> Field<'a> {
    (name, None, value.as_bytes())
}

fn found(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.bytes));
    answer.json()
}

#[tokio::test]
async fn a_form_finds_what_the_same_json_finds() {
    let app = tiny();
    let green = patch([30, 200, 40], 2);
    let (file, weight) = (png(&green), "-0.5");
    let form = [
        ("image", PNG, file.as_slice()),
        text("text", "5"),
        text("weight", weight),
        text("top", "3"),
        text("group_duplicates", "false"),
        text("filter", "width>=1"),
    ];
    let by_form = found(&post_form(&app, "/v1/search", &form).await);
    let query = json!([{"image": uri(&green)}, {"text": "5", "weight": -0.5}]);
    let body = json!({"query": query, "top": 3, "group_duplicates": false, "filter": "width>=1"});
    let by_json = posted(&app, "/v1/search", body).await;
    assert_eq!((&by_form["hits"], &by_form["notes"]), (&by_json["hits"], &by_json["notes"]));
    assert_eq!(ids(&by_form).len(), 3);
    // A file without a content type of its own, and a data URI as a text.
    for field in [("image", Some(("x", "application/octet-stream")), file.as_slice()), text("image", &uri(&green))] {
        assert_eq!(
            found(&post_form(&app, "/v1/search", &[field, text("top", "3")]).await)["hits"].as_array().unwrap().len(),
            3
        );
    }
}

#[tokio::test]
async fn captions_of_a_file() {
    let app = tiny();
    let blue = patch([40, 60, 220], 1);
    let by_form = post_form(&app, "/v1/caption", &[("image", PNG, &png(&blue)), text("n", "2")]).await;
    let by_json = posted(&app, "/v1/caption", json!({"image": uri(&blue), "n": 2})).await;
    assert_eq!(found(&by_form), by_json);
}

#[tokio::test]
async fn a_file_is_added_under_its_own_name_or_another() {
    let (folder, options) = photos();
    let app = warm(options);
    let file = png(&patch([200, 9, 200], 1));
    for (name, form) in [
        ("a photo.png", vec![("image", PNG, file.as_slice())]),
        ("other.png", vec![text("name", "other.png"), ("image", PNG, file.as_slice())]),
    ] {
        let answer = post_form(&app, "/v1/index/items", &form).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        let job = format!("/v1/jobs/{}", answer.json()["job"].as_str().unwrap());
        while got(&app, &job).await["state"] != "done" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(folder.path().join("photos").join(name).is_file(), "{name}");
    }
    // A name cannot lead out of the folder, whoever gave it.
    let outside = [("image", Some(("../x.png", "image/png")), file.as_slice())];
    problem(&post_form(&app, "/v1/index/items", &outside).await, 400);
    assert!(!folder.path().join("x.png").exists());
}

#[tokio::test]
async fn what_a_form_cannot_say_is_refused() {
    let app = tiny();
    let file = png(&patch([1, 2, 3], 0));
    let image: Field<'_> = ("image", PNG, &file);
    for (form, status, says) in [
        (vec![], 400, "no part"),
        (vec![("image", Some(("a.html", "text/html")), file.as_slice())], 415, "text/html"),
        (vec![("image", PNG, b"hello".as_slice())], 400, "the image"),
        (vec![("image", PNG, b"".as_slice())], 400, "the image"),
        (vec![text("image", "http://127.0.0.1/x.png")], 400, "nothing is fetched"),
        (vec![text("weight", "2"), image], 400, "without a part before it"),
        (vec![image, text("weight", "2"), text("weight", "3")], 400, "more than once"),
        (vec![image, text("weight", "heavy")], 400, "heavy"),
        (vec![image, text("top", "3"), text("top", "4")], 400, "more than once"),
        (vec![image, text("tops", "3")], 400, "unknown field"),
        (vec![image, text("top", "0")], 400, "top"),
        (vec![image; 17], 413, "17 parts"),
        (vec![text("id", "nobody")], 404, "nobody"),
    ] {
        let said = problem(&post_form(&app, "/v1/search", &form).await, status);
        assert!(said.contains(says), "{says:?} not in {said}");
    }
    let raw = |kind: &str, body: &str| {
        let request = Request::post("/v1/search").header(header::CONTENT_TYPE, kind);
        request.body(Body::from(body.to_owned())).unwrap()
    };
    for (kind, body) in [
        ("multipart/form-data", "--edge--"),
        ("multipart/form-data; boundary=edge", ""),
        ("multipart/form-data; boundary=edge", "--edge\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nred"),
        ("multipart/form-data; boundary=edge", "--edge\r\nContent-Disposition: form-data\r\n\r\nred\r\n--edge--\r\n"),
    ] {
        problem(&send(&app, raw(kind, body)).await, 400);
    }
    problem(&send(&app, raw("application/x-www-form-urlencoded", "text=red")).await, 415);
    let mut small = options();
    small.limits.body_bytes = 100;
    problem(&post_form(&warm(small), "/v1/search", &[image]).await, 413);
}

#[tokio::test]
async fn both_forms_of_a_request_are_described() {
    let document = got(&tiny(), "/openapi.json").await;
    for path in ["/v1/search", "/v1/caption", "/v1/index/items"] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"];
        let reference = content["multipart/form-data"]["schema"]["$ref"].as_str().unwrap();
        assert!(content["application/json"].is_object(), "{path}");
        let schema = &document["components"]["schemas"][reference.rsplit('/').next().unwrap()];
        assert_eq!(schema["properties"]["image"]["format"], "binary", "{path}: {schema}");
    }
}
