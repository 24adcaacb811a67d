//! EfficientNet's block forwards: expand, depthwise, project, strip by strip of output rows.

use std::ops::Range;

use super::kernel::{Dense, Depthwise};
use super::map::Map;
use super::packed::{Kernels, Scratch};
use super::step::{Packed, PackedDepthwise, PackedInverted};
use gxn_ops::pool::Buffer;

/// Floats in the widened strip (512 KiB).
const STRIP: usize = 128 * 1024;

/// Parts of maps that are reused from strip to strip and from block to block.
#[derive(Debug, Default)]
pub(super) struct Strips {
    /// After the expansion, with zeros around.
    pub widened: Buffer,
    /// After the depthwise convolution.
    pub filtered: Buffer,
    /// The gradient of the filtered map, with zeros around.
    pub filtered_gradient: Buffer,
    /// The gradient of the widened map.
    pub widened_gradient: Buffer,
}

/// How the depthwise convolution of a block divides its maps.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Height and width of the input.
    pub sides: [usize; 2],
    /// Height and width of the output.
    pub extent: [usize; 2],
    /// Zero rows above the widened map.
    pub top: usize,
    /// Zero columns before it, and after it.
    pub horizontal: (usize, usize),
    /// Channels of the widened map, padded.
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Number of strips.
    count: usize,
}

impl Layout {
    /// Strips of which the widened part has about `floats` floats.
    pub(super) fn new(layer: &PackedDepthwise, input: &Map, floats: usize) -> Self {
        let (kernel, stride, channels) = (layer.kernel, layer.stride, layer.bias.len());
        let sides = input.extent();
        let extent = sides.map(|side| layer.padding.output_side(side, kernel, stride));
        let [(top, _), horizontal] = sides.map(|side| layer.padding.edges(side, kernel, stride));
        let layout = Self { sides, extent, top, horizontal, channels, kernel, stride, count: 1 };
        let most = (floats / (layout.pitch() * stride)).clamp(1, extent[0]);
        Self { count: extent[0].div_ceil(most), ..layout }
    }

    /// Floats of one row of the widened map with its zeros.
    pub(super) fn pitch(&self) -> usize {
        (self.horizontal.0 + self.sides[1] + self.horizontal.1) * self.channels
    }

    /// Output rows of the largest strip.
    pub(super) fn most(&self) -> usize {
        self.extent[0].div_ceil(self.count)
    }

    /// The number of input rows that no output row from `output` on has seen.
    pub(super) fn inputs(&self, output: usize) -> usize {
        let height = self.sides[0];
        if output == self.extent[0] { height } else { (output * self.stride).saturating_sub(self.top).min(height) }
    }

    /// The output rows of each strip.
    pub(super) fn strips(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, count) = (self.extent[0], self.count);
        (0..count).map(move |strip| strip * rows / count..(strip + 1) * rows / count)
    }
}

/// The rows of a widened map that one strip of the output needs; the zeros around the map are part of it.
pub(super) struct Window<'a> {
    layout: Layout,
    /// From row `first` on.
    pub rows: &'a mut Buffer,
    first: usize,
    /// Rows up to here are there.
    ready: usize,
}

impl<'a> Window<'a> {
    /// A window above the first row.
    pub(super) fn new(layout: Layout, rows: &'a mut Buffer) -> Self {
        let (pitch, (left, _)) = (layout.pitch(), layout.horizontal);
        let high = (layout.most() - 1) * layout.stride + layout.kernel;
        rows.grow(high * pitch);
        // Left and right edges stay zero for the whole block.
        for row in rows[..high * pitch].chunks_exact_mut(pitch) {
            row[..left * layout.channels].fill(0.0);
            row[(left + layout.sides[1]) * layout.channels..].fill(0.0);
        }
        Self { layout, rows, first: 0, ready: 0 }
    }

