//! The crate as its users see it.
#![allow(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod clustered_rows;
mod crash;
mod export;
mod fixture;
mod folder;
mod fuzz;
mod repair;
mod search;
mod sketches;
mod store;
mod ties;
