//! Convolutions of small maps, and of maps upsampled by two, as a generator and a discriminator need them.
//!
//! The fused form puts sixteen images side by side in the lanes of the vector unit. So 3 or 24 channels and 4×4 maps
//! run as fast as large ones, no matrix of patches is ever written, and strides cost nothing; batches that are no
//! multiple of sixteen pay for the next one.

mod extension;
mod geometry;
mod kernel;
mod map;
mod passes;
#[cfg(test)]
mod tests;
mod upsampled;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;
use extension::{ConvBackend, Form};
use geometry::Geometry;

/// The convolution (in fact the correlation, as everywhere in this field) of `x` by square kernels:
/// `out[b, o, i, j] = bias[o] + Σ_{c, y, x} weight[o, c, y, x] · x[b, c, i·stride + y − padding, j·stride + x − padding]`
///
/// Gradients reach `x`, `weight` and `bias`, and are computed only for those that ask for one.
///
/// # Shapes
/// `x` `[B, C, H, W]`, `weight` `[O, C, k, k]`, `bias` `[O]` → `[B, O, h, w]` with
/// `h = (H + 2·padding − k) / stride + 1`, rounded down.
///
/// # Panics
/// If shapes do not fit together, a size or `stride` is zero, or the kernel is larger than the padded map.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: usize, padding: usize) -> Tensor<4> {
    let geometry = strided(&x, &weight, bias.as_ref(), stride, padding);
    if !super::is_host(&x) {
        return conv2d_plain(x, weight, bias, stride, padding);
    }
    apply(x, weight, bias, geometry, Form::Strided)
}

/// The same by burn's convolution, on whatever device holds the tensors.
fn conv2d_plain(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: usize, padding: usize) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    burn::tensor::module::conv2d(x, weight, bias, options)
}

/// `conv2d(upsample(x), weight, None, 1, 1)`, where `upsample` repeats each pixel as a square of 2×2.
///
/// Output pixels of the same parity see the same 2×2 pixels of `x`, so the fused form needs four products where the
/// upsampled map needs nine, forwards and backwards. Gradients reach `x` and `weight`, and are computed only for those
/// that ask for one.
///
/// # Shapes
/// `x` `[B, C, H, W]`, `weight` `[O, C, 3, 3]` → `[B, O, 2H, 2W]`
///
/// # Panics
/// If shapes do not fit together or a size is zero.
pub fn upsampled_conv3x3(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let geometry = upsampled(&x, &weight);
    if !super::is_host(&x) {
        return upsampled_conv3x3_plain(x, weight);
    }
    apply(x, weight, None, geometry, Form::Upsampled)
}

/// The same by tensor operations, on whatever device holds the tensors.
fn upsampled_conv3x3_plain(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x = x.reshape([batch, channels, height, 1, width, 1]).expand([batch, channels, height, 2, width, 2]);
    conv2d_plain(x.reshape([batch, channels, 2 * height, 2 * width]), weight, None, 1, 1)
}

fn apply(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, geometry: Geometry, form: Form) -> Tensor<4> {
    let has_bias = bias.is_some();
    let bias = bias.unwrap_or_else(|| Tensor::zeros([1], &weight.device()));
    Tensor::from_dispatch(Dispatch::convolution(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        has_bias,
        geometry,
        form,
    ))
}

/// Checks the arguments of [`conv2d`].
fn strided(x: &Tensor<4>, weight: &Tensor<4>, bias: Option<&Tensor<1>>, stride: usize, padding: usize) -> Geometry {
    let ([batch, channels, height, width], [filters, inputs, kernel, columns]) = (x.dims(), weight.dims());
    positive(x, weight);
    assert!(stride > 0, "conv2d: found stride 0, expected at least 1");
    assert_eq!(inputs, channels, "conv2d: found a weight for the left number of channels, expected the right one");
    assert_eq!(kernel, columns, "conv2d: found a kernel of the left height and the right width, expected a square");
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [filters], "conv2d: found a bias of the left shape, expected the right one");
    }
    let small = [height, width].map(|size| {
        let padded = size + 2 * padding;
        assert!(
            kernel <= padded,
            "conv2d: found a kernel of side {kernel}, expected at most the padded map's {padded}"
        );
        (padded - kernel) / stride + 1
    });
    Geometry { batch, channels, large: [height, width], filters, small, kernel, stride, padding }
}

/// Checks the arguments of [`upsampled_conv3x3`].
fn upsampled(x: &Tensor<4>, weight: &Tensor<4>) -> Geometry {
    let ([batch, channels, height, width], [outputs, inputs, rows, columns]) = (x.dims(), weight.dims());
    positive(x, weight);
    assert_eq!(
        inputs, channels,
        "upsampled_conv3x3: found a weight for the left number of channels, expected the right"
    );
    assert_eq!([rows, columns], [3, 3], "upsampled_conv3x3: found the left kernel, expected the right one");
    // As the gradient of a 4x4 convolution with stride 2, whose weights `upsampled::expand` makes.
    let large = [2 * height, 2 * width];
    let small = [height, width];
    Geometry { batch, channels: outputs, large, filters: channels, small, kernel: 4, stride: 2, padding: 1 }
}

fn positive(x: &Tensor<4>, weight: &Tensor<4>) {
    for (name, shape) in [("x", x.dims()), ("weight", weight.dims())] {
        assert!(!shape.contains(&0), "{name}: found the shape {shape:?}, expected no zero");
    }
}
