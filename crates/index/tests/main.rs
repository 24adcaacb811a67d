//! The crate as its users see it.

mod crash;
mod export;
mod fixture;
mod folder;
mod search;
mod sketches;
mod store;
mod ties;
