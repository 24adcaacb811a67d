//! [`Map`]: what lies between the steps of a network, channels last.

use super::block::MaxPool;
use super::kernel::PANEL;
use super::layer::Padding;
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
    /// Height and width in pixels.
    pub(super) fn extent(&self) -> [usize; 2] {
        [self.height, self.width]
    }

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

    /// The map of an image whose channels lie one after the other.
    ///
    /// # Shapes
    /// `planes`: `[channels, height, width]`
    pub(super) fn from_planes(planes: &[f32], channels: usize, extent: [usize; 2]) -> Self {
        let mut map = Self::default();
        map.reshape(extent, channels, step_of(channels));
        let plane = extent[0] * extent[1];
        for (pixel, values) in map.data[..plane * map.step].chunks_exact_mut(map.step).enumerate() {
            for (channel, value) in values.iter_mut().enumerate() {
                *value = if channel < channels { planes[channel * plane + pixel] } else { 0.0 };
            }
        }
        map
    }

    /// The inverse of [`Self::from_planes`].
    pub(super) fn to_planes(&self) -> Vec<f32> {
        let plane = self.height * self.width;
        let at = |at: usize| self.data[at % plane * self.step + at / plane];
        (0..self.channels * plane).map(at).collect()
    }

    /// The values with zeros around them as a convolution wants them, in `buffer` where there are any; and the width in
    /// pixels.
    pub(super) fn padded<'a>(
        &'a self,
        padding: Padding,
        kernel: usize,
        stride: usize,
        buffer: &'a mut Buffer,
    ) -> (&'a [f32], usize) {
        let edges = [self.height, self.width].map(|side| padding.edges(side, kernel, stride));
        if edges == [(0, 0); 2] {
            return (&self.data, self.width);
        }
        let (pitch, _) = frame(buffer, [self.height, self.width], edges, self.step);
        let row = self.width * self.step;
        for (number, from) in self.data[..self.height * row].chunks_exact(row).enumerate() {
            buffer[(edges[0].0 + number) * pitch + edges[1].0 * self.step..][..row].copy_from_slice(from);
        }
        (buffer, pitch / self.step)
    }

    /// Takes a shape; the contents are undefined until written.
    pub(super) fn reshape(&mut self, [height, width]: [usize; 2], channels: usize, step: usize) {
        (self.height, self.width, self.channels, self.step) = (height, width, channels, step);
        self.data.grow(height * width * step);
    }
}

/// Makes room in `buffer` for a map of `extent` pixels and `step` floats a pixel with zeros around it; its own pixels are
/// undefined until written. Gives the floats from one row to the next, and the place of the first pixel.
pub(super) fn frame(
    buffer: &mut Buffer,
    [height, width]: [usize; 2],
    [(top, bottom), (left, right)]: [(usize, usize); 2],
    step: usize,
) -> (usize, usize) {
    let pitch = (left + width + right) * step;
    buffer.grow((top + height + bottom) * pitch);
    buffer[..top * pitch].fill(0.0);
    buffer[(top + height) * pitch..][..bottom * pitch].fill(0.0);
    for row in buffer[top * pitch..][..height * pitch].chunks_exact_mut(pitch) {
        row[..left * step].fill(0.0);
        row[(left + width) * step..].fill(0.0);
    }
    (pitch, top * pitch + left * step)
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
