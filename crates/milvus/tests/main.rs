//! The crate as its users see it.
#![allow(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod data;
mod folder_store;
mod milvus;
