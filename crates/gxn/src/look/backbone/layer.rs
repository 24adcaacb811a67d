//! [`ConvLayer`]: convolution, batch normalisation with frozen statistics, activation. The only layer with weights.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData};

use gxn_base::Result;

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rectifier {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Rectifier {
    /// The smallest and the largest output.
    pub(super) fn bounds(self) -> [f32; 2] {
        match self {
            Self::None => [f32::NEG_INFINITY, f32::INFINITY],
            Self::Relu => [0.0, f32::INFINITY],
            Self::Relu6 => [0.0, 6.0],
        }
    }

    pub(super) fn forward(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::None => x,
            Self::Relu => relu(x),
            Self::Relu6 => x.clamp(0.0, 6.0),
        }
    }
}

/// Zeros around a map before a convolution or a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's "SAME": output side `ceil(side / stride)`, an odd extra pixel at the right and the bottom.
    Same,
    /// This number of pixels on every side.
    Symmetric(usize),
}

impl Padding {
    /// Pixels before and after a side of `side` pixels.
    pub fn edges(self, side: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Symmetric(pixels) => (pixels, pixels),
            Self::Same => {
                let total = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
                (total / 2, total - total / 2)
            }
        }
    }

    /// Output side for an input of `side` pixels; 0 when the kernel does not fit.
    pub fn output_side(self, side: usize, kernel: usize, stride: usize) -> usize {
        let (before, after) = self.edges(side, kernel, stride);
        match (side + before + after).checked_sub(kernel) {
            Some(room) => room / stride + 1,
            None => 0,
        }
    }

    /// `x` with its edges.
    pub(super) fn pad(self, x: Tensor<4>, kernel: usize, stride: usize, value: f32) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let (rows, columns) = (self.edges(height, kernel, stride), self.edges(width, kernel, stride));
        match (rows, columns) {
            ((0, 0), (0, 0)) => x,
            _ => x.pad([rows, columns], PadMode::Constant(value)),
        }
    }
}

/// How the stored weights become those that are convolved with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    /// As they are, with a bias.
    Bias,
    /// Batch normalisation with stored statistics and this epsilon; the convolution has no bias.
    Batch(f64),
    /// Every filter is standardised to mean 0 and variance `1 / fan_in` and multiplied by a learned gain (Qiao et al. 2019;
    /// Brock et al. 2021), plus a bias: what batch normalisation gives a small network, without statistics of batches.
    Standardised,
}

/// A layer before it has weights. Names are those of the publisher's file.
#[derive(Debug, Clone)]
pub struct ConvPlan {
    /// The convolution's name; its weights are `NAME.weight`.
    pub name: String,
    /// The batch normalisation's name, when there is one.
    pub norm_name: String,
    /// What happens to the weights.
    pub norm: Norm,
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride, both ways.
    pub stride: usize,
    /// Groups: 1, or the number of channels (depthwise).
    pub groups: usize,
    /// Edges.
    pub padding: Padding,
    /// What follows.
    pub activation: Rectifier,
    /// The file holds a matrix `[out, in · kernel · kernel]`: a fully connected layer over a map of `kernel` side.
    pub matrix: bool,
}

/// Gives a tensor's values by its name and shape, row-major.
pub(super) type Source<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

/// Convolution, normalisation and activation; all but the running statistics can be trained.
///
/// Batch normalisation always uses its stored statistics, in training too: it is an affine map, and is multiplied
/// into the weights at every forward pass, which saves a pass over the activations and keeps gradients exact.
#[derive(Module, Debug)]
pub struct ConvLayer {
    /// `[out, in / groups, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    /// `[out]`: bias, or the shift of the normalisation.
    bias: Param<Tensor<1>>,
    /// `[out]`: scale of the normalisation, or gain.
    scale: Option<Param<Tensor<1>>>,
    /// `[out]`, never trained.
    running_mean: Option<Param<Tensor<1>>>,
    /// `[out]`, never trained.
    running_var: Option<Param<Tensor<1>>>,
    #[module(skip)]
    plan: ConvPlan,
}

impl ConvPlan {
    /// Weights and biases that convolve, with the normalisation multiplied in.
    pub(super) fn folded_count(&self) -> usize {
        self.weight_count() + self.channels[1]
    }

    /// Number of weights, without bias and normalisation.
    pub(super) fn weight_count(&self) -> usize {
        self.channels[1] * self.channels[0] / self.groups * self.kernel * self.kernel
    }

