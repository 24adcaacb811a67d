//! What every crate of gxn stands on: one [`Error`] with [kinds](Kind) and [remedies](Remedy), files that are whole or
//! absent ([`fs`]), text files with errors that name the line ([`text`]).
#![warn(missing_docs)]

mod error;
pub mod fs;
mod remedy;
pub mod text;

pub use error::{Error, Kind, Result};
pub use remedy::Remedy;
