//! The fused normalisation against PyTorch, against its plain form, and against itself.

use super::*;
use crate::testing::{self, assert_close, leaf, values};
use burn::tensor::Device;
use serde::Deserialize;

/// Written by `reference/batch_norm.py`.
#[derive(Deserialize)]
struct Case {
    training: bool,
    activation: String,
    shape: Vec<usize>,
    x: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    loss_weight: Vec<f32>,
    running_mean: Vec<f32>,
    running_variance: Vec<f32>,
    out: Vec<f32>,
    grad_x: Vec<f32>,
    grad_scale: Vec<f32>,
    grad_shift: Vec<f32>,
    /// After the call.
    new_running_mean: Vec<f32>,
    new_running_variance: Vec<f32>,
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    testing::random(shape, -1.0..2.0)
}

const EPSILON: f64 = 1e-5;
const NAMES: [&str; 6] = ["out", "grad x", "grad scale", "grad shift", "mean", "variance"];

/// Result, gradients and moments; the given moments in inference mode.
fn run<const D: usize>(
    fused: bool,
    inputs: (&Tensor<D>, &Tensor<1>, &Tensor<1>),
    running: Option<&[Tensor<1>; 2]>,
    activation: Activation,
    loss_weight: &Tensor<D>,
) -> [Vec<f32>; 6] {
    let (x, scale, shift) = (inputs.0.clone(), inputs.1.clone(), inputs.2.clone());
    let (out, mean, variance) = if let Some([mean, variance]) = running {
        let form = if fused { batch_norm_inference } else { batch_norm_inference_plain };
        let out = form(x, scale, shift, mean.clone(), variance.clone(), activation, EPSILON);
        (out, mean.clone(), variance.clone())
    } else {
        let form = if fused { batch_norm } else { batch_norm_plain };
        let (out, moments) = form(x, scale, shift, activation, EPSILON);
        (out, moments.mean, moments.variance)
    };
    let grads = (out.clone() * loss_weight.clone()).sum().backward();
    [
        values(out),
        values(inputs.0.grad(&grads).unwrap()),
        values(inputs.1.grad(&grads).unwrap()),
        values(inputs.2.grad(&grads).unwrap()),
        values(mean),
        values(variance),
    ]
}

fn check_case<const D: usize>(case: &Case) {
    let shape: [usize; D] = case.shape.clone().try_into().unwrap();
    let channels = shape[1];
    let x = leaf(&case.x, shape);
    let [scale, shift] = [&case.scale, &case.shift].map(|vector| leaf(vector, [channels]));
    let running = [&case.running_mean, &case.running_variance].map(|vector| leaf(vector, [channels]).inner());
    let loss_weight = leaf(&case.loss_weight, shape).detach();
    let activation = match case.activation.as_str() {
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu(0.2),
        _ => Activation::None,
    };
    for fused in [true, false] {
        let given = (!case.training).then_some(&running);
        let found = run(fused, (&x, &scale, &shift), given, activation, &loss_weight);
        let expected = [&case.out, &case.grad_x, &case.grad_scale, &case.grad_shift];
        for ((found, expected), name) in found.iter().zip(expected).zip(NAMES) {
            let what = format!("{} {shape:?}, fused {fused}: {name}", case.activation);
            assert_close(found, expected, 5e-6, &what);
        }
        if case.training {
            let [mean, variance] = [&found[4], &found[5]].map(|vector| leaf(vector, [channels]).inner());
            let moments = BatchMoments { mean, variance, count: case.x.len() / channels };
            let [mean, variance] = running.clone();
            let (mean, variance) = update_running(mean, variance, &moments, 0.1);
            assert_close(&values(mean), &case.new_running_mean, 1e-6, "running mean");
            assert_close(&values(variance), &case.new_running_variance, 1e-6, "running variance");
        }
    }
}

#[test]
fn equals_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/golden/batch_norm.json")).unwrap();
    assert!(cases.iter().any(|case| case.training) && cases.iter().any(|case| !case.training));
    for case in cases {
        match case.shape.len() {
            2 => check_case::<2>(&case),
            _ => check_case::<4>(&case),
        }
    }
}

