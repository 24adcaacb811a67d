//! [`ImageProcessor`]: from a decoded image to the values that an encoder reads.

use gxn_base::{Error, Result};
use gxn_data::{ResizeFilter, resize};
use image::RgbImage;
use serde_json::Value;

use crate::processor_settings::{Settings, TargetSize};
use crate::{EncoderFolder, Family};

/// What preprocessor_config.json asks for: an image resized, cut out of its middle, scaled and normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    /// None leaves the image as large as it is.
    resize: Option<TargetSize>,
    filter: ResizeFilter,
    /// Height and width of the central part; None keeps all.
    crop: Option<[usize; 2]>,
    /// Height and width of the result.
    size: [usize; 2],
    /// The value of each level of each channel, `[3, 256]`.
    values: Vec<f32>,
}

impl ImageProcessor {
    /// What the folder's preprocessor_config.json asks for, or processor_config.json, where newer folders have it.
    ///
    /// # Errors
    /// When the encoder reads no images, when there is no such file, and when it asks for what is not done here, such as
    /// images that keep their shape.
    pub fn read(folder: &EncoderFolder) -> Result<Self> {
        let path = folder.path();
        if folder.family() == Family::Bert {
            let found = "an encoder of texts only (BERT)";
            return Err(Error::unsupported(path.display().to_string(), found, "one that reads images"));
        }
        let name = "preprocessor_config.json";
        if let Some(json) = folder.json(name)? {
            return Self::from_json(&json, folder.family(), &path.join(name).display().to_string());
        }
        let name = "processor_config.json";
        match folder.json(name)?.map(|mut json| json["image_processor"].take()) {
            Some(json @ Value::Object(_)) => {
                Self::from_json(&json, folder.family(), &path.join(name).display().to_string())
            }
            _ => Err(Error::not_found(path.display().to_string(), "no preprocessor_config.json", "this file")
                .with_hint("download it from the encoder's page: it says how images are resized and normalised")),
        }
    }

    fn from_json(json: &Value, family: Family, file: &str) -> Result<Self> {
        let settings = Settings::new(json, family, file);
        let target = if settings.flag("do_resize", true)? { Some(settings.target()?) } else { None };
        let crop = if settings.flag("do_center_crop", settings.crops())? { Some(settings.crop()?) } else { None };
        let size = match (crop, target) {
            (Some(size), _) | (None, Some(TargetSize::Both(size))) => size,
            _ => {
                return Err(Error::unsupported(file, "images that keep their shape", "a size that all images get"));
            }
        };
        Ok(Self { resize: target, filter: settings.filter()?, crop, size, values: settings.values()? })
    }

    /// Height and width of every result, in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The values of an image, `[3, H, W]`: red, green and blue planes. An image without pixels is black.
    pub fn apply(&self, image: &RgbImage) -> Vec<f32> {
        let [height, width] = self.size;
        let pixels = self.pixels(image); // [H, W, 3]
        let mut planes = Vec::with_capacity(3 * height * width);
        for channel in 0..3 {
            let values = &self.values[channel * 256..][..256];
            planes.extend(pixels.iter().skip(channel).step_by(3).map(|&level| values[usize::from(level)]));
        }
        planes
    }

    /// The part of the resized image that is kept, RGB interleaved. Only this part is computed: a ribbon would become an
    /// image of gigabytes.
    fn pixels(&self, image: &RgbImage) -> Vec<u8> {
        let [height, width] = self.size;
        let [from_height, from_width] = [image.height(), image.width()].map(u64::from);
        if from_height == 0 || from_width == 0 {
            return vec![0; 3 * height * width];
        }
        let [to_height, to_width] = match self.resize {
            Some(TargetSize::Both([height, width])) => [height as u64, width as u64],
            Some(TargetSize::Shorter(side)) => {
                let long = |long: u64, short: u64| side as u64 * long / short;
                if from_width <= from_height {
                    [long(from_height, from_width), side as u64]
                } else {
                    [side as u64, long(from_width, from_height)]
                }
            }
            None => [from_height, from_width],
        };
        let rows = Span::central(from_height, to_height, height as u64);
        let columns = Span::central(from_width, to_width, width as u64);
        let kept = self.resized(image, &rows, &columns);
        if (columns.pixels, rows.pixels) == (width as u64, height as u64) {
            return kept;
        }
        let mut padded = vec![0; 3 * height * width];
        let row_bytes = 3 * columns.pixels as usize;
        for (row, bytes) in kept.chunks_exact(row_bytes).enumerate() {
            let at = 3 * ((row + rows.margin) * width + columns.margin);
            padded[at..at + row_bytes].copy_from_slice(bytes);
        }
        padded
    }

    /// First the columns, then the rows, each rounded to 8 bits, as Pillow does: in the other order sharp edges differ by
    /// many levels. Of the first pass only the rows that the second reads are made.
    fn resized(&self, image: &RgbImage, rows: &Span, columns: &Span) -> Vec<u8> {
        let [wide, high] = [columns.pixels as u32, rows.pixels as u32];
        let (first, count) = rows.source(f64::from(image.height()));
        let part = [columns.from, first, columns.length, count];
        let made = resize(image, part, [wide, count as u32], self.filter);
        match RgbImage::from_raw(wide, count as u32, made) {
            Some(made) => {
                resize(&made, [0.0, rows.from - first, f64::from(wide), rows.length], [wide, high], self.filter)
            }
            None => vec![0; 3 * wide as usize * high as usize],
        }
    }
}

/// The central `pixels` of a side after resizing, and where they lie in the image before it.
struct Span {
    pixels: u64,
    from: f64,
    length: f64,
    /// Pixels of zeros before a side that is too short to be cut.
    margin: usize,
}

impl Span {
    /// The side has `from` pixels, `to` after resizing, of which `keep` are kept or padded to.
    fn central(from: u64, to: u64, keep: u64) -> Self {
        let scale = from as f64 / to as f64;
        if to < keep {
            let margin = (keep - to).div_ceil(2) as usize;
            return Self { pixels: to, from: 0.0, length: from as f64, margin };
        }
        let first = (to - keep) / 2;
        Self { pixels: keep, from: first as f64 * scale, length: keep as f64 * scale, margin: 0 }
    }

    /// The first pixel and the count of pixels that a filter reads of a side of `all`; no filter reaches further than
    /// three pixels of the coarser side.
    fn source(&self, all: f64) -> (f64, f64) {
        let reach = 3.0 * (self.length / self.pixels as f64).max(1.0) + 1.0;
        let first = (self.from - reach).floor().max(0.0);
        (first, (self.from + self.length + reach).ceil().min(all) - first)
    }
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
