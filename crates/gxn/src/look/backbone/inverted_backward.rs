//! EfficientNet's block backwards: strip by strip of output rows, as forwards, so that the sixfold wider middle of the block
//! and its gradients never leave the second-level cache.

use std::ops::Range;

use super::inverted::{Layout, Strips, Window};
use super::kernel::{Mask, PANEL};
use super::map::{Map, frame};
use super::packed::Kernels;
use super::step::PackedInverted;
use super::sums::LayerSums;
use super::trained::TrainedLayer;
use super::transposed::{Framed, Target, Transposed};
use gxn_ops::pool::Buffer;

/// Floats in the widened strip (256 KiB; four buffers of that size are in use at once). Tests have small images.
const STRIP: usize = if cfg!(test) { 4 * 1024 } else { 64 * 1024 };

/// The gradient of those rows of the filtered map that one strip of the widened map has seen: the strip's own, and above them
/// as many as the kernel reaches back. The zeros around the map are part of it.
struct GradientWindow<'a> {
    rows: &'a mut Buffer,
    pitch: usize,
    /// Rows before the strip's own, and zero rows after the last strip's.
    reach: (usize, usize),
    /// Where the strip's first pixel lies.
    first: usize,
    /// Rows of the strip.
    count: usize,
}

impl<'a> GradientWindow<'a> {
    /// A window above the first row.
    fn new(layout: &Layout, turned: &Transposed, rows: &'a mut Buffer) -> Self {
        let edges = turned.edges(layout.sides, layout.extent);
        let (pitch, first) = frame(rows, [layout.most(), layout.extent[1]], edges, layout.channels);
        Self { rows, pitch, reach: edges[0], first, count: 0 }
    }

    /// Moves down to the rows of `strip`, which are undefined until written.
    fn advance(&mut self, layout: &Layout, strip: &Range<usize>) {
        let from = self.count * self.pitch;
        self.rows.copy_within(from..from + self.reach.0 * self.pitch, 0);
        self.count = strip.len();
        if strip.end == layout.extent[0] {
            self.rows[(self.reach.0 + self.count) * self.pitch..][..self.reach.1 * self.pitch].fill(0.0);
        }
    }
}

/// One block's backward pass over one image.
pub(super) struct InvertedBackward<'a> {
    pub kernels: Kernels,
    pub block: &'a PackedInverted,
    /// The block's layers, in their order.
    pub layers: &'a [TrainedLayer],
    pub input: &'a Map,
    /// That of the block's output.
    pub gradient: &'a Map,
}

impl InvertedBackward<'_> {
    /// Adds the gradients of the weights to `sums`; `target` becomes that of the input.
    pub(super) fn run(&self, sums: &mut [LayerSums], mut target: Option<&mut Map>, strips: &mut Strips) {
        let Self { block, input, .. } = *self;
        let layout = Layout::new(&block.depthwise, input, STRIP);
        if let Some(target) = &mut target {
            target.reshape(layout.sides, input.channels, input.channels.next_multiple_of(PANEL));
        }
        let Strips { widened, filtered, filtered_gradient, widened_gradient } = strips;
        filtered.grow(layout.most() * layout.extent[1] * layout.channels);
        let turned = &self.layers[self.depthwise()].transposed;
        let mut window = Window::new(layout, widened);
        let mut gradients = GradientWindow::new(&layout, turned, filtered_gradient);
        for strip in layout.strips() {
            window.advance(self.kernels, block.expand.as_ref(), input, &strip);
            gradients.advance(&layout, &strip);
            self.filtered(&layout, &strip, &window, filtered, &mut gradients, sums);
            let rows = layout.inputs(strip.start)..layout.inputs(strip.end);
            if !rows.is_empty() {
                self.widened(
                    &layout,
                    (rows, strip.start),
                    &window,
                    &gradients,
                    widened_gradient,
                    sums,
                    target.as_deref_mut(),
                );
            }
        }
    }

    /// The place of the depthwise layer.
    fn depthwise(&self) -> usize {
        usize::from(self.block.expand.is_some())
    }

    /// From the gradient of the output to that of the filtered map, for the output rows of `strip`.
    fn filtered(
        &self,
        layout: &Layout,
        strip: &Range<usize>,
        window: &Window<'_>,
        filtered: &mut Buffer,
        gradients: &mut GradientWindow<'_>,
        sums: &mut [LayerSums],
    ) {
        let Self { kernels, block, gradient, .. } = *self;
        let (columns, channels) = (layout.extent[1], layout.channels);
        let extent = [strip.len(), columns];
        kernels.filter(&block.depthwise, window.rows, layout.pitch(), extent, filtered);
        let row = columns * gradient.step;
        let gradient = &gradient.data[strip.start * row..];
        let at = self.depthwise();
        sums[at + 1].add_pointwise(kernels, (filtered, channels), gradient, extent[0] * columns);
        let mask = Mask { values: filtered, step: [columns * channels, channels], bounds: block.depthwise.clamp };
        let (pitch, first) = (gradients.pitch, gradients.first);
        self.layers[at + 1].transposed.run(
            kernels,
            Framed { values: gradient, pitch: row, skipped: 0 },
            Target {
                values: &mut gradients.rows[first..],
                sides: extent,
                rows: 0..extent[0],
                residual: None,
                mask: Some(mask),
                step: [pitch, channels],
            },
        );
        sums[at].add_depthwise(kernels, (window.rows, layout.pitch()), (&gradients.rows[first..], pitch), extent);
    }

    /// From the gradient of the filtered map to that of the input, for the input's `rows`, which no later strip has seen.
    #[allow(clippy::too_many_arguments)]
    fn widened(
        &self,
        layout: &Layout,
        (rows, strip): (Range<usize>, usize),
        window: &Window<'_>,
        gradients: &GradientWindow<'_>,
        wide: &mut Buffer,
        sums: &mut [LayerSums],
        target: Option<&mut Map>,
    ) {
        let Self { kernels, block, layers, input, .. } = *self;
        let (sides, width, channels) = (layout.sides, layout.sides[1], layout.channels);
        let turned = &layers[self.depthwise()].transposed;
        let framed = Framed { values: gradients.rows, pitch: gradients.pitch, skipped: strip };
        let step = [width * channels, channels];
        let Some(expand) = &block.expand else {
            if let Some(target) = target {
                let values = &mut target.data[rows.start * step[0]..];
                turned.run(kernels, framed, Target { values, sides, rows, residual: None, mask: None, step });
            }
            return;
        };
        wide.grow(rows.len() * step[0]);
        let place = (rows.start + layout.top - strip * layout.stride) * layout.pitch() + layout.horizontal.0 * channels;
        let mask = Mask { values: &window.rows[place..], step: [layout.pitch(), channels], bounds: expand.clamp };
        let (mask, residual) = (Some(mask), None);
        turned.run(kernels, framed, Target { values: wide, sides, rows: rows.clone(), residual, mask, step });
        let inputs = &input.data[rows.start * width * input.step..];
        sums[0].add_pointwise(kernels, (inputs, input.step), wide, rows.len() * width);
        if let Some(target) = target {
            let from = rows.start * width * target.step;
            let target = Target {
                values: &mut target.data[from..],
                sides: [rows.len(), width],
                rows: 0..rows.len(),
                residual: block.residual.then(|| &self.gradient.data[from..]),
                mask: None,
                step: [width * target.step, target.step],
            };
            layers[0].transposed.run(kernels, Framed { values: wide, pitch: step[0], skipped: 0 }, target);
        }
    }
}
