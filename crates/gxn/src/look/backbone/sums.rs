//! [`LayerSums`]: the gradients of a layer's weights and bias, summed over images.

use super::kernel::{DepthwiseOuter, Outer, PANEL};
use super::layer::ConvPlan;
use super::map::{Map, step_of};
use super::packed::Kernels;
use gxn_ops::pool::Buffer;

/// Sums of one layer, in the order in which the kernels make them.
#[derive(Debug, Clone)]
pub(super) struct LayerSums {
    /// Dense: `[kernel, kernel · step of the inputs, outputs (padded)]`; depthwise: `[kernel · kernel, channels (padded)]`.
    weights: Buffer,
    /// `[outputs (padded)]`
    bias: Buffer,
    plan: ConvPlan,
}

impl LayerSums {
    /// Zeros.
    pub(super) fn new(plan: &ConvPlan) -> Self {
        let outputs = plan.channels[1].next_multiple_of(PANEL);
        let rows = match plan.groups {
            1 => plan.kernel * Self::depth(plan),
            _ => plan.kernel * plan.kernel,
        };
        Self { weights: Buffer::zeros(rows * outputs), bias: Buffer::zeros(outputs), plan: plan.clone() }
    }

    /// Consecutive floats under one row of a dense kernel.
    fn depth(plan: &ConvPlan) -> usize {
        plan.kernel * Self::input_step(plan)
    }

    /// Under a 1×1 kernel the padding of the channels is skipped.
    fn input_step(plan: &ConvPlan) -> usize {
        if plan.kernel == 1 { plan.channels[0] } else { step_of(plan.channels[0]) }
    }

    /// Adds an image's gradient of a dense convolution's output, without gaps, whose input was `input`.
    pub(super) fn add_dense(&mut self, kernels: Kernels, input: &Map, gradient: &Map, padded: &mut Buffer) {
        let plan = &self.plan;
        let (source, width) = input.padded(plan.padding, plan.kernel, plan.stride, padded);
        let (outputs, depth) = (self.bias.len(), Self::depth(plan));
        let pitch = width * input.step;
        for (row, sums) in self.weights.chunks_exact_mut(depth * outputs).enumerate() {
            Outer {
                input: &source[row * pitch..],
                gradient: &gradient.data,
                extent: gradient.extent(),
                step: [plan.stride * pitch, plan.stride * input.step],
                gradient_step: [gradient.width * outputs, outputs],
                channels: depth,
                outputs,
            }
            .run(kernels.0, sums);
        }
        self.add_bias(kernels, &gradient.data, gradient.extent(), gradient.width * outputs);
    }

    /// Adds the gradient of some pixels of a 1×1 convolution's output, whose inputs lie `step` floats apart.
    pub(super) fn add_pointwise(
        &mut self,
        kernels: Kernels,
        (input, step): (&[f32], usize),
        gradient: &[f32],
        count: usize,
    ) {
        let (channels, outputs) = (self.plan.channels[0], self.bias.len());
        let (extent, step, gradient_step) = ([1, count], [0, step], [0, outputs]);
        Outer { input, gradient, extent, step, gradient_step, channels, outputs }.run(kernels.0, &mut self.weights);
        self.add_bias(kernels, gradient, extent, 0);
    }

    /// Adds the gradient of some rows of a depthwise convolution's output, rows `gradient_pitch` floats apart, whose framed input was
    /// `input`.
    pub(super) fn add_depthwise(
        &mut self,
        kernels: Kernels,
        (input, pitch): (&[f32], usize),
        (gradient, gradient_pitch): (&[f32], usize),
        extent: [usize; 2],
    ) {
        let (channels, stride) = (self.bias.len(), self.plan.stride);
        DepthwiseOuter {
            input,
            gradient,
            extent,
            step: [stride * pitch, stride * channels],
            gradient_step: [gradient_pitch, channels],
            taps: [self.plan.kernel; 2],
            kernel_step: [pitch, channels],
            channels,
        }
        .run(kernels.0, &mut self.weights);
        self.add_bias(kernels, gradient, extent, gradient_pitch);
    }

    fn add_bias(&mut self, kernels: Kernels, gradient: &[f32], extent: [usize; 2], pitch: usize) {
        let outputs = self.bias.len();
        Outer { input: &[1.0], gradient, extent, step: [0, 0], gradient_step: [pitch, outputs], channels: 1, outputs }
            .run(kernels.0, &mut self.bias);
    }

    /// Adds other sums of the same layer.
    pub(super) fn add(&mut self, other: &Self) {
        for (sums, others) in [(&mut self.weights, &other.weights), (&mut self.bias, &other.bias)] {
            sums.iter_mut().zip(&others[..]).for_each(|(sum, other)| *sum += other);
        }
    }

    /// Writes weights `[out, in / groups, k, k]` and bias `[out]` one after the other.
    pub(super) fn write(&self, out: &mut [f32]) {
        let plan = &self.plan;
        let [inputs, outputs] = plan.channels;
        let (weights, bias) = out.split_at_mut(plan.weight_count());
        bias.copy_from_slice(&self.bias[..outputs]);
        let (places, padded) = (plan.kernel * plan.kernel, self.bias.len());
        let (filters, step) = if plan.groups == 1 { (inputs, Self::input_step(plan)) } else { (1, 1) };
        for (output, weights) in weights.chunks_exact_mut(filters * places).enumerate() {
            for (at, weight) in weights.iter_mut().enumerate() {
                let (input, place) = (at / places, at % places);
                *weight = self.weights[(place * step + input) * padded + output];
            }
        }
    }
}
