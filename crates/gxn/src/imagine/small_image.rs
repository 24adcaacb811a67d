//! [`SmallImage`]: images of the generator's size outside training: compared, written, laid out on a sheet.

use std::path::Path;

use image::{Rgb, RgbImage};

use crate::config::SIDE_PX;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};

/// What a generated image is, for people who find one later; it is inside the PNG file.
pub const LABEL: &str =
    "generated: what the model expects an image of the sentence to look like, 64×64 pixels; not a photograph";

/// Pixels between the images of a sheet.
const GAP_PX: u32 = 2;

/// An image of the generator's size: what the model expects for a sentence, or a photo as the discriminator sees it. 64×64
/// pixels, three planes with values in [−1, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct SmallImage(Vec<f32>);

impl SmallImage {
    /// Of the generator's values, `[3, 64, 64]` row-major.
    pub(crate) fn of(values: &[f32]) -> Self {
        Self(values.to_vec())
    }

    /// The middle of a photo's values, `[3, side_px, side_px]` row-major with `side_px` at least 64.
    pub(crate) fn middle_of(values: &[f32], side_px: usize) -> Self {
        let edge = (side_px - SIDE_PX) / 2;
        let line = |at: usize| {
            let start = (at / SIDE_PX) * side_px * side_px + (edge + at % SIDE_PX) * side_px + edge;
            &values[start..start + SIDE_PX]
        };
        Self((0..3 * SIDE_PX).flat_map(line).copied().collect())
    }

    /// `[3, 64, 64]`, row-major.
    pub(crate) fn values(&self) -> &[f32] {
        &self.0
    }

    /// As an ordinary image.
    pub fn to_rgb(&self) -> RgbImage {
        let area = SIDE_PX * SIDE_PX;
        RgbImage::from_fn(SIDE_PX as u32, SIDE_PX as u32, |x, y| {
            let at = y as usize * SIDE_PX + x as usize;
            Rgb([0, 1, 2].map(|plane| to_byte(self.0[plane * area + at])))
        })
    }
}

/// A value in [−1, 1] as a byte.
pub fn to_byte(value: f32) -> u8 {
    (value * 127.5 + 127.5).round().clamp(0.0, 255.0) as u8
}

/// Writes generated images as PNG, whole or not at all, with [`LABEL`] as its description.
///
/// # Errors
/// When it cannot be written.
pub fn save_png(image: &RgbImage, path: &Path) -> Result<()> {
    let encoded = || -> std::result::Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, image.width(), image.height());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.add_itxt_chunk("Description".into(), LABEL.into())?;
        let mut writer = encoder.write_header()?;
        writer.write_image_data(image)?;
        writer.finish()?;
        Ok(bytes)
    };
    let bytes = encoded()
        .map_err(|e| Error::invalid(path.display().to_string(), e.to_string(), "an image that PNG can hold"))?;
    write_atomically(path, |file| std::io::Write::write_all(file, &bytes))
}

/// Root mean square difference of two images, with values taken as 0..=1.
pub fn root_mean_square(a: &SmallImage, b: &SmallImage) -> f64 {
    let squares: f64 = a.0.iter().zip(&b.0).map(|(x, y)| f64::from((x - y) / 2.0).powi(2)).sum();
    (squares / a.0.len().max(1) as f64).sqrt()
}

/// Images of one size side by side, `row` in a row.
pub fn contact_sheet(images: &[RgbImage], row: usize) -> RgbImage {
    let Some((width, height)) = images.first().map(RgbImage::dimensions) else { return RgbImage::new(1, 1) };
    let columns = images.len().min(row.max(1)) as u32;
    let rows = images.len().div_ceil(row.max(1)) as u32;
    let white = Rgb([255, 255, 255]);
    let mut sheet = RgbImage::from_pixel(columns * (width + GAP_PX) + GAP_PX, rows * (height + GAP_PX) + GAP_PX, white);
    for (at, image) in images.iter().enumerate() {
        let (x, y) = ((at % row.max(1)) as u32, (at / row.max(1)) as u32);
        let place = (GAP_PX + x * (width + GAP_PX), GAP_PX + y * (height + GAP_PX));
        image::imageops::replace(&mut sheet, image, i64::from(place.0), i64::from(place.1));
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(value: f32) -> SmallImage {
        SmallImage(vec![value; 3 * SIDE_PX * SIDE_PX])
    }

    #[test]
    fn values_become_bytes_and_differences() {
        assert_eq!(flat(-1.0).to_rgb().get_pixel(5, 9), &Rgb([0, 0, 0]));
        assert_eq!(flat(1.0).to_rgb().get_pixel(63, 63), &Rgb([255, 255, 255]));
        assert!((root_mean_square(&flat(-1.0), &flat(1.0)) - 1.0).abs() < 1e-9);
        assert_eq!(root_mean_square(&flat(0.3), &flat(0.3)), 0.0);
    }

    #[test]
    fn the_middle_of_a_photo() {
        let side = 66;
        let photo: Vec<f32> =
            (0..3 * side * side).map(|at| [at % side, at / side % side, 7][at / side / side] as f32).collect();
        let middle = SmallImage::middle_of(&photo, side);
        let area = SIDE_PX * SIDE_PX;
        assert_eq!(middle.values().len(), 3 * area);
        assert_eq!((middle.values()[0], middle.values()[area - 1]), (1.0, 64.0), "from left to right");
        assert_eq!((middle.values()[area], middle.values()[2 * area - 1]), (1.0, 64.0), "from top to bottom");
        assert!(middle.values()[2 * area..].iter().all(|&blue| blue == 7.0));
    }

    #[test]
    fn a_file_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let image = flat(0.5).to_rgb();
        save_png(&image, &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.windows(LABEL.len()).any(|part| part == LABEL.as_bytes()));
        assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8(), image);
    }

    #[test]
    fn a_sheet_has_a_place_for_every_image() {
        let images: Vec<RgbImage> = (0..5).map(|n| RgbImage::from_pixel(64, 64, Rgb([n, 0, 0]))).collect();
        let sheet = contact_sheet(&images, 4);
        assert_eq!(sheet.dimensions(), (4 * 66 + 2, 2 * 66 + 2));
        assert_eq!(
            (sheet.get_pixel(3 * 66 + 2, 2)[0], sheet.get_pixel(2, 68)[0], sheet.get_pixel(0, 0)[0]),
            (3, 4, 255)
        );
    }
}
