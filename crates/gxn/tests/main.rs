//! Tests across modules, in one binary.

mod checkpoint;
mod training;
