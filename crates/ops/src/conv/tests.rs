//! The fused convolutions against PyTorch, against their plain forms, and against themselves.

use super::*;
use crate::testing::{self, assert_close, device, leaf, values};
use serde::Deserialize;

/// Written by `reference/conv.py`.
#[derive(Deserialize)]
struct Case {
    form: String,
    stride: usize,
    padding: usize,
    x_shape: [usize; 4],
    weight_shape: [usize; 4],
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    loss_weight: Vec<f32>,
    out_shape: [usize; 4],
    out: Vec<f32>,
    grad_x: Vec<f32>,
    grad_weight: Vec<f32>,
    grad_bias: Option<Vec<f32>>,
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    testing::random(shape, -1.0..1.0)
}

/// What is convolved and how.
struct Problem {
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    /// Stride and padding; none for the upsampled form.
    strided: Option<[usize; 2]>,
}

impl Problem {
    fn strided(x: [usize; 4], weight: [usize; 4], bias: bool, stride: usize, padding: usize) -> Self {
        let bias = bias.then(|| random([weight[0]]));
        Self { x: random(x), weight: random(weight), bias, strided: Some([stride, padding]) }
    }

    fn upsampled(x: [usize; 4], outputs: usize) -> Self {
        Self { x: random(x), weight: random([outputs, x[1], 3, 3]), bias: None, strided: None }
    }

    fn forward(&self, fused: bool) -> Tensor<4> {
        let (x, weight) = (self.x.clone(), self.weight.clone());
        match (self.strided, fused) {
            (Some([stride, padding]), true) => conv2d(x, weight, self.bias.clone(), stride, padding),
            (Some([stride, padding]), false) => conv2d_plain(x, weight, self.bias.clone(), stride, padding),
            (None, true) => upsampled_conv3x3(x, weight),
            (None, false) => upsampled_conv3x3_plain(x, weight),
        }
    }

    /// Result and gradients of x, weight and, where there is one, bias.
    fn run(&self, fused: bool, loss_weight: &Tensor<4>) -> Vec<Vec<f32>> {
        let out = self.forward(fused);
        let grads = (out.clone() * loss_weight.clone()).sum().backward();
        let mut all =
            vec![values(out), values(self.x.grad(&grads).unwrap()), values(self.weight.grad(&grads).unwrap())];
        all.extend(self.bias.as_ref().map(|bias| values(bias.grad(&grads).unwrap())));
        all
    }

    fn compare(&self, what: &str) {
        let loss_weight = random(self.forward(false).dims()).detach();
        let (fused, plain) = (self.run(true, &loss_weight), self.run(false, &loss_weight));
        for ((fused, plain), name) in fused.iter().zip(&plain).zip(NAMES) {
            assert_close(fused, plain, 1e-4, &format!("{what}: {name}"));
        }
        for _ in 0..3 {
            assert!(fused == self.run(true, &loss_weight), "{what}: another run gives other bits");
        }
    }
}

const NAMES: [&str; 4] = ["out", "grad x", "grad weight", "grad bias"];

#[test]
fn equals_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/golden/conv.json")).unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let problem = Problem {
            x: leaf(&case.x, case.x_shape),
            weight: leaf(&case.weight, case.weight_shape),
            bias: case.bias.as_ref().map(|bias| leaf(bias, [case.weight_shape[0]])),
            strided: (case.form == "strided").then_some([case.stride, case.padding]),
        };
        let loss_weight = leaf(&case.loss_weight, case.out_shape).detach();
        let mut expected = vec![case.out, case.grad_x, case.grad_weight];
        expected.extend(case.grad_bias);
        for fused in [true, false] {
            let found = problem.run(fused, &loss_weight);
            assert_eq!(found.len(), expected.len());
            for ((found, expected), name) in found.iter().zip(&expected).zip(NAMES) {
                let what = format!("{} {:?} {:?} {name}", case.form, case.x_shape, case.weight_shape);
                assert_close(found, expected, 2e-6, &what);
            }
        }
    }
}

/// Sizes that are no multiple of any tile, batches around the sixteen lanes, and those of the networks.
#[test]
fn fused_equals_plain_and_repeats_bit_by_bit() {
    for (x, weight, bias, stride, padding) in [
        ([1, 1, 1, 1], [1, 1, 1, 1], true, 1, 0),
        ([17, 3, 7, 5], [7, 3, 3, 3], true, 1, 1),
        ([16, 5, 9, 9], [13, 5, 3, 3], false, 2, 1),
        ([3, 2, 8, 6], [4, 2, 4, 4], false, 2, 1),
        ([33, 4, 6, 6], [6, 4, 5, 5], true, 3, 2),
        ([5, 9, 4, 4], [1, 9, 4, 4], true, 4, 0),
        ([2, 3, 5, 5], [2, 3, 2, 2], false, 3, 0),
        ([2, 2, 3, 3], [3, 2, 2, 2], false, 1, 3),
        ([20, 20, 4, 4], [19, 20, 3, 3], false, 1, 1),
        ([16, 3, 64, 64], [8, 3, 4, 4], false, 2, 1),
    ] {
        let what = format!("{x:?} by {weight:?}, stride {stride}, padding {padding}");
        Problem::strided(x, weight, bias, stride, padding).compare(&what);
    }
    for (x, outputs) in [([1, 1, 1, 1], 1), ([3, 5, 4, 4], 7), ([19, 13, 5, 3], 6), ([16, 40, 8, 8], 20)] {
        Problem::upsampled(x, outputs).compare(&format!("upsampled {x:?} to {outputs}"));
    }
}

