//! Kernels against their definitions, on small whole numbers, whose sums are exact in any order.

use gxn_ops::simd16::Instructions;

use super::*;

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|k| ((k * 7919 + 13) % 11) as f32 - 5.0).collect()
}

/// 3 × 7 outputs under a 3×3 kernel with stride 2, 5 input channels (step 16), 48 outputs, with and without a mask.
#[test]
fn dense_masks_the_outputs() {
    let (rows, columns, depth, outputs) = (3, 7, 3 * 16, 48);
    let pitch = 15 * 16;
    let input = numbers(7 * pitch);
    let weights = numbers(outputs * 3 * depth);
    let (bias, activations) = (numbers(outputs), numbers(rows * columns * outputs));
    let mut expected = vec![0.0; rows * columns * outputs];
    for (at, sum) in expected.iter_mut().enumerate() {
        let (row, column, output) = (at / outputs / columns, at / outputs % columns, at % outputs);
        if !(0.0 < activations[at] && activations[at] < 4.0) {
            continue;
        }
        *sum = bias[output];
        for (tap, k) in (0..3).flat_map(|tap| (0..depth).map(move |k| (tap, k))) {
            let value = input[(2 * row + tap) * pitch + 2 * column * 16 + k];
            *sum += value * weights[((output / PANEL * 3 + tap) * depth + k) * PANEL + output % PANEL];
        }
    }
    let job = Dense {
        input: &input,
        extent: [rows, columns],
        step: [2 * pitch, 32],
        taps: [3, pitch],
        depth,
        weights: &weights,
        bias: &bias,
        residual: None,
        clamp: [f32::NEG_INFINITY, f32::INFINITY],
        mask: Some(Mask { values: &activations, step: [columns * outputs, outputs], bounds: [0.0, 4.0] }),
        out_step: [columns * outputs, outputs],
    };
    for instructions in Instructions::available() {
        let mut out = vec![9.0; expected.len()];
        job.run(instructions, &mut out);
        assert_eq!(out, expected, "{instructions:?}");
    }
}

/// Kernels of 2×3 taps whose outputs lie in every second column of a wider map.
#[test]
fn depthwise_writes_with_steps() {
    let (channels, pitch, out_pitch) = (32, 9 * 32, 12 * 32);
    let (input, weights, bias) = (numbers(6 * pitch), numbers(6 * channels), numbers(channels));
    let activations = numbers(5 * out_pitch);
    let mut expected = vec![7.0; 5 * out_pitch];
    for (row, column, c) in (0..5).flat_map(|r| (0..6).flat_map(move |x| (0..channels).map(move |c| (r, x, c)))) {
        let at = row * out_pitch + 2 * column * channels + c;
        let tap = |t: usize| input[(row + t / 3) * pitch + (column + t % 3) * channels + c] * weights[t * channels + c];
        let inside = -2.0 < activations[at] && activations[at] < 3.0;
        expected[at] = if inside { bias[c] + (0..6).map(tap).sum::<f32>() } else { 0.0 };
    }
    let job = Depthwise {
        input: &input,
        extent: [5, 6],
        step: [pitch, channels],
        taps: [2, 3],
        kernel_step: [pitch, channels],
        channels,
        weights: &weights,
        bias: &bias,
        clamp: [f32::NEG_INFINITY, f32::INFINITY],
        mask: Some(Mask { values: &activations, step: [out_pitch, 2 * channels], bounds: [-2.0, 3.0] }),
        out_step: [out_pitch, 2 * channels],
    };
    for instructions in Instructions::available() {
        let mut out = vec![7.0; expected.len()];
        job.run(instructions, &mut out);
        assert_eq!(out, expected, "{instructions:?}");
    }
}

#[test]
fn outer_sums_over_pixels() {
    for (channels, outputs, extent) in [(3, 48, [4, 5]), (24, 16, [1, 9]), (19, 80, [2, 1]), (70, 1600, [1, 151])] {
        let [rows, columns] = extent;
        let (step, gradient_step) = ([columns * 2 * channels, 2 * channels], [columns * outputs + 16, outputs]);
        let input = numbers(rows * step[0]);
        let gradient = numbers(rows * gradient_step[0]);
        let mut expected = vec![1.0; channels * outputs];
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for (at, sum) in expected.iter_mut().enumerate() {
                *sum += input[row * step[0] + column * step[1] + at / outputs]
                    * gradient[row * gradient_step[0] + column * gradient_step[1] + at % outputs];
            }
        }
        let job = Outer { input: &input, gradient: &gradient, extent, step, gradient_step, channels, outputs };
        for instructions in Instructions::available() {
            let mut out = vec![1.0; expected.len()];
            job.run(instructions, &mut out);
            assert_eq!(out, expected, "{instructions:?}: {channels} channels");
        }
    }
}

#[test]
fn depthwise_outer_sums_over_pixels() {
    let (channels, columns) = (48, 6);
    for (taps, stride) in [([3, 3], 1), ([5, 5], 2), ([3, 3], 2), ([2, 4], 1), ([4, 5], 1)] {
        let pitch = 20 * channels;
        let (input, gradient) = (numbers(20 * pitch), numbers(4 * columns * channels));
        let mut expected = vec![2.0; taps[0] * taps[1] * channels];
        for (at, sum) in expected.iter_mut().enumerate() {
            let (y, x, c) = (at / channels / taps[1], at / channels % taps[1], at % channels);
            for (row, column) in (0..4).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                *sum += input[(row * stride + y) * pitch + (column * stride + x) * channels + c]
                    * gradient[(row * columns + column) * channels + c];
            }
        }
        let job = DepthwiseOuter {
            input: &input,
            gradient: &gradient,
            extent: [4, columns],
            step: [stride * pitch, stride * channels],
            gradient_step: [columns * channels, channels],
            taps,
            kernel_step: [pitch, channels],
            channels,
        };
        for instructions in Instructions::available() {
            let mut out = vec![2.0; expected.len()];
            job.run(instructions, &mut out);
            assert_eq!(out, expected, "{instructions:?}: {taps:?} stride {stride}");
        }
    }
}
