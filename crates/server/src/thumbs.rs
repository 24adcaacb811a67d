//! [`Thumbs`]: small copies of images, made on demand and kept within a bound.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use gxn_base::{Error, Result};
use gxn_data::{ImageLimits, ImageSource, ResizeFilter, load_image, resize};
use image::codecs::jpeg::JpegEncoder;
use tokio::sync::Semaphore;

/// Sides that are made; others are rounded up, so that one image has few copies.
const SIDES: [u32; 5] = [64, 128, 256, 512, 1024];
/// Bytes that are kept.
const MOST_BYTES: usize = 64 << 20;
const QUALITY: u8 = 85;
/// Images that are decoded at once.
const TOGETHER: usize = 2;

/// The copies that were asked for last.
#[derive(Debug)]
pub(crate) struct Thumbs {
    kept: Mutex<Kept>,
    making: Semaphore,
}

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<String, Bytes>,
    /// The oldest first.
    order: VecDeque<String>,
    bytes: usize,
}

impl Default for Thumbs {
    fn default() -> Self {
        Self { kept: Mutex::default(), making: Semaphore::new(TOGETHER) }
    }
}

impl Thumbs {
    /// The side that is made where `side` is asked for.
    pub fn side(side: u32) -> u32 {
        SIDES.into_iter().find(|&made| made >= side).unwrap_or(SIDES[SIDES.len() - 1])
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).by_key.get(key).cloned()
    }

    pub fn keep(&self, key: String, copy: Bytes) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = copy.len();
        if bytes > MOST_BYTES || kept.by_key.insert(key.clone(), copy).is_some() {
            return;
        }
        kept.order.push_back(key);
        kept.bytes += bytes;
        while kept.bytes > MOST_BYTES
            && let Some(oldest) = kept.order.pop_front()
        {
            let freed = kept.by_key.remove(&oldest).map_or(0, |copy| copy.len());
            kept.bytes -= freed;
        }
    }

    /// Waits until an image may be decoded; the place is free again when the permit is dropped.
    pub async fn turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.making.acquire().await.ok()
    }
}

/// The image in the file as a JPEG whose longer side is at most `side` pixels.
pub(crate) fn thumb(file: &Path, side: u32, limits: &ImageLimits) -> Result<Vec<u8>> {
    let image = load_image(&ImageSource::File(file.to_path_buf()), limits)?;
    let (width, height) = image.dimensions();
    let scale = f64::from(side) / f64::from(width.max(height));
    let size = [width, height].map(|length| ((f64::from(length) * scale).round() as u32).max(1));
    let encode = |pixels: &[u8], [width, height]: [u32; 2]| {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .encode(pixels, width, height, image::ExtendedColorType::Rgb8)
            .map(|()| jpeg)
            .map_err(|error| Error::unsupported("a small copy", error.to_string(), "an image that JPEG can hold"))
    };
    if scale >= 1.0 {
        return encode(&image, [width, height]);
    }
    let whole = [0.0, 0.0, f64::from(width), f64::from(height)];
    encode(&resize(&image, whole, size, ResizeFilter::Bilinear), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound() {
        let thumbs = Thumbs::default();
        let megabyte = Bytes::from(vec![0; 1 << 20]);
        (0..70).for_each(|at| thumbs.keep(at.to_string(), megabyte.clone()));
        assert!(thumbs.get("0").is_none() && thumbs.get("5").is_none());
        assert!(thumbs.get("6").is_some() && thumbs.get("69").is_some());
        assert_eq!([1, 64, 65, 256, 5000].map(Thumbs::side), [64, 64, 128, 256, 1024]);
    }
}
