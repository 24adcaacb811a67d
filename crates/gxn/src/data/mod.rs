//! DATA: from any supported source to a [`Dataset`], its vocabulary and its decoded pictures.

pub mod dataset;
pub mod image;

pub use dataset::{Caption, Dataset, Dropped, Image, ImageSource, Split};
pub use image::{Preprocess, ResizeRule};
