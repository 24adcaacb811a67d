//! The crate as its users see it.
#![allow(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[path = "../../index/tests/clustered_rows.rs"]
mod clustered_rows;
mod comparison;
mod data;
mod milvus;
mod server;
