//! Images as Python has them.

use std::path::PathBuf;

use gxn::encoder::ImageInput;
use gxn::retrieve::Content;
use image::{GrayImage, RgbImage};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::arrays::values;

/// An image that a caller gave.
pub enum Image {
    File(PathBuf),
    Bytes(Vec<u8>),
    Pixels(RgbImage),
}

impl Image {
    /// A path, the bytes of a file, an array `[H, W, 3]` or `[H, W]` of uint8, or an image of PIL.
    ///
    /// # Errors
    /// For anything else.
    pub fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.as_bytes().to_vec()));
        }
        if let Ok(path) = value.extract::<PathBuf>() {
            return Ok(Self::File(path));
        }
        if let Some(pixels) = pixels(value)? {
            return Ok(Self::Pixels(pixels));
        }
        let kind = value.get_type().name()?.to_string();
        Err(PyTypeError::new_err(format!(
            "an image: found {kind}, expected a path, bytes, a PIL image or an array [H, W, 3] or [H, W] of uint8"
        )))
    }

    /// For the encoder.
    pub fn input(&self) -> ImageInput<'_> {
        match self {
            Self::File(path) => ImageInput::File(path),
            Self::Bytes(bytes) => ImageInput::from(bytes.as_slice()),
            Self::Pixels(pixels) => ImageInput::Pixels(pixels),
        }
    }

    /// Images of a sequence; one image alone is a list of one.
    ///
    /// # Errors
    /// As [`Image::of`].
    pub fn list(values: &Bound<'_, PyAny>) -> PyResult<Vec<Self>> {
        if let Ok(single) = Self::of(values) {
            return Ok(vec![single]);
        }
        values.try_iter()?.map(|value| Self::of(&value?)).collect()
    }
}

impl From<Image> for Content {
    fn from(image: Image) -> Self {
        match image {
            Image::File(path) => Self::File(path),
            Image::Bytes(bytes) => Self::Bytes(bytes),
            Image::Pixels(pixels) => Self::Pixels(pixels),
        }
    }
}

/// Words, or an image: a str is words, whatever it looks like.
///
/// # Errors
/// As [`Image::of`].
pub fn content(value: &Bound<'_, PyAny>) -> PyResult<Content> {
    match value.cast::<PyString>() {
        Ok(words) => Ok(Content::Text(words.to_string())),
        Err(_) => Image::of(value).map(Content::from),
    }
}

/// The pixels of an array or of a PIL image, if it is one.
fn pixels(value: &Bound<'_, PyAny>) -> PyResult<Option<RgbImage>> {
    if let Some((bytes, shape)) = values::<u8>(value)? {
        return Ok(match shape[..] {
            [height, width, 3] if height * width > 0 => RgbImage::from_raw(width as u32, height as u32, bytes),
            [height, width] if height * width > 0 => GrayImage::from_raw(width as u32, height as u32, bytes)
                .map(|grey| image::DynamicImage::ImageLuma8(grey).into_rgb8()),
            _ => None,
        });
    }
    if !value.hasattr("convert")? || !value.hasattr("tobytes")? {
        return Ok(None);
    }
    let rgb = value.call_method1("convert", ("RGB",))?;
    let (width, height): (u32, u32) = rgb.getattr("size")?.extract()?;
    let bytes: Vec<u8> = rgb.call_method0("tobytes")?.extract()?;
    Ok(RgbImage::from_raw(width, height, bytes))
}
