//! Maps with sixteen images side by side, so that every size of map and number of channels fills the vector registers.

use super::geometry::Margin;
use super::kernel::LANES;
use crate::pool::Buffer;
use crate::simd16::Instructions;
use rayon::prelude::*;

/// Fewest floats worth a task of their own.
const TASK: usize = 1 << 14;

/// A batch as `[blocks, C, H, W, 16]`: block b holds images 16b … 16b + 15, zero where there is none, and zeros around
/// each plane.
#[derive(Clone, Debug)]
pub(super) struct Map {
    values: Buffer,
    /// Channels.
    pub channels: usize,
    /// Height and width, margins included.
    pub size: [usize; 2],
    /// Zeros above and left of the plane.
    pub margin: [usize; 2],
}

impl Map {
    /// `values` `[B, C, H, W]` with zeros around each plane.
    pub fn new(values: &[f32], shape: [usize; 4], margin: Margin) -> Self {
        let [batch, channels, height, width] = shape;
        assert_eq!(values.len(), shape.iter().product::<usize>(), "map {shape:?}");
        let [[top, bottom], [left, right]] = margin;
        let size = [top + height + bottom, left + width + right];
        let mut map = Self {
            values: Buffer::dirty(batch.div_ceil(LANES) * channels * size[0] * size[1] * LANES),
            channels,
            size,
            margin: [top, left],
        };
        if values.is_empty() {
            return map;
        }
        let instructions = Instructions::best();
        let (plane, image) = (height * width, channels * height * width);
        let padded = map.plane();
        map.values.par_chunks_mut(padded).with_min_len(TASK.div_ceil(padded)).enumerate().for_each(|(index, out)| {
            let (block, channel) = (index / channels, index % channels);
            clear_margin(out, size, [top, left], [height, width]);
            let lanes = LANES.min(batch - block * LANES);
            let from = &values[block * LANES * image + channel * plane..];
            let rows: [&[f32]; LANES] =
                std::array::from_fn(|lane| if lane < lanes { &from[lane * image..][..plane] } else { &[] });
            let mut positions =
                (0..plane).map(|pixel| ((top + pixel / width) * size[1] + left + pixel % width) * LANES);
            let mut start = 0;
            while start + LANES <= plane {
                let to: [usize; LANES] = std::array::from_fn(|_| positions.next().expect("a pixel is left"));
                // SAFETY: a row has `plane` values or none at all; a pixel of the padded plane has `LANES`.
                unsafe {
                    let rows = rows.map(|row| if row.is_empty() { NOTHING.as_ptr() } else { row.as_ptr().add(start) });
                    let out = out.as_mut_ptr();
                    transpose(instructions, rows, to.map(|to| out.add(to)));
                }
                start += LANES;
            }
            for (pixel, to) in (start..plane).zip(positions) {
                for (out, row) in out[to..to + LANES].iter_mut().zip(&rows[..lanes]) {
                    *out = row[pixel];
                }
            }
        });
        map
    }

    /// Floats of one channel of one block.
    pub fn plane(&self) -> usize {
        self.size[0] * self.size[1] * LANES
    }

    /// Floats of one row.
    pub fn line(&self) -> usize {
        self.size[1] * LANES
    }

    /// How many blocks of images there are.
    pub fn blocks(&self) -> usize {
        self.values.len() / self.block_size().max(1)
    }

    /// Floats of one block `[C, H, W, 16]`.
    pub fn block_size(&self) -> usize {
        self.channels * self.plane()
    }

    /// One block and those after it.
    pub fn blocks_from(&self, block: usize) -> &[f32] {
        &self.values[block * self.block_size()..]
    }
}

/// Zeros all of a plane of `size` but the `inner` pixels that begin at `corner`.
fn clear_margin(plane: &mut [f32], size: [usize; 2], corner: [usize; 2], inner: [usize; 2]) {
    for (y, row) in plane.chunks_exact_mut(size[1] * LANES).enumerate() {
        if y < corner[0] || y >= corner[0] + inner[0] {
            row.fill(0.0);
        } else {
            row[..corner[1] * LANES].fill(0.0);
            row[(corner[1] + inner[1]) * LANES..].fill(0.0);
        }
    }
}

/// What stands where there is no image.
static NOTHING: [f32; LANES] = [0.0; LANES];

