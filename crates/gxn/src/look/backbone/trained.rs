//! [`TrainedNetwork`]: the blocks of a backbone with their backward passes, one image per thread.
//!
//! Only the maps between the blocks are kept; what lies inside a block is computed again when its gradient is due.

use std::sync::Arc;

use rayon::prelude::*;

use super::block::{Block, MaxPool};
use super::inverted_backward::InvertedBackward;
use super::kernel::{Mask, PANEL};
use super::layer::ConvPlan;
use super::map::Map;
use super::packed::{Kernels, Scratch, with_scratch};
use super::step::{FoldedLayers, Packed, PackedBottleneck, Step};
use super::sums::LayerSums;
use super::transposed::{Target, Transposed};
use gxn_ops::pool::Buffer;

/// Images that one thread takes together, and whose gradients are summed one after the other. Groups are summed in their order,
/// so that results do not depend on the number of threads.
const GROUP: usize = 4;

/// Blocks of a backbone: frozen ones, and trained ones after them.
#[derive(Debug)]
pub(super) struct TrainedNetwork {
    frozen: Arc<Vec<Step>>,
    steps: Vec<Step>,
    /// For each trained step the layers in the order of [`Block::layers`].
    layers: Vec<Vec<TrainedLayer>>,
    kernels: Kernels,
    /// Folded weights and biases of the trained steps.
    count: usize,
}

#[derive(Debug)]
pub(super) struct TrainedLayer {
    pub transposed: Transposed,
    plan: ConvPlan,
}

/// Sums of the trained layers.
type Sums = Vec<Vec<LayerSums>>;

/// The maps of one image: the input of each trained block, and the last output.
pub(super) type Maps = Vec<Map>;

impl TrainedNetwork {
    /// Trained blocks with the weights of `folded`, which holds those of each layer one after the other.
    pub(super) fn new(frozen: Arc<Vec<Step>>, blocks: &[Block], folded: &[f32]) -> Self {
        let mut offset = 0;
        let offsets: Vec<usize> = blocks
            .iter()
            .map(|block| {
                let here = offset;
                offset += block.layers().iter().map(|layer| layer.plan().folded_count()).sum::<usize>();
                here
            })
            .collect();
        assert_eq!(offset, folded.len(), "folded weights");
        let steps = (blocks.par_iter().zip(&offsets))
            .map(|(block, &offset)| Step::pack(block, &mut FoldedLayers(&folded[offset..])))
            .collect();
        let layers = (blocks.par_iter().zip(&offsets))
            .map(|(block, &offset)| {
                let mut folded = FoldedLayers(&folded[offset..]);
                let layers = block.layers().into_iter().map(|layer| {
                    let folded = folded.next(layer);
                    TrainedLayer { plan: folded.0.clone(), transposed: Transposed::new(folded) }
                });
                layers.collect()
            })
            .collect();
        Self { frozen, steps, layers, kernels: Kernels::default(), count: offset }
    }

    /// Whether no block is frozen.
    pub(super) fn trains_all(&self) -> bool {
        self.frozen.is_empty()
    }

    /// The maps of each image.
    ///
    /// # Shapes
    /// `images`: `[B, channels, height, width]` row-major
    pub(super) fn forward(&self, images: &[f32], channels: usize, extent: [usize; 2]) -> Vec<Maps> {
        let size = channels * extent[0] * extent[1];
        let groups: Vec<Vec<Maps>> = images
            .par_chunks(GROUP * size)
            .map(|images| {
                let images = images.chunks_exact(size).map(|image| Map::from_planes(image, channels, extent));
                with_scratch(|scratch| self.forward_group(images, scratch))
            })
            .collect();
        groups.into_iter().flatten().collect()
    }

    fn forward_group(&self, images: impl Iterator<Item = Map>, scratch: &mut Scratch) -> Vec<Maps> {
        let mut group: Vec<Maps> = images.map(|image| vec![self.kernels.run(&self.frozen, image, scratch)]).collect();
        for step in &self.steps {
            for maps in &mut group {
                let mut out = Map::default();
                self.kernels.step(step, &maps[maps.len() - 1], &mut out, scratch);
                maps.push(out);
            }
        }
        group
    }

