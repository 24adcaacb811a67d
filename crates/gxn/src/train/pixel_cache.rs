//! [`PixelCache`]: the train images at about the generator's size, on disk and memory-mapped.

use std::io::Write;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use memmap2::Mmap;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::config::SIDE_PX;
use crate::imagine::small_image::to_byte;
use crate::look::ImagePipeline;
use crate::seed::mix;
use gxn_base::{Error, Progress, Result};
use gxn_data::{ContentHash, ImageLimits, ImageSource, View, load_image};

/// Version of the file; part of its name.
const FORMAT: &str = "pixels 1";
/// Values of an image as the discriminator reads it: red, green and blue planes.
const LENGTH: usize = 3 * SIDE_PX * SIDE_PX;
/// Images decoded together.
const BATCH: usize = 256;

/// Square images, three planes of bytes each.
#[derive(Debug)]
pub struct PixelCache {
    map: Mmap,
    side_px: usize,
}

impl PixelCache {
    /// The images at `sources`, whose contents are known, `side_px` wide and high; they are made once and kept in `folder`.
    ///
    /// # Errors
    /// When an image can no longer be read, the file cannot be written, or `progress` is cancelled.
    pub fn build(
        folder: &Path,
        sources: &[&ImageSource],
        contents: &[ContentHash],
        input: &ImagePipeline,
        side_px: usize,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let preprocess = input.preprocess.small(side_px);
        let mut hasher = Sha256::new();
        hasher.update(FORMAT);
        hasher.update(crate::checkpoint::pretty(&preprocess));
        contents.iter().for_each(|content| hasher.update(content.to_string()));
        let key = gxn_base::words::hex(&hasher.finalize()[..8]);
        let path = folder.join(format!("pixels-{key}.bin"));
        let expected = (sources.len() * 3 * side_px * side_px) as u64;
        if std::fs::metadata(&path).map(|m| m.len()).ok() != Some(expected) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot make", folder, e))?;
            // The error of an image passes through the writer's type.
            let mut failed = None;
            let written = gxn_base::fs::write_atomically(&path, |file| {
                for (number, chunk) in sources.chunks(BATCH).enumerate() {
                    let one = |source: &&ImageSource| -> Result<Vec<u8>> {
                        if progress.cancelled() {
                            return Err(Error::interrupted());
                        }
                        let image = load_image(source, &ImageLimits::default())?;
                        Ok(preprocess.apply(&image, View::FULL).into_iter().map(to_byte).collect())
                    };
                    let rows: Result<Vec<Vec<u8>>> = chunk.par_iter().map(one).collect();
                    match rows {
                        Ok(rows) => rows.iter().try_for_each(|row| file.write_all(row))?,
                        Err(error) => {
                            failed = Some(error);
                            return Err(std::io::Error::other("an image"));
                        }
                    }
                    progress.update("images", number * BATCH + chunk.len(), sources.len());
                }
                Ok(())
            });
            if let Some(error) = failed {
                return Err(error);
            }
            written?;
        }
        let file = std::fs::File::open(&path).map_err(|e| Error::io("cannot open", &path, e))?;
        // SAFETY: the file is written once under a temporary name and never changed.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", &path, e))?;
        if map.len() as u64 != expected {
            let found = format!("{} bytes", map.len());
            return Err(Error::damaged(path.display().to_string(), found, expected.to_string())
                .with_hint("delete the file; it is made again"));
        }
        Ok(Self { map, side_px })
    }

    /// 64×64 pieces of the images of these rows with values in [−1, 1]. A seed decides where each piece lies; with `mirror`,
    /// half of them are mirrored. Images of that very size are taken whole.
    ///
    /// # Shapes
    /// `B` rows → `[B, 3, 64, 64]`
    pub fn gather(&self, rows: &[usize], mirror: bool, seed: u64, device: &Device) -> Tensor<4> {
        let (side, places) = (self.side_px, (self.side_px - SIDE_PX + 1) as u64);
        let mut values = vec![0f32; rows.len() * LENGTH];
        values.par_chunks_mut(LENGTH).zip(rows).enumerate().for_each(|(slot, (out, &row))| {
            let drawn = mix(seed, slot as u64);
            let place = |salt| (mix(drawn, salt) % places) as usize;
            let (left, top) = (place(0x1e), place(0x70));
            let image = &self.map[row * 3 * side * side..(row + 1) * 3 * side * side];
            for (line, out) in out.chunks_mut(SIDE_PX).enumerate() {
                let (plane, y) = (line / SIDE_PX, line % SIDE_PX);
                let start = plane * side * side + (top + y) * side + left;
                out.iter_mut()
                    .zip(&image[start..start + SIDE_PX])
                    .for_each(|(x, &byte)| *x = f32::from(byte) / 127.5 - 1.0);
                if mirror && drawn & 1 == 1 {
                    out.reverse();
                }
            }
        });
        Tensor::from_data(TensorData::new(values, [rows.len(), 3, SIDE_PX, SIDE_PX]), device)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A store whose bytes name their place: red is x, green y, blue the row.
    fn store(side_px: usize, images: usize) -> PixelCache {
        let mut file = tempfile::tempfile().unwrap();
        for row in 0..images {
            for plane in 0..3 {
                let bytes: Vec<u8> =
                    (0..side_px * side_px).map(|at| [at % side_px, at / side_px, row][plane] as u8).collect();
                file.write_all(&bytes).unwrap();
            }
        }
        // SAFETY: nobody else knows the file.
        PixelCache { map: unsafe { Mmap::map(&file) }.unwrap(), side_px }
    }

    fn bytes(pixels: Tensor<4>) -> Vec<u8> {
        pixels.into_data().iter::<f32>().map(|x| ((x + 1.0) * 127.5).round() as u8).collect()
    }

    #[test]
    fn pieces_lie_anywhere_and_are_mirrored_half_of_the_time() {
        let device = Device::flex();
        let rows: Vec<usize> = (0..200).map(|slot| slot % 2).collect();
        let pieces = bytes(store(76, 2).gather(&rows, true, 5, &device));
        assert_eq!(pieces, bytes(store(76, 2).gather(&rows, true, 5, &device)));
        let mut corners = std::collections::BTreeSet::new();
        let mut mirrored = 0;
        for (piece, &row) in pieces.chunks(LENGTH).zip(&rows) {
            let area = SIDE_PX * SIDE_PX;
            let (first, last) = (piece[0], piece[SIDE_PX - 1]);
            assert_eq!(first.abs_diff(last), 63, "a line of the image");
            assert_eq!(piece[2 * area - 1] - piece[area], 63, "the lines from top to bottom");
            assert!(piece[2 * area..].iter().all(|&blue| usize::from(blue) == row));
            mirrored += usize::from(first > last);
            corners.insert((first.min(last), piece[area]));
        }
        assert!((70..=130).contains(&mirrored), "{mirrored} of 200");
        assert!(corners.len() > 80, "{} places", corners.len());
        assert!(corners.iter().all(|&(x, y)| x <= 12 && y <= 12));
    }

    #[test]
    fn an_image_of_the_size_itself_is_taken_whole() {
        let shown = bytes(store(64, 1).gather(&[0], false, 9, &Device::flex()));
        let expected: Vec<u8> = (0..3 * 64 * 64).map(|at| [at % 64, at / 64 % 64, 0][at / 4096] as u8).collect();
        assert_eq!(shown, expected);
    }
}
