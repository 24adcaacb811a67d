//! The crate as its users see it.

mod candidates;
mod crash;
mod fixture;
mod folder;
mod search;
mod sketches;
mod store;
