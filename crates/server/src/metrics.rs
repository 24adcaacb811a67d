//! [`Metrics`]: counts and times for Prometheus.

use std::time::Duration;

use gxn_base::{Error, Result};
use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// Bounds of the times of requests in seconds.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    waiting: IntGaugeVec,
    items: IntGaugeVec,
}

impl Metrics {
    pub fn new() -> Result<Self> {
        let registry = Registry::new();
        let make = || {
            let requests = IntCounterVec::new(Opts::new("gxn_requests_total", "Requests"), &["route", "status"])?;
            let opts = HistogramOpts::new("gxn_request_seconds", "Time of a request").buckets(SECONDS.to_vec());
            let seconds = HistogramVec::new(opts, &["route"])?;
            let waiting = IntGaugeVec::new(Opts::new("gxn_waiting", "Work that waits for a thread"), &["lane"])?;
            let items = IntGaugeVec::new(Opts::new("gxn_items", "Items of the index"), &["modality"])?;
            registry.register(Box::new(requests.clone()))?;
            registry.register(Box::new(seconds.clone()))?;
            registry.register(Box::new(waiting.clone()))?;
            registry.register(Box::new(items.clone()))?;
            Ok((requests, seconds, waiting, items))
        };
        let (requests, seconds, waiting, items) =
            make().map_err(|e: prometheus::Error| Error::invalid("the metrics", e.to_string(), "names that differ"))?;
        Ok(Self { registry, requests, seconds, waiting, items })
    }

    /// Counts a request. `route` is the pattern of a route, so that there are few.
    pub fn request(&self, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub fn waiting(&self, lane: &str, count: usize) {
        self.waiting.with_label_values(&[lane]).set(count as i64);
    }

    pub fn items(&self, modality: &str, count: usize) {
        self.items.with_label_values(&[modality]).set(count as i64);
    }

    /// All of it in the text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