/// Writes `values` `[pixels, 16]` as one run of pixels to each image of `images`.
pub(super) fn unpack(instructions: Instructions, values: &[f32], images: &mut [&mut [f32]]) {
    let pixels = values.len() / LANES;
    assert!(images.len() <= LANES && images.iter().all(|image| image.len() == pixels), "images of one size");
    let mut nowhere = [0.0; LANES];
    let mut start = 0;
    while start + LANES <= pixels {
        let mut to = [nowhere.as_mut_ptr(); LANES];
        for (to, image) in to.iter_mut().zip(images.iter_mut()) {
            *to = image[start..start + LANES].as_mut_ptr();
        }
        let from = &values[start * LANES..][..LANES * LANES];
        // SAFETY: the slices above have sixteen rows of sixteen values, and sixteen values in each image.
        unsafe { transpose(instructions, std::array::from_fn(|pixel| from.as_ptr().add(pixel * LANES)), to) };
        start += LANES;
    }
    for pixel in start..pixels {
        for (image, value) in images.iter_mut().zip(&values[pixel * LANES..]) {
            image[pixel] = *value;
        }
    }
}

/// Sixteen rows of sixteen values, transposed.
///
/// # Safety
/// Each pointer must be good for sixteen values, and no row of `to` may overlap a row of `from`.
#[inline]
unsafe fn transpose(instructions: Instructions, from: [*const f32; LANES], to: [*mut f32; LANES]) {
    match instructions {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's; the instructions were detected.
        Instructions::Avx512 => unsafe { transpose_avx512(&from, &to) },
        _ => {
            for (lane, from) in from.into_iter().enumerate() {
                for (pixel, to) in to.into_iter().enumerate() {
                    // SAFETY: the caller's.
                    unsafe { *to.add(lane) = *from.add(pixel) };
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_avx512(from: &[*const f32; LANES], to: &[*mut f32; LANES]) {
    use std::arch::x86_64::*;
    let pairs = |a: __m512, b: __m512, high: bool| {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        _mm512_castpd_ps(if high { _mm512_unpackhi_pd(a, b) } else { _mm512_unpacklo_pd(a, b) })
    };
    // SAFETY: the caller's.
    unsafe {
        let mut rows = [_mm512_setzero_ps(); LANES];
        for (row, from) in rows.iter_mut().zip(from) {
            *row = _mm512_loadu_ps(*from);
        }
        // First 2x2 elements, then 4x4 within each quarter register, then the quarters.
        let mut twos = rows;
        for k in 0..LANES / 2 {
            twos[2 * k] = _mm512_unpacklo_ps(rows[2 * k], rows[2 * k + 1]);
            twos[2 * k + 1] = _mm512_unpackhi_ps(rows[2 * k], rows[2 * k + 1]);
        }
        let mut fours = twos;
        for k in (0..LANES).step_by(4) {
            fours[k] = pairs(twos[k], twos[k + 2], false);
            fours[k + 1] = pairs(twos[k], twos[k + 2], true);
            fours[k + 2] = pairs(twos[k + 1], twos[k + 3], false);
            fours[k + 3] = pairs(twos[k + 1], twos[k + 3], true);
        }
        for k in 0..4 {
            let even = _mm512_shuffle_f32x4::<0x88>(fours[k], fours[k + 4]);
            let odd = _mm512_shuffle_f32x4::<0xdd>(fours[k], fours[k + 4]);
            let last_even = _mm512_shuffle_f32x4::<0x88>(fours[k + 8], fours[k + 12]);
            let last_odd = _mm512_shuffle_f32x4::<0xdd>(fours[k + 8], fours[k + 12]);
            _mm512_storeu_ps(to[k], _mm512_shuffle_f32x4::<0x88>(even, last_even));
            _mm512_storeu_ps(to[k + 4], _mm512_shuffle_f32x4::<0x88>(odd, last_odd));
            _mm512_storeu_ps(to[k + 8], _mm512_shuffle_f32x4::<0xdd>(even, last_even));
            _mm512_storeu_ps(to[k + 12], _mm512_shuffle_f32x4::<0xdd>(odd, last_odd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for instructions in Instructions::available() {
            for [batch, channels, height, width] in [[1, 1, 1, 1], [3, 2, 3, 5], [16, 1, 4, 4], [37, 3, 6, 9]] {
                let shape = [batch, channels, height, width];
                let values: Vec<f32> = (0..shape.iter().product()).map(|k| k as f32 + 1.0).collect();
                let map = Map::new(&values, shape, [[1, 2], [3, 0]]);
                assert_eq!((map.blocks(), map.size), (batch.div_ceil(16), [height + 3, width + 3]));
                let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
                assert_eq!(map.values.iter().map(|&value| f64::from(value)).sum::<f64>(), sum);
                let mut images = vec![0.0; values.len()];
                let mut images: Vec<&mut [f32]> = images.chunks_mut(channels * height * width).collect();
                for (block, images) in images.chunks_mut(16).enumerate() {
                    let mut inside = Vec::new();
                    for channel in map.blocks_from(block)[..map.block_size()].chunks(map.plane()) {
                        for row in channel.chunks(map.line()).skip(1).take(height) {
                            inside.extend_from_slice(&row[3 * 16..]);
                        }
                    }
                    unpack(instructions, &inside, images);
                }
                assert_eq!(images.concat(), values);
            }
        }
    }
}
