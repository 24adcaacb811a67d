//! [`App`]: what requests share, and the routes.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use gxn_base::Result;
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

use crate::guard;
use crate::jobs::Jobs;
use crate::library::Library;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::problem::{Answer, Problem};
use crate::routes::{
    clip_retrieval, data, edit, embeddings, explain, generate, health, index, items, models, openapi, page, reports,
    runs, search,
};
use crate::thumbs::Thumbs;

/// The model of an index that cannot be opened is tried again after this time.
const REOPEN_AFTER: Duration = Duration::from_secs(30);

/// What all requests share. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: ServeOptions,
    library: RwLock<Option<Arc<Library>>>,
    /// When the model of an index that changed hands was last tried.
    reopened: Mutex<Option<Instant>>,
    metrics: Metrics,
    thumbs: Thumbs,
    jobs: Jobs,
    /// The check of the dataset.
    account: OnceCell<Value>,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// True when the server is asked to stop: streams end then.
    stop: watch::Sender<bool>,
}

impl App {
    /// An app that answers 503 until [`App::warm_up`] is done.
    ///
    /// # Errors
    /// As [`ServeOptions::check`].
    pub fn new(options: ServeOptions) -> Result<Self> {
        options.check()?;
        let requests = Arc::new(Semaphore::new(options.limits.requests));
        let streams = Arc::new(Semaphore::new(options.limits.streams));
        let (library, reopened) = (RwLock::new(None), Mutex::new(None));
        let (metrics, thumbs) = (Metrics::new()?, Thumbs::default());
        let (jobs, account) = (Jobs::start(options.limits.queue)?, OnceCell::new());
        let stop = watch::Sender::new(false);
        Ok(Self(Arc::new(Shared {
            options,
            library,
            reopened,
            metrics,
            thumbs,
            jobs,
            account,
            requests,
            streams,
            stop,
        })))
    }

    /// Opens model and index; returns the number of images.
    ///
    /// # Errors
    /// When either cannot be opened, or another model made the index.
    pub fn warm_up(&self) -> Result<usize> {
        let library = Library::open(&self.0.options)?;
        let images = library.retriever().index().count(gxn_index::Modality::Image);
        *self.0.library.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(library));
        Ok(images)
    }

    /// What is served.
    pub fn options(&self) -> &ServeOptions {
        &self.0.options
    }

    /// All routes, with their guards.
    pub fn router(&self) -> Router {
        let routes = Router::new()
            .route("/", get(page::index))
            .route("/assets/{name}", get(page::named))
            .route("/health", get(health::health))
            .route("/metrics", get(health::metrics))
            .route("/openapi.json", get(openapi::document))
            .route("/v1/models", get(models::models))
            .route("/v1/index", get(index::index))
            .route("/v1/search", post(search::search))
            .route("/v1/explain", post(explain::explain))
            .route("/v1/embeddings", post(embeddings::embeddings))
            .route("/v1/caption", post(generate::caption))
            .route("/v1/imagine", post(generate::imagine))
            .route("/v1/items/{id}", get(items::item))
            .route("/v1/items/{id}/thumb", get(items::thumb))
            .route("/v1/items/{id}/original", get(items::original))
            .route("/v1/index/items", post(edit::add))
            .route("/v1/index/items/{id}", delete(edit::remove))
            .route("/v1/jobs/{id}", get(edit::job))
            .route("/v1/jobs/{id}/events", get(edit::job_events))
            .route("/v1/runs", get(runs::runs))
            .route("/v1/runs/{name}", get(runs::run))
            .route("/v1/runs/{name}/events", get(runs::run_events))
            .route("/v1/runs/{name}/samples/{file}", get(runs::sample))
            .route("/v1/reports", get(reports::reports))
            .route("/v1/reports/{name}", get(reports::report))
            .route("/v1/relevance", post(reports::judge))
            .route("/v1/data", get(data::data))
            .route("/knn-service", post(clip_retrieval::knn_service))
            .route("/metadata", post(clip_retrieval::metadata))
            .route("/indices-list", get(clip_retrieval::indices_list));
        routes
            .fallback(|| async {
                Problem::not_found("the path: found none of the routes").with_remedy("see /openapi.json")
            })
            .method_not_allowed_fallback(|| async { Problem::method("the method").with_remedy("see /openapi.json") })
            .layer(CatchPanicLayer::custom(|_| {
                tracing::error!("a handler panicked");
                Problem::internal("a handler gave up").into_response()
            }))
            .layer(from_fn_with_state(self.clone(), guard::admit))
            .layer(from_fn(guard::secure))
            .layer(from_fn_with_state(self.clone(), guard::account))
            .with_state(self.clone())
    }

    /// Lets streams end.
    pub(crate) fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn thumbs(&self) -> &Thumbs {
        &self.0.thumbs
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    pub(crate) fn account(&self) -> &OnceCell<Value> {
        &self.0.account
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    /// Becomes true when the server is asked to stop.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.0.stop.subscribe()
    }

    pub(crate) fn requests(&self) -> &Arc<Semaphore> {
        &self.0.requests
    }

    /// Model and index, once they are warm.
    pub(crate) fn library(&self) -> Answer<Arc<Library>> {
        let library = self.0.library.read().unwrap_or_else(PoisonError::into_inner).clone();
        let library = library.ok_or_else(|| Problem::busy("model and index are being opened"))?;
        if library.is_outdated() {
            self.reopen();
        }
        Ok(library)
    }

    /// Opens model and index again in the background: another model has made the index since. The former ones serve meanwhile.
    fn reopen(&self) {
        let mut last = self.0.reopened.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < REOPEN_AFTER) {
            return;
        }
        *last = Some(Instant::now());
        let app = self.clone();
        tokio::task::spawn_blocking(move || match app.warm_up() {
            Ok(images) => tracing::info!(images, "the index has another model now, which serves"),
            Err(error) => tracing::warn!(error = error.in_full(), "model and index cannot be opened again"),
        });
    }

    /// Does what blocks, away from the threads that answer.
    pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(Problem::internal("a piece of work gave up")))
    }
}
