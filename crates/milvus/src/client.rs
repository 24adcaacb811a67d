//! Requests to a Milvus server, one at a time; a thread of its own speaks gRPC, so callers need no async runtime.

use crate::place::MilvusPlace;
use crate::protocol::{Answer, Ask, NO_COLLECTION, NO_INDEX, NOT_LOADED, SERVICE, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gxn_base::{Error, Kind, Result};
use http::uri::PathAndQuery;
use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// Longest answer. A page of rows has some megabytes.
const LONGEST_ANSWER: usize = 256 << 20;
/// Time to reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request is repeated that failed for the moment: before the server was ever reached, when it is read, and when
/// work would be lost.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(2);
const PATIENCE_READING: Duration = Duration::from_secs(10);
const PATIENCE_WRITING: Duration = Duration::from_secs(120);
/// Pauses between attempts: the first, and the longest, to which they double.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const START: &str = "check the address, and that the server runs: docs/cluster.md says how to start one";

/// A connection, made by the first request and again whenever it broke.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: String,
    timeout: Duration,
    channel: Channel,
    /// What each request carries: the login and the database.
    headers: Vec<(&'static str, MetadataValue<Ascii>)>,
    /// Whether the server ever answered.
    was_reached: AtomicBool,
    // `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    NoCollection,
    /// The collection is not in the server's memory.
    NotLoaded(Error),
    /// The collection was begun, and has no index of its vectors.
    NoIndex(Error),
    Other(Error),
}

impl Refusal {
    /// As an error, where it is of no concern which.
    pub(super) fn into_error(self, what: impl FnOnce() -> String) -> Error {
        match self {
            Self::NoCollection => Error::not_found(what(), "no such collection", "one made by this program"),
            Self::NotLoaded(error) | Self::NoIndex(error) | Self::Other(error) => error,
        }
    }
}

/// A failure, and whether the same request may succeed a moment later.
struct Failure {
    error: Error,
    is_temporary: bool,
}

impl Client {
    pub(super) fn new(place: &MilvusPlace) -> Result<Self> {
        let MilvusPlace { endpoint, timeout, token, database, .. } = place;
        let malformed = |found: String| {
            Error::invalid("address of the Milvus server", found, "an address such as milvus://127.0.0.1:19530/photos")
        };
        let parsed = Endpoint::from_shared(endpoint.clone()).map_err(|_| malformed(endpoint.clone()))?;
        let is_tls = parsed.uri().scheme_str() == Some("https");
        if parsed.uri().host().is_none() || !(is_tls || parsed.uri().scheme_str() == Some("http")) {
            return Err(malformed(endpoint.clone()));
        }
        let parsed = if is_tls {
            let tls = ClientTlsConfig::new().with_native_roots();
            parsed.tls_config(tls).map_err(|e| Error::invalid("TLS of the Milvus client", e.to_string(), "a set-up"))?
        } else {
            parsed
        };
        let built = Builder::new_multi_thread().worker_threads(1).thread_name("milvus").enable_all().build();
        let runtime = built.map_err(|e| {
            Error::new(Kind::Io, "thread of the Milvus client", e.to_string(), "one more thread of this program")
        })?;
        let channel = {
            let _inside = runtime.enter();
            parsed.connect_timeout(CONNECT).timeout(*timeout).connect_lazy()
        };
        let login = token.as_ref().map(|token| ("authorization", STANDARD.encode(token)));
        let headers = login.into_iter().chain(database.clone().map(|database| ("dbname", database)));
        let header = |(name, value): (&'static str, String)| match value.parse() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(Error::invalid(format!("{name} of the Milvus server"), "other signs", "printable ASCII")),
        };
        let headers = headers.map(header).collect::<Result<_>>()?;
        let (endpoint, timeout, was_reached) = (endpoint.clone(), *timeout, AtomicBool::new(false));
        Ok(Self { endpoint, timeout, channel, headers, was_reached, runtime: Some(runtime) })
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
        self.try_ask(question).map_err(|refusal| refusal.into_error(|| self.what(Q::METHOD)))
    }

    /// [`Client::ask`], telling a missing collection from all else. What fails for the moment is tried again; all requests
    /// can be repeated.
    pub(super) fn try_ask<Q: Ask>(&self, question: Q) -> Result<Q::Answer, Refusal> {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let Failure { error, is_temporary } = match self.exchange(question.clone()) {
                Err(failure) => failure,
                Ok(answer) => match answer.status() {
                    Some(status) if status.code == NO_COLLECTION => return Err(Refusal::NoCollection),
                    Some(status) if status.code == NOT_LOADED => {
                        return Err(Refusal::NotLoaded(self.refused::<Q>(status).error));
                    }
                    Some(status) if status.code == NO_INDEX => {
                        return Err(Refusal::NoIndex(self.refused::<Q>(status).error));
                    }
                    Some(status) if status.code != 0 || status.error_code != 0 => self.refused::<Q>(status),
                    _ => return Ok(answer),
                },
            };
            let patience = match self.was_reached.load(Ordering::Relaxed) {
                false => PATIENCE_AT_FIRST,
                true if Q::WRITES => PATIENCE_WRITING,
                true => PATIENCE_READING,
            };
            if !is_temporary || start.elapsed() + pause > patience {
                return Err(Refusal::Other(error));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn exchange<Q: Ask>(&self, question: Q) -> Result<Q::Answer, Failure> {
        let lost = || Failure {
            error: Error::new(Kind::Io, self.what(Q::METHOD), "the client's thread ended", "an answer"),
            is_temporary: false,
        };
        let mut request = Request::new(question);
        for (name, value) in &self.headers {
            request.metadata_mut().insert(*name, value.clone());
        }
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LONGEST_ANSWER);
        let path = PathAndQuery::try_from(format!("{SERVICE}{}", Q::METHOD)).map_err(|_| lost())?;
        let (answered, answer) = mpsc::sync_channel(1);
        // Not `block_on`: a caller may itself be inside an async runtime, where that panics.
        self.runtime.as_ref().ok_or_else(lost)?.spawn(async move {
            let result = match grpc.ready().await {
                Ok(()) => grpc.unary(request, path, ProstCodec::default()).await,
                Err(error) => Err(tonic::Status::from_error(Box::new(error))),
            };
            // The caller waits for it.
            let _ = answered.send(result);
        });
        match answer.recv().map_err(|_| lost())? {
            Ok(response) => {
                self.was_reached.store(true, Ordering::Relaxed);
                Ok(response.into_inner())
            }
            Err(status) => Err(self.failed(Q::METHOD, &status)),
        }
    }

    fn failed(&self, method: &str, status: &tonic::Status) -> Failure {
        let mut found = status.message().to_string();
        let mut source = status.source();
        while let Some(cause) = source {
            found = format!("{found}: {cause}");
            source = cause.source();
        }
        let what = self.what(method);
        let error = match status.code() {
            Code::Unavailable | Code::Unknown => {
                Error::new(Kind::Io, what, found, "a server that answers").with_hint(START)
            }
            Code::DeadlineExceeded | Code::Cancelled => {
                let expected = format!("an answer within {} s", self.timeout.as_secs());
                Error::busy(what, found, expected).with_hint("give the server more time, or fewer items at once")
            }
            Code::Unauthenticated | Code::PermissionDenied => {
                Error::new(Kind::Io, what, found, "a login that it accepts")
                    .with_hint("put USER:PASSWORD or the key into the environment variable GXN_MILVUS_TOKEN")
            }
            Code::Unimplemented => Error::unsupported(what, found, "a method that the server has")
                .with_hint("this program is tested with milvus-lite 3.2.2 and Milvus 2.3.5"),
            code => Error::new(Kind::Io, what, format!("{found} ({code})"), "an answer"),
        };
        // A connection that breaks while an answer is on its way is an unknown or cancelled one.
        let is_temporary = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled);
        Failure { error, is_temporary }
    }

    fn refused<Q: Ask>(&self, status: &Status) -> Failure {
        let reason = if status.reason.is_empty() { "an error without a reason" } else { &status.reason };
        let error = Error::new(Kind::Io, self.what(Q::METHOD), reason, "success");
        Failure { error, is_temporary: status.is_temporary() }
    }

    pub(super) fn what(&self, method: &str) -> String {
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
