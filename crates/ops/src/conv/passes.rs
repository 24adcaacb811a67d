//! The three products of a convolution: small map from large, large from small, and weights from both.
//!
//! Tasks own what they write: an element is summed by one thread, channel after channel and tap after tap, so that
//! the number of threads changes nothing.

use super::geometry::{Geometry, Phase};
use super::kernel::{CHANNELS, Correlation, LANES, Row, WIDTH};
use super::map::{Map, unpack};
use crate::pool::Buffer;
use crate::simd16::Instructions;
use rayon::prelude::*;

/// Floats of input that a pass over the pixels of a few rows reads again and again.
const NEAR: usize = 8 * 1024;
/// Fewest products of one output element that are worth loading and storing its sum.
const FEWEST_PRODUCTS: usize = 48;
/// Channels of the small and of the large map that one task of the weights' gradient owns at most.
const OWNED: [usize; 2] = [4 * CHANNELS, 8];
/// Pixels between loading and storing the sums of the weights' gradient.
const RUN: usize = 48;

/// The small map `[B, O, h, w]` from the large one.
pub(super) fn to_small(g: &Geometry, large: &Map, weight: &[f32], bias: Option<&[f32]>) -> Buffer {
    let kernel = g.kernel;
    let weights = Packed::new([g.filters, g.channels], [kernel; 2], |filter, channel, y, x| {
        weight[((filter * g.channels + channel) * kernel + y) * kernel + x]
    });
    let grid = Grid { weights, first: [0; 2], start: [0; 2], count: g.small };
    sums(large, &[grid], [g.stride, 1], g.small_shape(), bias)
}

/// The large map `[B, C, H, W]` from the small one: the gradient of [`to_small`].
pub(super) fn to_large(g: &Geometry, small: &Map, weight: &[f32], bias: Option<&[f32]>) -> Buffer {
    let (kernel, stride) = (g.kernel, g.stride);
    let mut grids = Vec::new();
    for down in g.phases(0) {
        for across in g.phases(1) {
            let element = |phase: &Phase, tap: usize| phase.kernel_first - tap * stride;
            let weights = Packed::new([g.channels, g.filters], [down.taps, across.taps], |channel, filter, y, x| {
                let (y, x) = (element(&down, y), element(&across, x));
                weight[((filter * g.channels + channel) * kernel + y) * kernel + x]
            });
            let first = [0, 1].map(|axis| {
                let phase = [&down, &across][axis];
                // A phase without taps reads nothing.
                if phase.taps == 0 { 0 } else { (phase.first + small.margin[axis] as isize) as usize }
            });
            let grid = Grid { weights, first, start: [down.phase, across.phase], count: [down.count, across.count] };
            grids.push(grid);
        }
    }
    sums(small, &grids, [1, stride], g.large_shape(), bias)
}

/// Weights in the order in which a tile of output channels reads them.
struct Packed {
    /// `[tiles, inputs, taps, taps, 6]`, the last tile with only as many channels as are left.
    values: Buffer,
    taps: [usize; 2],
    /// Products of one output element.
    depth: usize,
}

impl Packed {
    /// `weight(output, input, y, x)` of `[outputs, inputs]` channels.
    fn new(
        [outputs, inputs]: [usize; 2],
        taps: [usize; 2],
        weight: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let [down, across] = taps;
        let depth = inputs * down * across;
        let mut values = Buffer::dirty(outputs * depth);
        if depth > 0 {
            values.par_chunks_mut(CHANNELS * depth).enumerate().for_each(|(tile, values)| {
                let first = tile * CHANNELS;
                let count = values.len() / depth;
                let mut places = values.chunks_exact_mut(count);
                for input in 0..inputs {
                    for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                        for (k, value) in places.next().expect("a place for each product").iter_mut().enumerate() {
                            *value = weight(first + k, input, y, x);
                        }
                    }
                }
            });
        }
        Self { values, taps, depth }
    }

    /// The weights of one tile of `count` channels for some input channels.
    fn tile(&self, tile: usize, count: usize, inputs: std::ops::Range<usize>) -> &[f32] {
        let taps = self.taps[0] * self.taps[1];
        let start = tile * CHANNELS * self.depth;
        &self.values[start + inputs.start * taps * count..start + inputs.end * taps * count]
    }
}

/// Output pixels that share one set of weights.
struct Grid {
    weights: Packed,
    /// Where the first of them finds its first tap, margins counted.
    first: [usize; 2],
    /// The first of them in the output.
    start: [usize; 2],
    /// How many there are.
    count: [usize; 2],
}

