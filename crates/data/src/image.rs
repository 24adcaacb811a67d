//! Images: bytes, content hash, decoding, orientation and colour.
//!
//! The format is told by the bytes, never by the file's extension. Colour profiles are not applied.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};
use serde::{Deserialize, Serialize};

use super::image_source::ImageSource;
use gxn_base::words::hex;
use gxn_base::{Error, Remedy, Result};

/// What an image may cost. Checked before its pixels are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLimits {
    /// Largest width × height.
    pub max_pixels: u64,
    /// Largest encoded size in bytes.
    pub max_bytes: u64,
}

impl Default for ImageLimits {
    /// 100 megapixels, 512 MiB.
    fn default() -> Self {
        Self { max_pixels: 100_000_000, max_bytes: 512 << 20 }
    }
}

/// The decoded image: upright (EXIF orientation applied), RGB, 8 bits; alpha is laid on white, grey, CMYK, palette
/// and 16-bit images are converted, and of an animation the first frame is taken.
///
/// # Errors
/// Names the image: unreadable, over the limits, no known format, damaged or cut off.
pub fn load_image(source: &ImageSource, limits: &ImageLimits) -> Result<RgbImage> {
    decode_image(&read_limited(source, limits)?, &source.to_string(), limits)
}

/// The encoded bytes of `source`, unless there are more than `limits` allows.
///
/// # Errors
/// As [`ImageSource::read`], and when there are too many bytes.
pub fn read_limited(source: &ImageSource, limits: &ImageLimits) -> Result<Vec<u8>> {
    let too_large = |count: u64| {
        Error::unsupported(source.to_string(), format!("{count} bytes"), format!("at most {}", limits.max_bytes))
    };
    let count = source.byte_count()?;
    if count > limits.max_bytes {
        return Err(too_large(count));
    }
    let bytes = source.read()?;
    // A cell's own length is known only now.
    if bytes.len() as u64 > limits.max_bytes { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// As [`load_image`], from bytes; `name` stands in errors.
///
/// # Errors
/// As [`load_image`].
pub fn decode_image(bytes: &[u8], name: &str, limits: &ImageLimits) -> Result<RgbImage> {
    let mut decoder = open_decoder(bytes, name, limits)?;
    if bytes.starts_with(&[0xff, 0xd8]) && !jpeg_is_complete(bytes) {
        return Err(Error::invalid(name, "a JPEG that breaks off before its end marker", "a complete image")
            .with_hint("copy or download the file again"));
    }
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| damaged(name, &error))?;
    image.apply_orientation(orientation);
    Ok(flatten(image))
}

/// Width and height as shown, in pixels, from the header alone.
///
/// # Errors
/// No known format, damaged header, or over the limits.
pub fn image_size(bytes: &[u8], name: &str, limits: &ImageLimits) -> Result<(u32, u32)> {
    use image::metadata::Orientation as O;
    let mut decoder = open_decoder(bytes, name, limits)?;
    let (width, height) = decoder.dimensions();
    Ok(match decoder.orientation() {
        Ok(O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH) => (height, width),
        _ => (width, height),
    })
}

fn open_decoder<'a>(bytes: &'a [u8], name: &str, limits: &ImageLimits) -> Result<impl ImageDecoder + 'a> {
    if bytes.is_empty() {
        return Err(Error::invalid(name, "an empty file", EXPECTED));
    }
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().expect("a slice in memory is always readable");
    if let Some(format) = undecoded_format(bytes) {
        return Err(Error::unsupported(name, format, EXPECTED).with_remedy(Remedy::GiveDecodeCommand));
    }
    if !is_decoded_here(bytes) {
        return Err(Error::invalid(name, describe(bytes), EXPECTED));
    }
    // Room for eight bytes a pixel (16-bit RGBA) and for the decoder's own buffers; our own limit is checked below.
    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(64 << 20));
    reader.limits(decoder_limits);
    let decoder = reader.into_decoder().map_err(|error| damaged(name, &error))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        let found = format!("{width} × {height} pixels");
        let expected = format!("at most {} megapixels", limits.max_pixels as f64 / 1e6);
        return Err(Error::unsupported(name, found, expected).with_hint("make the image smaller or raise the limit"));
    }
    if width == 0 || height == 0 {
        return Err(Error::invalid(name, format!("{width} × {height} pixels"), "at least one pixel"));
    }
    Ok(decoder)
}

const EXPECTED: &str = "a JPEG, PNG, WebP, GIF, BMP or TIFF image";

/// Whether the bytes begin like an image of a format that is decoded here.
pub(super) fn is_decoded_here(bytes: &[u8]) -> bool {
    use image::ImageFormat as F;
    matches!(image::guess_format(bytes), Ok(F::Jpeg | F::Png | F::WebP | F::Gif | F::Bmp | F::Tiff))
}

/// The name of a known format that is not decoded here.
fn undecoded_format(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(8..12).filter(|_| bytes.get(4..8) == Some(b"ftyp"));
    match (brand, bytes) {
        (Some(b"avif" | b"avis"), _) => Some("an AVIF image"),
        (Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1"), _) => {
            Some("a HEIC image")
        }
        (Some(b"crx "), _) => Some("a CR3 raw image"),
        (_, [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..]) => Some("a JPEG XL image"),
        (_, [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..]) => Some("a JPEG 2000 image"),
        (_, [b'8', b'B', b'P', b'S', ..]) => Some("a Photoshop image"),
        (_, [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..]) => Some("a PNM image"),
        (_, [b'I', b'I', 42, 0, _, _, _, _, b'C', b'R', ..]) => Some("a CR2 raw image"),
        _ => None,
    }
}

fn damaged(name: &str, error: &image::ImageError) -> Error {
    Error::invalid(name, format!("damaged data ({error})"), "a complete image")
}

/// What unknown bytes look like, for people.
fn describe(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(24)];
    match std::str::from_utf8(start).or_else(|error| match error.error_len() {
        None => std::str::from_utf8(&start[..error.valid_up_to()]),
        Some(_) => Err(error),
    }) {
        Ok(text) if !text.contains('\0') => format!("text beginning {text:?}"),
        _ => format!("unknown data beginning {}", hex(&start[..start.len().min(8)])),
    }
}

/// Whether the marker segments lead to an end marker. The decoder fills what is missing with grey and says nothing.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(found) = bytes[at.min(bytes.len())..].windows(2).position(|w| w[0] == 0xff && w[1] != 0xff) {
        let marker = bytes[at + found + 1];
        at += found + 2;
        match marker {
            0xd9 => return true,
            // Stuffed zeros and restart markers belong to the scan's data; these and 01 carry no length.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => match bytes.get(at..at + 2) {
                Some(length) => at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2),
                None => return false,
            },
        }
    }
    false
}

/// Alpha on white, everything else converted.
fn flatten(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let alpha = u32::from(from[3]);
        for channel in 0..3 {
            to[channel] = ((u32::from(from[channel]) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
    }
    rgb
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
