//! The crate as its users see it.

mod fixture;
mod folder;
mod search;