    /// The gradients of the folded weights and biases of the trained blocks, and those of the inputs
    /// `[B, channels, height, width]` where they are wanted.
    ///
    /// # Shapes
    /// `gradient`: that of the last map, `[B, channels, height, width]` row-major
    pub(super) fn backward(&self, maps: &[Maps], gradient: &[f32], wants_inputs: bool) -> (Vec<f32>, Vec<f32>) {
        let size = gradient.len() / maps.len().max(1);
        let groups: Vec<(Sums, Vec<Vec<f32>>)> = (maps.par_chunks(GROUP).zip(gradient.par_chunks(GROUP * size)))
            .map(|(maps, gradient)| {
                with_scratch(|scratch| self.backward_group(maps, gradient.chunks_exact(size), wants_inputs, scratch))
            })
            .collect();
        let (sums, inputs): (Vec<Sums>, Vec<Vec<Vec<f32>>>) = groups.into_iter().unzip();
        (self.total(sums), inputs.concat().concat())
    }

    /// The sums of all groups, as the folded weights and biases lie.
    fn total(&self, groups: Vec<Sums>) -> Vec<f32> {
        let mut folded = vec![0.0; self.count];
        let mut rest = &mut folded[..];
        let mut layers = Vec::new();
        for (step, trained) in self.layers.iter().enumerate() {
            for (layer, TrainedLayer { plan, .. }) in trained.iter().enumerate() {
                let (here, after) = rest.split_at_mut(plan.folded_count());
                layers.push((step, layer, here));
                rest = after;
            }
        }
        layers.into_par_iter().for_each(|(step, layer, here)| {
            let mut sums = groups.iter().map(|group| &group[step][layer]);
            if let Some(mut total) = sums.next().cloned() {
                sums.for_each(|sums| total.add(sums));
                total.write(here);
            }
        });
        folded
    }

    fn zeros(&self) -> Sums {
        self.layers.iter().map(|layers| layers.iter().map(|layer| LayerSums::new(&layer.plan)).collect()).collect()
    }

    /// The gradients of the weights, summed over the images of a group, and those of its inputs where they are wanted.
    ///
    /// Each step takes all images before the next step begins, so that weights and sums stay in the cache.
    fn backward_group<'a>(
        &self,
        group: &[Maps],
        gradients: impl Iterator<Item = &'a [f32]>,
        wants_inputs: bool,
        scratch: &mut Scratch,
    ) -> (Sums, Vec<Vec<f32>>) {
        let mut sums = self.zeros();
        let last = |maps: &Maps, gradient| {
            Map::from_planes(gradient, maps[maps.len() - 1].channels, maps[maps.len() - 1].extent())
        };
        let mut gradients: Vec<Map> =
            group.iter().zip(gradients).map(|(maps, gradient)| last(maps, gradient)).collect();
        let mut input_gradient = std::mem::take(&mut scratch.gradient);
        for number in (0..self.layers.len()).rev() {
            for (maps, gradient) in group.iter().zip(&mut gradients) {
                let io = Io { input: &maps[number], output: &maps[number + 1], gradient };
                let target = (number > 0 || wants_inputs).then_some(&mut input_gradient);
                self.step_backward(number, io, &mut sums[number], target, scratch);
                std::mem::swap(gradient, &mut input_gradient);
            }
        }
        scratch.gradient = input_gradient;
        let inputs = gradients.iter().filter(|_| wants_inputs).map(Map::to_planes).collect();
        (sums, inputs)
    }

    fn step_backward(
        &self,
        number: usize,
        io: Io<'_>,
        sums: &mut [LayerSums],
        target: Option<&mut Map>,
        scratch: &mut Scratch,
    ) {
        let layers = &self.layers[number];
        match &self.steps[number] {
            Step::Conv(layer) => self.kernels.conv_backward(layer, &layers[0], io, &mut sums[0], target, scratch),
            Step::Inverted(block) => {
                let (kernels, input, gradient) = (self.kernels, io.input, &*io.gradient);
                InvertedBackward { kernels, block, layers, input, gradient }.run(sums, target, &mut scratch.strips);
            }
            Step::Bottleneck(block) => self.kernels.bottleneck_backward(block, layers, io, sums, target, scratch),
            Step::MaxPool(pool) => target.into_iter().for_each(|target| max_pool_backward(pool, &io, target)),
        }
    }
}

/// What a step's backward pass reads: its input and output, and the output's gradient, which it may overwrite.
struct Io<'a> {
    input: &'a Map,
    output: &'a Map,
    gradient: &'a mut Map,
}

impl Kernels {
    fn conv_backward(
        self,
        layer: &Packed,
        trained: &TrainedLayer,
        io: Io<'_>,
        sums: &mut LayerSums,
        target: Option<&mut Map>,
        scratch: &mut Scratch,
    ) {
        keep_inside(io.gradient, io.output, layer.clamp);
        sums.add_dense(self, io.input, io.gradient, &mut scratch.padded);
        if let Some(target) = target {
            self.input_gradient(trained, io.gradient, io.input, None, None, target, &mut scratch.padded);
        }
    }