/// Each element is summed by one thread in one order, however many threads there are.
#[test]
fn threads_change_nothing() {
    let problems =
        [Problem::strided([20, 30, 8, 8], [26, 30, 4, 4], true, 2, 1), Problem::upsampled([20, 30, 8, 8], 26)];
    for problem in problems {
        let loss_weight = random(problem.forward(false).dims()).detach();
        let runs = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| problem.run(true, &loss_weight))
        });
        assert!(runs[0] == runs[1] && runs[0] == runs[2]);
    }
}

/// Views into larger tensors, and tensors whose axes were swapped.
#[test]
fn views_are_read_through_their_layout() {
    let all = random([6, 4, 5, 5]);
    let views =
        [all.clone().narrow(0, 0, 3), all.clone().narrow(0, 2, 3), all.clone().narrow(1, 1, 2), all.swap_dims(2, 3)];
    for view in views {
        let weight = random([3, view.dims()[1], 3, 3]);
        let fused = values(conv2d(view.clone(), weight.clone(), None, 1, 1));
        assert_close(&fused, &values(conv2d_plain(view.clone(), weight.clone(), None, 1, 1)), 1e-5, "strided");
        let fused = values(upsampled_conv3x3(view.clone(), weight.clone()));
        assert_close(&fused, &values(upsampled_conv3x3_plain(view, weight)), 1e-5, "upsampled");
    }
}

/// Only parents that want a gradient get one, and their gradients are the same as when all want one.
#[test]
fn detached_parents_get_nothing() {
    for problem in [Problem::strided([2, 3, 6, 6], [4, 3, 4, 4], true, 2, 1), Problem::upsampled([2, 3, 4, 4], 5)] {
        let all = problem.forward(true).sum().backward();
        let frozen = |problem: &Problem, x: bool, weight: bool| Problem {
            x: if x { problem.x.clone() } else { problem.x.clone().detach() },
            weight: if weight { problem.weight.clone() } else { problem.weight.clone().inner() },
            bias: problem.bias.clone().map(|bias| bias.detach()),
            strided: problem.strided,
        };
        for (x, weight) in [(true, false), (false, true)] {
            let some = frozen(&problem, x, weight).forward(true).sum().backward();
            for (wanted, tensor) in [(x, &problem.x), (weight, &problem.weight)] {
                assert_eq!(tensor.grad(&some).is_some(), wanted);
                if wanted {
                    assert_eq!(values(tensor.grad(&some).unwrap()), values(tensor.grad(&all).unwrap()));
                }
            }
            assert!(problem.bias.as_ref().is_none_or(|bias| bias.grad(&some).is_none()));
        }
        // Without automatic gradients the values are the same bits.
        let mut inner = frozen(&problem, false, false);
        (inner.x, inner.bias) = (problem.x.clone().inner(), problem.bias.clone().map(|bias| bias.inner()));
        assert_eq!(values(inner.forward(true)), values(problem.forward(true)));
    }
}

/// A 1×1 map of value v becomes 2×2: each output is v times the sum of the four kernel elements that meet the map.
#[test]
fn worked_numbers() {
    let kernel: Vec<f32> = (1..=9).map(|k| k as f32).collect();
    let weight = leaf(&kernel, [1, 1, 3, 3]);
    let out = values(upsampled_conv3x3(leaf(&[2.0], [1, 1, 1, 1]), weight.clone()));
    assert_eq!(
        out,
        [
            2.0 * (5 + 6 + 8 + 9) as f32,
            2.0 * (4 + 5 + 7 + 8) as f32,
            2.0 * (2 + 3 + 5 + 6) as f32,
            2.0 * (1 + 2 + 4 + 5) as f32
        ]
    );
    let bias = Some(leaf(&[0.5], [1]));
    let out = values(conv2d(leaf(&[1.0, 2.0, 3.0, 4.0], [1, 1, 2, 2]), weight, bias, 2, 1));
    assert_eq!(out, [0.5 + 5.0 + 2.0 * 6.0 + 3.0 * 8.0 + 4.0 * 9.0]);
}

#[test]
#[should_panic(expected = "found a weight for the left number of channels, expected the right one")]
fn refuses_other_channels() {
    let _ = conv2d(random([1, 3, 4, 4]), random([2, 4, 3, 3]), None, 1, 1);
}

#[test]
#[should_panic(expected = "found a kernel of side 5, expected at most the padded map's 4")]
fn refuses_a_kernel_beyond_the_map() {
    let _ = conv2d(random([1, 3, 2, 2]), random([2, 3, 5, 5]), None, 1, 1);
}

#[test]
#[should_panic(expected = "found stride 0, expected at least 1")]
fn refuses_stride_zero() {
    let _ = conv2d(random([1, 3, 4, 4]), random([2, 3, 3, 3]), None, 0, 1);
}

#[test]
#[should_panic(expected = "found a bias of the left shape, expected the right one")]
fn refuses_another_bias() {
    let _ = conv2d(random([1, 3, 4, 4]), random([2, 3, 3, 3]), Some(random([3])), 1, 1);
}

#[test]
#[should_panic(expected = "x: found the shape [0, 3, 4, 4], expected no zero")]
fn refuses_an_empty_batch() {
    let _ = conv2d(Tensor::zeros([0, 3, 4, 4], &device()), random([2, 3, 3, 3]), None, 1, 1);
}

#[test]
#[should_panic(expected = "upsampled_conv3x3: found the left kernel, expected the right one")]
fn refuses_another_kernel_after_upsampling() {
    let _ = upsampled_conv3x3(random([1, 3, 4, 4]), random([2, 3, 4, 4]));
}