    /// The layer with the values that `source` gives.
    ///
    /// # Errors
    /// Those of `source`.
    pub(super) fn build(self, source: &mut Source<'_>, device: &Device) -> Result<ConvLayer> {
        let [inputs, outputs] = self.channels;
        let shape = [outputs, inputs / self.groups, self.kernel, self.kernel];
        let file_shape = if self.matrix { vec![outputs, shape[1..].iter().product()] } else { shape.to_vec() };
        let weight = source(&format!("{}.weight", self.name), &file_shape)?;
        let weight = Param::from_data(TensorData::new(weight, shape), device);
        let mut vector = |name: &str, part: &str| -> Result<Param<Tensor<1>>> {
            let values = source(&format!("{name}.{part}"), &[outputs])?;
            Ok(Param::from_data(TensorData::new(values, [outputs]), device))
        };
        let (bias, scale, running_mean, running_var) = match self.norm {
            Norm::Bias => (vector(&self.name, "bias")?, None, None, None),
            Norm::Standardised => (vector(&self.name, "bias")?, Some(vector(&self.name, "gain")?), None, None),
            Norm::Batch(_) => (
                vector(&self.norm_name, "bias")?,
                Some(vector(&self.norm_name, "weight")?),
                Some(vector(&self.norm_name, "running_mean")?.set_require_grad(false)),
                Some(vector(&self.norm_name, "running_var")?.set_require_grad(false)),
            ),
        };
        Ok(ConvLayer { weight, bias, scale, running_mean, running_var, plan: self })
    }
}

impl ConvLayer {
    /// The layer's description.
    pub fn plan(&self) -> &ConvPlan {
        &self.plan
    }

    /// Weights and bias with the normalisation multiplied in; differentiable.
    ///
    /// # Shapes
    /// `[out, in / groups, kernel, kernel]` and `[out]`.
    pub fn folded(&self) -> (Tensor<4>, Tensor<1>) {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let outputs = weight.dims()[0];
        let per_filter = |scale: Tensor<1>| scale.reshape([outputs, 1, 1, 1]);
        match (&self.scale, &self.running_mean, &self.running_var, self.plan.norm) {
            (Some(scale), Some(mean), Some(var), Norm::Batch(epsilon)) => {
                let scale = scale.val() / (var.val() + epsilon).sqrt();
                (weight * per_filter(scale.clone()), bias - mean.val() * scale)
            }
            (Some(gain), _, _, Norm::Standardised) => {
                let shape = weight.dims();
                let fan_in = shape[1..].iter().product::<usize>();
                let rows = weight.reshape([outputs, fan_in]);
                let centred = rows.clone() - rows.mean_dim(1);
                let spread = (centred.clone().square().sum_dim(1) + 1e-8).sqrt(); // std · √fan_in
                ((centred / spread).reshape(shape) * per_filter(gain.val()), bias)
            }
            _ => (weight, bias),
        }
    }

    /// Whether weights, bias or scale are trained.
    pub(super) fn is_trained(&self) -> bool {
        let scale = self.scale.as_ref().is_some_and(|scale| scale.is_require_grad());
        self.weight.is_require_grad() || self.bias.is_require_grad() || scale
    }

    /// # Shapes
    /// `[B, in, h, w]` → `[B, out, h', w']`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.plan.activation.forward(self.convolve(x))
    }

    /// Everything but the activation.
    pub(super) fn convolve(&self, x: Tensor<4>) -> Tensor<4> {
        let ConvPlan { kernel, stride, groups, padding, .. } = self.plan;
        let (weight, bias) = self.folded();
        let [_, _, height, width] = x.dims();
        let (rows, columns) = (padding.edges(height, kernel, stride), padding.edges(width, kernel, stride));
        let even = rows.0 == rows.1 && columns.0 == columns.1;
        let x = if even { x } else { padding.pad(x, kernel, stride, 0.0) };
        let pad = if even { [rows.0, columns.0] } else { [0, 0] };
        conv2d(x, weight, Some(bias), ConvOptions::new([stride, stride], pad, [1, 1], groups))
    }
}

#[cfg(test)]
impl ConvLayer {
    /// The stored weights, for tests of gradients.
    pub(super) fn weight_mut(&mut self) -> &mut Param<Tensor<4>> {
        &mut self.weight
    }
}