    /// The gradient of a dense layer's `input`, of the form of `input`.
    #[allow(clippy::too_many_arguments)]
    fn input_gradient(
        self,
        trained: &TrainedLayer,
        gradient: &Map,
        input: &Map,
        residual: Option<&Map>,
        bounds: Option<[f32; 2]>,
        target: &mut Map,
        padded: &mut Buffer,
    ) {
        let sides = input.extent();
        target.reshape(sides, input.channels, input.channels.next_multiple_of(PANEL));
        let step = [target.width * target.step, target.step];
        let framed = trained.transposed.framed(&gradient.data, sides, gradient.extent(), padded);
        let mask = bounds.map(|bounds| Mask { values: &input.data, step, bounds });
        let residual = residual.map(|map| &map.data[..]);
        trained.transposed.run(
            self,
            framed,
            Target { values: &mut target.data, sides, rows: 0..sides[0], residual, mask, step },
        );
    }

    fn bottleneck_backward(
        self,
        block: &PackedBottleneck,
        layers: &[TrainedLayer],
        io: Io<'_>,
        sums: &mut [LayerSums],
        target: Option<&mut Map>,
        scratch: &mut Scratch,
    ) {
        let Io { input, output, gradient } = io;
        keep_inside(gradient, output, block.expand.clamp);
        let [mut narrow, mut filtered, mut inner, mut outer] = std::mem::take(&mut scratch.maps);
        self.conv(&block.reduce, input, None, &mut narrow, &mut scratch.padded);
        self.conv(&block.spatial, &narrow, None, &mut filtered, &mut scratch.padded);
        sums[2].add_dense(self, &filtered, gradient, &mut scratch.padded);
        self.input_gradient(
            &layers[2],
            gradient,
            &filtered,
            None,
            Some(block.spatial.clamp),
            &mut inner,
            &mut scratch.padded,
        );
        sums[1].add_dense(self, &narrow, &inner, &mut scratch.padded);
        self.input_gradient(
            &layers[1],
            &inner,
            &narrow,
            None,
            Some(block.reduce.clamp),
            &mut outer,
            &mut scratch.padded,
        );
        sums[0].add_dense(self, input, &outer, &mut scratch.padded);
        if let (Some(sums), Some(_)) = (sums.get_mut(3), &block.downsample) {
            sums.add_dense(self, input, gradient, &mut scratch.padded);
        }
        if let Some(target) = target {
            match &block.downsample {
                Some(_) => {
                    self.input_gradient(&layers[3], gradient, input, None, None, &mut inner, &mut scratch.padded);
                    self.input_gradient(&layers[0], &outer, input, Some(&inner), None, target, &mut scratch.padded);
                }
                None => {
                    self.input_gradient(&layers[0], &outer, input, Some(gradient), None, target, &mut scratch.padded)
                }
            }
        }
        scratch.maps = [narrow, filtered, inner, outer];
    }
}

/// Zeroes the gradient where the activation's output was at one of its bounds.
fn keep_inside(gradient: &mut Map, output: &Map, [low, high]: [f32; 2]) {
    for (gradient, &value) in gradient.data.iter_mut().zip(&output.data[..]) {
        *gradient = if low < value && value < high { *gradient } else { 0.0 };
    }
}

/// The gradient goes to the first largest value of each window.
fn max_pool_backward(pool: &MaxPool, io: &Io<'_>, target: &mut Map) {
    let (input, output) = (io.input, io.output);
    target.reshape(input.extent(), input.channels, input.step);
    target.data.fill(0.0);
    for (row, column) in (0..output.height).flat_map(|row| (0..output.width).map(move |column| (row, column))) {
        let window = |start: usize, side: usize| {
            (start * pool.stride).saturating_sub(pool.edge)
                ..(start * pool.stride + pool.kernel).saturating_sub(pool.edge).min(side)
        };
        let from = (row * output.width + column) * output.step;
        for channel in 0..output.channels {
            let places = window(row, input.height)
                .flat_map(|y| window(column, input.width).map(move |x| (y * input.width + x) * input.step));
            let largest = output.data[from + channel];
            if let Some(place) = places.map(|place| place + channel).find(|&place| input.data[place] == largest) {
                target.data[place] += io.gradient.data[from + channel];
            }
        }
    }
}
