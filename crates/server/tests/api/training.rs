//! Runs, reports, judgements and the account of the data.

use gxn::encoder::Encoder;
use gxn::evaluate::measure::Measurement;
use gxn_data::{Dataset, SourceOptions, Split};
use gxn_server::ServeOptions;
use serde_json::{Value, json};

use crate::fixture::{get, got, options, photos, post, posted, problem, shared, tiny, warm};

#[tokio::test]
async fn runs_with_their_curves() {
    let app = tiny();
    let runs = got(&app, "/v1/runs").await;
    let joint = runs["runs"].as_array().unwrap().iter().find(|run| run["name"] == "joint").unwrap();
    assert_eq!(
        (&joint["epochs"], &joint["state"], &joint["stage"]),
        (&json!(1), &json!("finished"), &json!("i2t_t2i"))
    );
    assert!(joint["best_rsum"].as_f64().unwrap() > 0.0);
    let run = got(&app, "/v1/runs/images").await;
    assert!(run["config"].as_str().unwrap().contains("[train]"));
    let steps = run["steps"].as_array().unwrap();
    assert!(!steps.is_empty() && steps.iter().all(|line| line["step"].is_u64()), "{run}");
    assert_eq!(run["epochs"].as_array().unwrap().last().unwrap()["finished_epoch"], 1);
    let sample = run["samples"][0]["url"].as_str().unwrap();
    assert_eq!(get(&app, sample).await.header(axum::http::header::CONTENT_TYPE), "image/png");
    for path in
        ["/v1/runs/nobody", "/v1/runs/..", "/v1/runs/..%2Fruns%2Fjoint", "/v1/runs/images/samples/..%2Fconfig.toml"]
    {
        problem(&get(&app, path).await, 404);
    }
    // Of a run that is over nothing more comes.
    assert_eq!(get(&app, "/v1/runs/joint/events").await.status.as_u16(), 200);
}

#[tokio::test]
async fn reports_and_pairs_that_are_right_as_well() {
    let place = tempfile::tempdir().unwrap();
    let model = shared().at("runs/joint");
    let (encoder, data) =
        (Encoder::load(&model).unwrap(), Dataset::open(&shared().at("tiny.json"), &SourceOptions::default()));
    let data = data.unwrap();
    let report = Measurement::new(&encoder, &model, &data, Split::Test).run(&()).unwrap();
    std::fs::create_dir(place.path().join("eval")).unwrap();
    report.write(&place.path().join("eval/test.json")).unwrap();
    std::fs::write(place.path().join("other.json"), "{}").unwrap();
    let app = warm(ServeOptions { runs: place.path().to_path_buf(), ..options() });
    let listed = got(&app, "/v1/reports").await;
    let [entry] = &listed["reports"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&entry["name"], &entry["split"]), (&json!("eval/test"), &json!("test")));
    let found = got(&app, "/v1/reports/eval%2Ftest").await;
    assert_eq!(found["image_ids"].as_array().unwrap().len(), report.n_images);
    assert!((found["metrics"]["rsum"].as_f64().unwrap() - entry["rsum"].as_f64().unwrap()).abs() < 1e-9);
    problem(&get(&app, "/v1/reports/other").await, 404);
    problem(&get(&app, "/v1/reports/..%2Ftest").await, 404);

    let caption = got(&app, &format!("/v1/items/{}", report.image_ids[0])).await["captions"][0]["id"].clone();
    let pair = json!({"report": "eval/test", "query": caption, "id": report.image_ids[1]});
    for _ in 0..2 {
        assert_eq!(posted(&app, "/v1/relevance", pair.clone()).await, json!({"file": "relevance.tsv", "pairs": 1}));
    }
    let unnamed = json!({"query": caption, "id": report.image_ids[1]});
    assert_eq!(posted(&app, "/v1/relevance", unnamed).await["pairs"], 1);
    let written = std::fs::read_to_string(place.path().join("eval/relevance.tsv")).unwrap();
    assert_eq!(written, format!("{}\t{}\n", report.image_ids[1], caption.as_str().unwrap()));
    for (key, value, status) in
        [("report", "nobody", 404), ("query", "nobody", 404), ("id", "nobody", 404), ("id", "a\tb", 400)]
    {
        let mut bad = pair.clone();
        bad[key] = value.into();
        problem(&post(&app, "/v1/relevance", bad).await, status);
    }
    let reader = warm(ServeOptions { runs: place.path().to_path_buf(), read_only: true, ..options() });
    problem(&post(&reader, "/v1/relevance", pair).await, 403);
}

#[tokio::test]
async fn the_account_of_the_data() {
    let found = got(&tiny(), "/v1/data").await;
    let images: u64 = found["splits"].as_array().unwrap().iter().map(|split| split["images"].as_u64().unwrap()).sum();
    assert_eq!(images, 24);
    assert_eq!(found["duplicates"].as_array().unwrap().len(), 1);
    let (_folder, without) = photos();
    let app = warm(without);
    problem(&get(&app, "/v1/data").await, 404);
    assert_eq!(got(&app, "/v1/runs").await, json!({"runs": Value::Array(Vec::new())}));
}
