//! Tests across modules, in one binary.

mod captioning;
mod checkpoint;
mod imagining;
mod retrieving;
mod training;
