//! Requests to a Milvus server, one at a time; a thread of its own speaks gRPC, so callers need no async runtime.

use crate::protocol::{Answer, Ask, NO_COLLECTION, SERVICE};
use gxn_base::{Error, Kind, Result};
use http::uri::PathAndQuery;
use std::error::Error as _;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// Longest answer. A page of rows has some megabytes.
const LONGEST_ANSWER: usize = 256 << 20;
/// Time to reach the server.
const CONNECT_SECONDS: u64 = 10;
const START: &str = "start a server, such as `milvus-lite server --host 127.0.0.1 --data-dir DIR --port 19530` \
                     (`pip install milvus-lite pymilvus`), and name it as http://127.0.0.1:19530";

/// A connection, made by the first request and again whenever it broke.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: String,
    timeout: Duration,
    channel: Channel,
    // `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    NoCollection,
    Other(Error),
}

impl Client {
    pub(super) fn new(endpoint: &str, timeout: Duration) -> Result<Self> {
        let malformed = |found: String| {
            Error::invalid("address of the Milvus server", found, "an address such as http://127.0.0.1:19530")
                .with_hint(START)
        };
        let parsed = Endpoint::from_shared(endpoint.to_string()).map_err(|_| malformed(endpoint.to_string()))?;
        if parsed.uri().scheme_str() != Some("http") || parsed.uri().host().is_none() {
            return Err(malformed(endpoint.to_string()));
        }
        let built = Builder::new_multi_thread().worker_threads(1).thread_name("milvus").enable_all().build();
        let runtime = built.map_err(|e| {
            Error::new(Kind::Io, "thread of the Milvus client", e.to_string(), "one more thread of this program")
        })?;
        let channel = {
            let _inside = runtime.enter();
            parsed.connect_timeout(Duration::from_secs(CONNECT_SECONDS)).timeout(timeout).connect_lazy()
        };
        Ok(Self { endpoint: endpoint.to_string(), timeout, channel, runtime: Some(runtime) })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The answer.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses.
    pub(super) fn ask<Q: Ask>(&self, question: Q) -> Result<Q::Answer> {
        self.try_ask(question).map_err(|refusal| match refusal {
            Refusal::NoCollection => {
                Error::not_found(self.what(Q::METHOD), "no such collection", "one made by this program")
            }
            Refusal::Other(error) => error,
        })
    }

    /// [`Client::ask`], telling a missing collection from all else.
    pub(super) fn try_ask<Q: Ask>(&self, question: Q) -> Result<Q::Answer, Refusal> {
        let answer = self.exchange(question).map_err(Refusal::Other)?;
        match answer.status() {
            Some(status) if status.code == NO_COLLECTION => Err(Refusal::NoCollection),
            Some(status) if status.code != 0 || status.error_code != 0 => {
                let reason = if status.reason.is_empty() { "an error without a reason" } else { &status.reason };
                Err(Refusal::Other(self.refused(Q::METHOD, reason)))
            }
            _ => Ok(answer),
        }
    }

    fn exchange<Q: Ask>(&self, question: Q) -> Result<Q::Answer> {
        let lost = || self.refused(Q::METHOD, "the client's thread ended");
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LONGEST_ANSWER);
        let path = PathAndQuery::try_from(format!("{SERVICE}{}", Q::METHOD)).map_err(|_| lost())?;
        let (answered, answer) = mpsc::sync_channel(1);
        // Not `block_on`: a caller may itself be inside an async runtime, where that panics.
        self.runtime.as_ref().ok_or_else(lost)?.spawn(async move {
            let result = match grpc.ready().await {
                Ok(()) => grpc.unary(Request::new(question), path, ProstCodec::default()).await,
                Err(error) => Err(tonic::Status::from_error(Box::new(error))),
            };
            // The caller waits for it.
            let _ = answered.send(result);
        });
        match answer.recv().map_err(|_| lost())? {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self.failed(Q::METHOD, &status)),
        }
    }

    fn failed(&self, method: &str, status: &tonic::Status) -> Error {
        let mut found = status.message().to_string();
        let mut source = status.source();
        while let Some(cause) = source {
            found = format!("{found}: {cause}");
            source = cause.source();
        }
        let what = self.what(method);
        match status.code() {
            Code::Unavailable | Code::Unknown => {
                Error::new(Kind::Io, what, found, "a server that answers").with_hint(START)
            }
            Code::DeadlineExceeded | Code::Cancelled => {
                let expected = format!("an answer within {} s", self.timeout.as_secs());
                Error::busy(what, found, expected).with_hint("give the server more time, or fewer items at once")
            }
            Code::Unimplemented => Error::unsupported(what, found, "a method that the server has")
                .with_hint("the adapter is tested with milvus-lite 3.2.2 and Milvus 2.3.5"),
            code => Error::new(Kind::Io, what, format!("{found} ({code})"), "an answer"),
        }
    }

    fn refused(&self, method: &str, reason: &str) -> Error {
        Error::new(Kind::Io, self.what(method), reason, "success")
    }

    fn what(&self, method: &str) -> String {
        format!("{method} by the Milvus server {}", self.endpoint)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The plain drop waits, which panics inside an async runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
