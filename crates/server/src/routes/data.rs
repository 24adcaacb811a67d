//! `GET /v1/data`: the check of the dataset.

use axum::Json;
use axum::extract::State;
use gxn_data::{CheckOptions, Dataset, SourceOptions, check};
use serde_json::Value;

use crate::app::App;
use crate::problem::{Answer, Problem};

/// What the check of the dataset found; the first request waits for it.
#[utoipa::path(get, path = "/v1/data", tag = "data", responses(
    (status = 200, body = Object),
    (status = 404, description = "The server was started without a dataset", body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn data(State(app): State<App>) -> Answer<Json<Value>> {
    let Some(source) = app.options().data.clone() else {
        return Err(Problem::not_found("the data: found none, as the server was started without a dataset"));
    };
    // On a task of its own: a request that gives up does not stop the work that the next one needs.
    let check = tokio::spawn(async move {
        let account = app.account().get_or_try_init(|| {
            App::blocking(move || {
                let dataset = Dataset::open(&source, &SourceOptions::default())?;
                let report = check(&dataset, &CheckOptions::default(), &())?;
                serde_json::to_value(&report).map_err(|error| Problem::internal(error.to_string()))
            })
        });
        account.await.cloned()
    });
    check.await.unwrap_or_else(|_| Err(Problem::internal("the check gave up"))).map(Json)
}