/// `out[channel, start + k·spread] = bias + Σ input[·, first + k·step + tap] · weight` for every grid.
fn sums(input: &Map, grids: &[Grid], [step, spread]: [usize; 2], shape: [usize; 4], bias: Option<&[f32]>) -> Buffer {
    let instructions = Instructions::best();
    let [_, channels, height, width] = shape;
    let (pixels, line) = (height * width, width * LANES);
    let mut out = Buffer::dirty(shape.iter().product());
    if out.is_empty() {
        return out;
    }
    let tasks = tasks(&mut out, LANES, channels * pixels, CHANNELS * pixels);
    // Enough rows at a time to use the weights again, and so many input channels that their rows stay near.
    let most = grids.iter().map(|grid| grid.count[0]).max().unwrap_or(0);
    let across = grids.iter().map(|grid| grid.count[1]).max().unwrap_or(0);
    let rows = (4 * WIDTH).div_ceil(across.max(1)).clamp(1, most.max(1));
    let taps = grids.iter().map(|grid| grid.weights.taps).fold([1, 1], |a, b| [a[0].max(b[0]), a[1].max(b[1])]);
    let near = NEAR / (((rows - 1) * step + taps[0]) * input.line());
    let some = near.max(FEWEST_PRODUCTS.div_ceil(taps[0] * taps[1])).min(input.channels).max(1);
    tasks.into_par_iter().for_each(|(block, tile, mut images)| {
        let first = tile * CHANNELS;
        let count = CHANNELS.min(channels - first);
        let mut scratch = Buffer::dirty(count * pixels * LANES);
        for (channel, plane) in scratch.chunks_mut(pixels * LANES).enumerate() {
            plane.fill(bias.map_or(0.0, |bias| bias[first + channel]));
        }
        let map = &input.blocks_from(block)[..input.block_size()];
        for row in (0..most).step_by(rows) {
            for channel in (0..input.channels).step_by(some) {
                let inputs = channel..(channel + some).min(input.channels);
                for grid in grids {
                    for row in row..(row + rows).min(grid.count[0]) {
                        let from = inputs.start * input.plane()
                            + (grid.first[0] + row * step) * input.line()
                            + grid.first[1] * LANES;
                        let to = (grid.start[0] + row * spread) * line + grid.start[1] * LANES;
                        let job = Row {
                            input: &map[from.min(map.len())..],
                            plane: input.plane(),
                            line: input.line(),
                            step: step * LANES,
                            channels: inputs.len(),
                            taps: grid.weights.taps,
                            weights: grid.weights.tile(tile, count, inputs.clone()),
                            out_channels: count,
                            pixels: grid.count[1],
                            out_plane: pixels * LANES,
                            out_step: spread * LANES,
                        };
                        job.run(instructions, &mut scratch[to..]);
                    }
                }
            }
        }
        unpack(instructions, &scratch, &mut images);
    });
    out
}

/// What each task writes, with the numbers of its group and of its part: the same `part` values of all rows of a group of
/// `together` rows of `row` values.
fn tasks(out: &mut [f32], together: usize, row: usize, part: usize) -> Vec<(usize, usize, Vec<&mut [f32]>)> {
    let mut tasks = Vec::new();
    for (group, rows) in out.chunks_mut(together * row).enumerate() {
        let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
        for row in rows.chunks_mut(row) {
            for (number, values) in row.chunks_mut(part).enumerate() {
                if number == parts.len() {
                    parts.push(Vec::with_capacity(together));
                }
                parts[number].push(values);
            }
        }
        tasks.extend(parts.into_iter().enumerate().map(|(number, values)| (group, number, values)));
    }
    tasks
}

/// The gradient of the weights `[O, C, k, k]`: `Σ_images Σ_pixels small · large`.
pub(super) fn to_weights(g: &Geometry, large: &Map, small: &Map) -> Vec<f32> {
    let instructions = Instructions::best();
    let [height, width] = g.small;
    let taps = g.kernel * g.kernel;
    let offsets: Vec<usize> = (0..taps).map(|tap| tap / g.kernel * large.line() + tap % g.kernel * LANES).collect();
    let corner = small.margin[0] * small.line() + small.margin[1] * LANES;
    let rows = RUN.div_ceil(width).min(height);
    let together = (2 * RUN / (rows * width)).max(1); // blocks, where maps are small
    // Fewer channels for a task where that gives every thread some; the sums stay the same.
    let mut owned = OWNED;
    while g.filters.div_ceil(owned[0]) * g.channels.div_ceil(owned[1]) < 3 * rayon::current_num_threads() {
        match owned {
            [CHANNELS, 1] => break,
            [_, 1] => owned[0] -= CHANNELS,
            _ => owned[1] /= 2,
        }
    }
    let mut out = vec![0.0; g.filters * g.channels * taps];
    let tasks = tasks(&mut out, owned[0], g.channels * taps, owned[1] * taps);
    tasks.into_par_iter().for_each(|(group, column, mut out)| {
        let (filter_start, channel_start) = (group * owned[0], column * owned[1]);
        let (filters, channels) = (out.len(), out[0].len() / taps);
        // [channels, filters, taps, 16]
        let mut sums = Buffer::zeros(channels * filters * taps * LANES);
        for first in (0..large.blocks()).step_by(together) {
            for row in (0..height).step_by(rows) {
                let tiles = |channel| (0..filters).step_by(CHANNELS).map(move |filter| (channel, filter));
                for (channel, filter) in (0..channels).flat_map(tiles) {
                    let tile = CHANNELS.min(filters - filter);
                    let start = (channel * filters + filter) * taps * LANES;
                    let small_start = (filter_start + filter) * small.plane() + row * small.line() + corner;
                    let large_start = (channel_start + channel) * large.plane() + row * g.stride * large.line();
                    let job = Correlation {
                        small: &small.blocks_from(first)[small_start..],
                        small_plane: small.plane(),
                        small_line: small.line(),
                        large: &large.blocks_from(first)[large_start..],
                        large_steps: [g.stride * large.line(), g.stride * LANES],
                        taps: &offsets,
                        channels: tile,
                        pixels: [rows.min(height - row), width],
                        blocks: together.min(large.blocks() - first),
                        block_steps: [small.block_size(), large.block_size()],
                    };
                    job.run(instructions, &mut sums[start..][..tile * taps * LANES]);
                }
            }
        }
        for (index, lanes) in sums.chunks_exact(LANES).enumerate() {
            let (channel, filter, tap) = (index / (filters * taps), index / taps % filters, index % taps);
            out[filter][channel * taps + tap] = lane_sum(lanes);
        }
    });
    out
}

/// The sum over the images of a block, in pairs: eight independent sums, then four, two and one.
fn lane_sum(lanes: &[f32]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|k| lanes[k] + lanes[k + 8]);
    let four: [f32; 4] = std::array::from_fn(|k| eight[k] + eight[k + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
