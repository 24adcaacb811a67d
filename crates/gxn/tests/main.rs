//! Tests across modules, in one binary.
#![allow(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod captioning;
mod checkpoint;
mod imagining;
mod retrieving;
mod tiny_dataset;
mod training;
