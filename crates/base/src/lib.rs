//! What every crate of gxn stands on: one [`Error`] with [kinds](Kind) and [remedies](Remedy), one [`Progress`], one
//! [`Similarity`] and [`Modality`], files that are whole or absent ([`fs`]), text files with errors that name the line
//! ([`text`]), names that compare and print well ([`unicode`]), and numbers in messages ([`words`]).
#![warn(missing_docs)]

mod error;
pub mod fs;
mod progress;
mod remedy;
mod similarity;
pub mod text;
pub mod unicode;
pub mod words;

pub use error::{Error, Kind, Result};
pub use progress::Progress;
pub use remedy::Remedy;
pub use similarity::{Modality, Similarity};
