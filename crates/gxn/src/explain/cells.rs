//! [`cell_shares`]: what the score loses without each part of the image.

use gxn_base::{Error, Result};
use gxn_data::ImageLimits;
use image::{Rgb, RgbImage};
use serde::Serialize;

use super::pair_score;
use crate::encoder::Encoder;

/// Rows and columns of a grid at most.
const MOST: u32 = 16;
/// Images with a cell painted over that are in memory together.
const TOGETHER: usize = 4;

/// An image in equal cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// From top to bottom.
    pub rows: u32,
    /// From left to right.
    pub columns: u32,
}

impl Default for Grid {
    /// 4 × 4.
    fn default() -> Self {
        Self { rows: 4, columns: 4 }
    }
}

impl Grid {
    /// Number of cells.
    pub fn cells(self) -> usize {
        (self.rows * self.columns) as usize
    }

    /// Refuses a grid that is empty, larger than 16 × 16, or finer than the image.
    pub(super) fn check(self, image: &RgbImage) -> Result<()> {
        let fits = |count: u32, pixels: u32| (1..=MOST.min(pixels)).contains(&count);
        if fits(self.rows, image.height()) && fits(self.columns, image.width()) {
            return Ok(());
        }
        let found = format!("{} × {} cells", self.rows, self.columns);
        let expected = format!("1 to {MOST} rows and columns, no more than pixels");
        Err(Error::invalid("the grid of the image", found, expected))
    }
}

/// Shares of an image's cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellShares {
    /// From top to bottom.
    pub rows: u32,
    /// From left to right.
    pub columns: u32,
    /// The score of the whole image less that of the image with the cell painted over, row by row.
    pub contribution: Vec<f32>,
}

/// The share of each cell of `image` in its score with `text` (`[h ; l]`). A cell is painted over in the image's mean
/// colour.
///
/// # Errors
/// When the grid does not fit, and when the image cannot be encoded.
pub fn cell_shares(encoder: &Encoder, text: &[f32], image: &RgbImage, grid: Grid) -> Result<CellShares> {
    grid.check(image)?;
    let sets: Vec<Vec<usize>> = std::iter::once(Vec::new()).chain((0..grid.cells()).map(|cell| vec![cell])).collect();
    let scores = scores_without(encoder, text, image, grid, &sets)?;
    let contribution = scores[1..].iter().map(|score| scores[0] - score).collect();
    Ok(CellShares { rows: grid.rows, columns: grid.columns, contribution })
}

/// The scores of the image with these sets of cells painted over.
pub(super) fn scores_without(
    encoder: &Encoder,
    text: &[f32],
    image: &RgbImage,
    grid: Grid,
    sets: &[Vec<usize>],
) -> Result<Vec<f32>> {
    let (space, colour) = (encoder.space(), mean_colour(image));
    let mut scores = Vec::with_capacity(sets.len());
    for sets in sets.chunks(TOGETHER) {
        let painted: Vec<RgbImage> = sets.iter().map(|cells| without(image, grid, cells, colour)).collect();
        let painted: Vec<&RgbImage> = painted.iter().collect();
        for found in encoder.image_features(&painted, &ImageLimits::default())? {
            let embedding = encoder.encode_features(&found?.feature).joined(0);
            scores.push(pair_score(&space, text, &embedding)?);
        }
    }
    Ok(scores)
}

/// The image with cells painted over.
fn without(image: &RgbImage, grid: Grid, cells: &[usize], colour: Rgb<u8>) -> RgbImage {
    let mut painted = image.clone();
    let (width, height) = image.dimensions();
    let edge = |at: u32, of: u32, pixels: u32| (u64::from(at) * u64::from(pixels) / u64::from(of)) as u32;
    for &cell in cells {
        let (row, column) = (cell as u32 / grid.columns, cell as u32 % grid.columns);
        for y in edge(row, grid.rows, height)..edge(row + 1, grid.rows, height) {
            for x in edge(column, grid.columns, width)..edge(column + 1, grid.columns, width) {
                painted.put_pixel(x, y, colour);
            }
        }
    }
    painted
}

fn mean_colour(image: &RgbImage) -> Rgb<u8> {
    let mut sums = [0u64; 3];
    for pixel in image.pixels() {
        for (sum, value) in sums.iter_mut().zip(pixel.0) {
            *sum += u64::from(value);
        }
    }
    let count = u64::from(image.width()) * u64::from(image.height());
    Rgb(sums.map(|sum| ((sum + count / 2) / count.max(1)) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cover_the_image_once() {
        let image = RgbImage::from_fn(7, 5, |x, y| Rgb([x as u8, y as u8, 9]));
        let (grid, black) = (Grid { rows: 2, columns: 3 }, Rgb([255, 0, 0]));
        let painted_over =
            |cells: &[usize]| without(&image, grid, cells, black).pixels().filter(|p| **p == black).count();
        assert_eq!((0..6).map(|cell| painted_over(&[cell])).sum::<usize>(), 35);
        assert_eq!(painted_over(&[0, 1, 2, 3, 4, 5]), 35);
        assert_eq!(painted_over(&[0]), 4, "two of seven columns, two of five rows");
        assert_eq!(mean_colour(&image), Rgb([3, 2, 9]));
        assert!(grid.check(&image).is_ok() && Grid { rows: 6, columns: 1 }.check(&image).is_err());
    }
}