fn compare<const D: usize>(shape: [usize; D]) {
    let channels = shape[1];
    let (x, scale, shift) = (random(shape) * 3.0 + 5.0, random([channels]), random([channels]));
    let x = x.detach().require_grad();
    let loss_weight = random(shape).detach();
    let running = [random([channels]).inner(), random([channels]).inner().square() + 0.1];
    // A sum of so many terms may be near zero: its rounding is that of the terms.
    let sums = (2e-5 * (shape.iter().product::<usize>() as f32 / channels as f32).sqrt()).max(2e-4);
    for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.2)] {
        for running in [None, Some(&running)] {
            let fused = run(true, (&x, &scale, &shift), running, activation, &loss_weight);
            let plain = run(false, (&x, &scale, &shift), running, activation, &loss_weight);
            for ((fused, plain), name) in fused.iter().zip(&plain).zip(NAMES) {
                let what = format!("{shape:?} {activation:?}, given {}: {name}", running.is_some());
                let tolerance = if name.starts_with("grad s") { sums } else { 2e-4 };
                assert_close(fused, plain, tolerance, &what);
            }
            for _ in 0..3 {
                assert!(fused == run(true, (&x, &scale, &shift), running, activation, &loss_weight));
            }
        }
    }
}

#[test]
fn fused_equals_plain_and_repeats_bit_by_bit() {
    compare([2, 1, 1, 1]);
    compare([3, 5, 3, 7]);
    compare([17, 6, 4, 4]);
    compare([8, 3, 40, 33]);
    compare([1, 4, 9, 9]);
    compare([2, 1]);
    compare([65, 37]);
}

/// x = 1, 3 in one channel: mean 2, variance 1; normalised −1, 1; scaled by 2 and shifted by 1: −1, 3.
#[test]
fn worked_numbers() {
    let (scale, shift) = (leaf(&[2.0], [1]), leaf(&[1.0], [1]));
    for (activation, expected) in
        [(Activation::None, [-1.0, 3.0]), (Activation::Relu, [0.0, 3.0]), (Activation::LeakyRelu(0.2), [-0.2, 3.0])]
    {
        let x = leaf(&[1.0, 3.0], [2, 1]);
        let (out, moments) = batch_norm(x, scale.clone(), shift.clone(), activation, 0.0);
        assert_close(&values(out), &expected, 1e-6, "out");
        assert_eq!((values(moments.mean.clone()), values(moments.variance.clone())), (vec![2.0], vec![1.0]));
        // Unbiased variance 2, a tenth of the way from 1; mean a tenth of the way from 0.
        let start = (Tensor::zeros([1], &Device::flex()), Tensor::ones([1], &Device::flex()));
        let (mean, variance) = update_running(start.0, start.1, &moments, 0.1);
        assert_close(&[values(mean)[0], values(variance)[0]], &[0.2, 1.1], 1e-6, "running");
    }
}

/// A mean far from zero does not drown the variance.
#[test]
fn far_from_zero() {
    let x: Vec<f32> = (0..4096).map(|k| 1000.0 + (k % 7) as f32 * 0.125).collect();
    let expected: f64 = {
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / 4096.0;
        x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 4096.0
    };
    let (_, moments) =
        batch_norm(leaf(&x, [4, 1, 32, 32]), leaf(&[1.0], [1]), leaf(&[0.0], [1]), Activation::None, EPSILON);
    assert!((f64::from(values(moments.variance)[0]) / expected - 1.0).abs() < 1e-4);
}

#[test]
fn detached_parents_get_nothing() {
    let (x, scale, shift) = (random([4, 3, 5, 5]), random([3]), random([3]));
    let forward = |x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>| {
        batch_norm(x, scale, shift, Activation::Relu, EPSILON).0.square().sum().backward()
    };
    let all = forward(x.clone(), scale.clone(), shift.clone());
    let only_x = forward(x.clone(), scale.clone().detach(), shift.clone().inner());
    assert!(scale.grad(&only_x).is_none() && shift.grad(&only_x).is_none());
    assert_eq!(values(x.grad(&only_x).unwrap()), values(x.grad(&all).unwrap()));
    let only_vectors = forward(x.clone().detach(), scale.clone(), shift.clone());
    assert!(x.grad(&only_vectors).is_none());
    assert_eq!(values(scale.grad(&only_vectors).unwrap()), values(scale.grad(&all).unwrap()));
    assert_eq!(values(shift.grad(&only_vectors).unwrap()), values(shift.grad(&all).unwrap()));
}

#[test]
#[should_panic(expected = "batch_norm: scale has the left shape, expected the right one")]
fn refuses_another_scale() {
    let _ = batch_norm(random([2, 3, 4, 4]), random([4]), random([3]), Activation::None, EPSILON);
}

#[test]
#[should_panic(expected = "found one value per channel, expected at least two")]
fn refuses_a_single_value() {
    let _ = batch_norm(random([1, 3]), random([3]), random([3]), Activation::None, EPSILON);
}
