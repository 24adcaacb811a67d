//! [`PixelStore`]: the train pictures at the generator's size, on disk and memory-mapped.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use memmap2::Mmap;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::event::Event;
use crate::checkpoint::Input;
use crate::data::{ContentHash, Filter, ImageLimits, ImageSource, Preprocess, ResizeRule, View, load_image};
use crate::imagine::image_generator::SIDE_PX;
use crate::imagine::picture::to_byte;
use crate::look::phase::mix;
use crate::{Error, Result};

/// Version of the file; part of its name.
const FORMAT: &str = "pixels 1";
/// Values of a picture: red, green and blue planes.
const LENGTH: usize = 3 * SIDE_PX * SIDE_PX;
/// Pictures decoded together.
const BATCH: usize = 256;

/// Pictures of 64×64 pixels, three planes of bytes each.
#[derive(Debug)]
pub struct PixelStore {
    map: Mmap,
}

/// How a picture becomes the generator's square: by the same rule as the CNN's input, with values in [−1, 1].
fn preprocess(input: &Input) -> Preprocess {
    let side_px = SIDE_PX as u32;
    let resize = match input.preprocess.resize {
        ResizeRule::Stretch => ResizeRule::Stretch,
        ResizeRule::ShorterThenCentre { shorter_px } => {
            ResizeRule::ShorterThenCentre { shorter_px: shorter_px * side_px / input.preprocess.side_px }
        }
    };
    Preprocess { side_px, resize, filter: Filter::Bicubic, mean: [127.5; 3], std: [127.5; 3] }
}

impl PixelStore {
    /// The pictures at `sources`, whose contents are known; they are made once and kept in `folder`.
    ///
    /// # Errors
    /// When a picture can no longer be read, the file cannot be written, or `stop` is set.
    pub fn build(
        folder: &Path,
        sources: &[&ImageSource],
        contents: &[ContentHash],
        input: &Input,
        stop: &AtomicBool,
        report: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        let preprocess = preprocess(input);
        let mut hasher = Sha256::new();
        hasher.update(FORMAT);
        hasher.update(crate::checkpoint::pretty(&preprocess));
        contents.iter().for_each(|content| hasher.update(content.to_string()));
        let key: String = hasher.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let path = folder.join(format!("pixels-{key}.bin"));
        let expected = (sources.len() * LENGTH) as u64;
        if std::fs::metadata(&path).map(|m| m.len()).ok() != Some(expected) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot make", folder, e))?;
            let start = Instant::now();
            // The error of a picture passes through the writer's type.
            let mut failed = None;
            let written = crate::data::atomic::write_atomically(&path, |file| {
                for (number, chunk) in sources.chunks(BATCH).enumerate() {
                    let one = |source: &&ImageSource| -> Result<Vec<u8>> {
                        if stop.load(Ordering::Relaxed) {
                            return Err(Error::Interrupted);
                        }
                        let picture = load_image(source, &ImageLimits::default())?;
                        Ok(preprocess.apply(&picture, View::FULL).into_iter().map(to_byte).collect())
                    };
                    let rows: Result<Vec<Vec<u8>>> = chunk.par_iter().map(one).collect();
                    match rows {
                        Ok(rows) => rows.iter().try_for_each(|row| file.write_all(row))?,
                        Err(error) => {
                            failed = Some(error);
                            return Err(std::io::Error::other("a picture"));
                        }
                    }
                    let done = (number * BATCH + chunk.len()).min(sources.len());
                    let rate = done as f64 / start.elapsed().as_secs_f64().max(1e-9);
                    report(Event::Features { done, total: sources.len(), rate });
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
            return Err(Error::unexpected(
                path.display().to_string(),
                format!("{} bytes", map.len()),
                expected.to_string(),
            )
            .with_hint("delete the file; it is made again"));
        }
        Ok(Self { map })
    }

    /// The pictures of these rows with values in [−1, 1]; with a seed, each is mirrored or not by it.
    ///
    /// # Shapes
    /// `B` rows → `[B, 3, 64, 64]`
    pub fn gather(&self, rows: &[usize], mirror: Option<u64>, device: &Device) -> Tensor<4> {
        let mut values = vec![0f32; rows.len() * LENGTH];
        values.par_chunks_mut(LENGTH).zip(rows).enumerate().for_each(|(slot, (out, &row))| {
            let bytes = &self.map[row * LENGTH..(row + 1) * LENGTH];
            out.iter_mut().zip(bytes).for_each(|(x, &byte)| *x = f32::from(byte) / 127.5 - 1.0);
            if mirror.is_some_and(|seed| mix(seed, slot as u64) & 1 == 1) {
                out.chunks_mut(SIDE_PX).for_each(<[f32]>::reverse);
            }
        });
        Tensor::from_data(TensorData::new(values, [rows.len(), 3, SIDE_PX, SIDE_PX]), device)
    }
}