    /// Moves down to the output rows of `strip`.
    pub(super) fn advance(&mut self, kernels: Kernels, expand: Option<&Packed>, input: &Map, strip: &Range<usize>) {
        let Layout { sides: [height, width], channels, kernel, stride, top, .. } = self.layout;
        let (pitch, left) = (self.layout.pitch(), self.layout.horizontal.0);
        let (need, end) = (strip.start * stride, (strip.end - 1) * stride + kernel);
        if self.ready > need {
            self.rows.copy_within((need - self.first) * pitch..(self.ready - self.first) * pitch, 0);
        }
        self.first = need;
        let begin = self.ready.max(need);
        let inside = begin.clamp(top, top + height)..end.clamp(top, top + height);
        for row in (begin..inside.start).chain(inside.end.max(begin)..end) {
            self.rows[(row - need) * pitch + left * channels..][..width * channels].fill(0.0);
        }
        if !inside.is_empty() {
            let target = &mut self.rows[(inside.start - need) * pitch + left * channels..];
            kernels.widen(expand, input, inside.start - top..inside.end - top, target, [pitch, channels]);
        }
        self.ready = end;
    }
}

impl Kernels {
    /// Expand, depthwise, project, strip by strip of output rows.
    pub(super) fn inverted(self, block: &PackedInverted, input: &Map, out: &mut Map, scratch: &mut Scratch) {
        let PackedInverted { expand, depthwise, project, residual } = block;
        let layout = Layout::new(depthwise, input, STRIP);
        let ([rows, columns], channels) = (layout.extent, layout.channels);
        out.reshape([rows, columns], project.channels[1], project.bias.len());
        let Strips { widened, filtered, .. } = &mut scratch.strips;
        filtered.grow(layout.most() * columns * channels);
        let mut window = Window::new(layout, widened);
        for strip in layout.strips() {
            window.advance(self, expand.as_ref(), input, &strip);
            self.filter(depthwise, window.rows, layout.pitch(), [strip.len(), columns], filtered);
            Dense {
                input: filtered,
                extent: [1, strip.len() * columns],
                step: [0, channels],
                taps: [1, 0],
                depth: project.channels[0],
                weights: &project.weights,
                bias: &project.bias,
                residual: residual.then(|| &input.data[strip.start * columns * input.step..]),
                clamp: project.clamp,
                mask: None,
                out_step: [0, out.step],
            }
            .run(self.0, &mut out.data[strip.start * columns * project.bias.len()..]);
        }
    }

    /// The depthwise convolution of a framed map, rows `pitch` floats apart, into `out` without gaps.
    pub(super) fn filter(
        self,
        layer: &PackedDepthwise,
        input: &[f32],
        pitch: usize,
        extent: [usize; 2],
        out: &mut [f32],
    ) {
        let (channels, stride) = (layer.bias.len(), layer.stride);
        Depthwise {
            input,
            extent,
            step: [stride * pitch, stride * channels],
            taps: [layer.kernel; 2],
            kernel_step: [pitch, channels],
            channels,
            weights: &layer.weights,
            bias: &layer.bias,
            clamp: layer.clamp,
            mask: None,
            out_step: [extent[1] * channels, channels],
        }
        .run(self.0, out);
    }

    /// Rows of the input, expanded where the block expands, into `out`, whose rows and pixels lie `out_step` floats apart.
    pub(super) fn widen(
        self,
        expand: Option<&Packed>,
        input: &Map,
        rows: Range<usize>,
        out: &mut [f32],
        out_step: [usize; 2],
    ) {
        let length = input.width * input.step;
        let source = &input.data[rows.start * length..];
        match expand {
            Some(expand) => Dense {
                input: source,
                extent: [rows.len(), input.width],
                step: [length, input.step],
                taps: [1, 0],
                depth: expand.channels[0],
                weights: &expand.weights,
                bias: &expand.bias,
                residual: None,
                clamp: expand.clamp,
                mask: None,
                out_step,
            }
            .run(self.0, out),
            None => {
                for row in 0..rows.len() {
                    out[row * out_step[0]..][..length].copy_from_slice(&source[row * length..][..length]);
                }
            }
        }
    }
}
