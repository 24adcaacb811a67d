//! [`ServeOptions`]: what is served, to whom, and the limits of requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gxn::device::DeviceChoice;
use gxn::retrieve::IndexPlace;
use gxn_base::{Error, Remedy, Result};

/// What is served, and to whom.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where the index is.
    pub index: IndexPlace,
    /// The run or checkpoint; `None` for the one that the index names.
    pub model: Option<PathBuf>,
    /// What computes.
    pub device: DeviceChoice,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The key that callers have to give.
    pub api_key: Option<String>,
    /// Listen beyond this machine without a key.
    pub insecure: bool,
    /// Refuse to add and remove items and to write judgements.
    pub read_only: bool,
    /// The folder whose runs and reports are shown.
    pub runs: PathBuf,
    /// The dataset whose account is shown.
    pub data: Option<PathBuf>,
    /// The log as JSON lines.
    pub json_log: bool,
    /// Limits of requests.
    pub limits: Limits,
}

/// Limits of requests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Width × height of an image in a request.
    pub pixels: u64,
    /// Parts of a query.
    pub parts: usize,
    /// Inputs of a request for embeddings.
    pub inputs: usize,
    /// Characters of a text.
    pub text_chars: usize,
    /// Hits of a page.
    pub top: usize,
    /// Pieces of work that wait for a thread, of each kind.
    pub queue: usize,
    /// Requests that are answered at once.
    pub requests: usize,
    /// Streams of events that are open at once.
    pub streams: usize,
    /// Time of a request.
    pub time: Duration,
}

impl Default for Limits {
    /// 32 MiB, 50 megapixels, 16 parts, 512 inputs, 2,000 characters, 200 hits, 256 waiting, 512 requests, 64
    /// streams, 60 seconds.
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            pixels: 50_000_000,
            parts: 16,
            inputs: 512,
            text_chars: 2000,
            top: 200,
            queue: 256,
            requests: 512,
            streams: 64,
            time: Duration::from_secs(60),
        }
    }
}

impl ServeOptions {
    /// Serves the index at `index` on this machine alone, at port 8080.
    pub fn new(index: impl Into<IndexPlace>) -> Self {
        Self {
            index: index.into(),
            model: None,
            device: DeviceChoice::CPU,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            api_key: None,
            insecure: false,
            read_only: false,
            runs: "runs".into(),
            data: None,
            json_log: false,
            limits: Limits::default(),
        }
    }

    /// Whether clients are told where files lie: only where all are on this machine.
    pub(crate) fn shows_paths(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// Refuses to listen beyond this machine without a key, unless that is asked for, and an empty key.
    ///
    /// # Errors
    /// In these cases.
    pub fn check(&self) -> Result<()> {
        if self.api_key.as_ref().is_some_and(|key| key.trim().is_empty()) {
            return Err(Error::invalid("the API key", "an empty one", "a text that is hard to guess"));
        }
        if self.listen.ip().is_loopback() || self.api_key.is_some() || self.insecure {
            return Ok(());
        }
        let (what, found) = (format!("listening at {}", self.listen), "no API key");
        Err(Error::invalid(what, found, "a key, as others can reach this address").with_remedy(Remedy::GiveKey))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_do_without_a_key() {
        let own = ServeOptions::new(std::path::Path::new("index"));
        assert!(own.check().is_ok());
        let open = ServeOptions { listen: "0.0.0.0:8080".parse().unwrap(), ..own.clone() };
        let refused = open.check().unwrap_err();
        assert!(refused.to_string().contains("no API key"));
        assert_eq!(refused.remedy(), Some(&Remedy::GiveKey));
        assert!(ServeOptions { api_key: Some("k".into()), ..open.clone() }.check().is_ok());
        assert!(ServeOptions { insecure: true, ..open }.check().is_ok());
        assert!(ServeOptions { api_key: Some(" ".into()), ..own }.check().is_err());
    }
}
