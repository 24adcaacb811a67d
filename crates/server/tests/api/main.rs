//! The routes as clients meet them: requests in; status, headers and bodies out.
#![allow(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod compatible;
mod editing;
mod fixture;
mod forms;
mod generating;
mod guards;
mod items;
mod searching;
#[path = "../../../gxn/tests/tiny_dataset.rs"]
mod tiny_dataset;
mod training;
