//! [`Map`]: what lies between the steps of a network, channels last.

use super::block::MaxPool;
use super::kernel::PANEL;
use gxn_ops::pool::Buffer;

/// A map of one image, channels last.
#[derive(Debug, Clone, Default)]
pub struct Map {
    pub(super) data: Buffer,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    /// Floats from one pixel to the next: channels, padded.
    pub(super) step: usize,
}

impl Map {
    /// The channels of one pixel, row by row from the top left.
    ///
    /// # Panics
    /// When there is no such pixel.
    pub fn pixel(&self, number: usize) -> &[f32] {
        &self.data[number * self.step..][..self.channels]
    }

    /// Means over the cells of a `rows` × `columns` grid, `[rows, columns, channels]`. Cells overlap or repeat as in
    /// adaptive average pooling when the sides are no multiples.
    pub fn pool(&self, [rows, columns]: [usize; 2]) -> Vec<f32> {
        let mut out = vec![0.0; rows * columns * self.channels];
        for (cell, sums) in out.chunks_exact_mut(self.channels).enumerate() {
            let (row, column) = (cell / columns, cell % columns);
            let ys = row * self.height / rows..((row + 1) * self.height).div_ceil(rows);
            let xs = column * self.width / columns..((column + 1) * self.width).div_ceil(columns);
            let count = (ys.len() * xs.len()) as f32;
            for y in ys {
                for x in xs.clone() {
                    sums.iter_mut().zip(self.pixel(y * self.width + x)).for_each(|(sum, value)| *sum += value);
                }
            }
            sums.iter_mut().for_each(|sum| *sum /= count);
        }
        out
    }

    /// Takes a shape; the contents are undefined until written.
    pub(super) fn reshape(&mut self, [height, width]: [usize; 2], channels: usize, step: usize) {
        (self.height, self.width, self.channels, self.step) = (height, width, channels, step);
        self.data.grow(height * width * step);
    }
}

/// Floats from one pixel to the next in a map of `channels` channels; an image's three are not padded.
pub(super) fn step_of(channels: usize) -> usize {
    if channels == 3 { 3 } else { channels.next_multiple_of(PANEL) }
}

/// The maximum over windows.
pub(super) fn max_pool(pool: &MaxPool, input: &Map, out: &mut Map) {
    let [rows, columns] = [pool.output_side(input.height), pool.output_side(input.width)];
    out.reshape([rows, columns], input.channels, input.step);
    for row in 0..rows {
        for column in 0..columns {
            let to = &mut out.data[(row * columns + column) * input.step..][..input.step];
            to.fill(f32::NEG_INFINITY);
            let window = |start: usize, side: usize| {
                start.saturating_sub(pool.edge)..(start + pool.kernel).saturating_sub(pool.edge).min(side)
            };
            for y in window(row * pool.stride, input.height) {
                for x in window(column * pool.stride, input.width) {
                    let from = &input.data[(y * input.width + x) * input.step..][..input.step];
                    to.iter_mut().zip(from).for_each(|(most, &value)| *most = most.max(value));
                }
            }
        }
    }
}
