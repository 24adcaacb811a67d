//! The fused GRU against PyTorch, against its plain form, and against itself.

use super::*;
use crate::testing::{self, assert_close, leaf, values};
use serde::Deserialize;

/// Written by `reference/gru.py`.
#[derive(Deserialize)]
struct Golden {
    batch: usize,
    time: usize,
    width: usize,
    hidden: usize,
    lengths: Vec<usize>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    direction: String,
    x: Vec<f32>,
    loss_weight: Vec<f32>,
    states: Vec<f32>,
    w_ih: Vec<f32>,
    w_hh: Vec<f32>,
    b_ih: Vec<f32>,
    b_hh: Vec<f32>,
    initial: Option<Vec<f32>>,
    grad_x: Vec<f32>,
    grad_w_ih: Vec<f32>,
    grad_w_hh: Vec<f32>,
    grad_b_ih: Vec<f32>,
    grad_b_hh: Vec<f32>,
    grad_initial: Option<Vec<f32>>,
}

type Form = fn(Tensor<3>, &[usize], &GruWeights, Option<Tensor<2>>, Direction) -> Tensor<3>;

fn random<const D: usize>(shape: [usize; D], spread: f32) -> Tensor<D> {
    testing::random(shape, -spread..spread)
}

/// States and gradients of x, w_ih, w_hh, b_ih, b_hh and, when given, the initial state.
fn run(
    form: Form,
    x: &Tensor<3>,
    lengths: &[usize],
    weights: &GruWeights,
    initial: Option<&Tensor<2>>,
    direction: Direction,
    loss_weight: &Tensor<3>,
) -> Vec<Vec<f32>> {
    let states = form(x.clone(), lengths, weights, initial.cloned(), direction);
    let grads = (states.clone() * loss_weight.clone()).sum().backward();
    let mut out = vec![
        values(states),
        values(x.grad(&grads).unwrap()),
        values(weights.w_ih.grad(&grads).unwrap()),
        values(weights.w_hh.grad(&grads).unwrap()),
        values(weights.b_ih.grad(&grads).unwrap()),
        values(weights.b_hh.grad(&grads).unwrap()),
    ];
    out.extend(initial.map(|initial| values(initial.grad(&grads).unwrap())));
    out
}

const NAMES: [&str; 7] = ["states", "grad x", "grad w_ih", "grad w_hh", "grad b_ih", "grad b_hh", "grad initial"];

#[test]
fn equals_pytorch_over_packed_sequences() {
    let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/gru.json")).unwrap();
    let Golden { batch, time, width, hidden, lengths, cases } = golden;
    assert_eq!(cases.len(), 4);
    for case in cases {
        let direction = if case.direction == "forward" { Direction::Forward } else { Direction::Reverse };
        let weights = GruWeights {
            w_ih: leaf(&case.w_ih, [3 * hidden, width]),
            w_hh: leaf(&case.w_hh, [3 * hidden, hidden]),
            b_ih: leaf(&case.b_ih, [3 * hidden]),
            b_hh: leaf(&case.b_hh, [3 * hidden]),
        };
        let initial = case.initial.as_deref().map(|values| leaf(values, [batch, hidden]));
        let x = leaf(&case.x, [batch, time, width]);
        let loss_weight = leaf(&case.loss_weight, [batch, time, hidden]).detach();
        let mut expected =
            vec![case.states, case.grad_x, case.grad_w_ih, case.grad_w_hh, case.grad_b_ih, case.grad_b_hh];
        expected.extend(case.grad_initial);
        for form in [gru as Form, gru_plain] {
            let found = run(form, &x, &lengths, &weights, initial.as_ref(), direction, &loss_weight);
            assert_eq!(found.len(), expected.len());
            for ((found, expected), name) in found.iter().zip(&expected).zip(NAMES) {
                assert_close(found, expected, 1e-5, name);
            }
        }
    }
}

fn random_weights(width: usize, hidden: usize) -> GruWeights {
    let spread = 1.0 / (hidden as f32).sqrt();
    GruWeights {
        w_ih: random([3 * hidden, width], spread),
        w_hh: random([3 * hidden, hidden], spread),
        b_ih: random([3 * hidden], spread),
        b_hh: random([3 * hidden], spread),
    }
}

/// Sizes that are no multiple of any vector width, with ties in the lengths.
#[test]
fn fused_equals_plain_and_repeats_bit_by_bit() {
    let (batch, time, width, hidden) = (9, 7, 13, 21);
    let lengths = [7, 1, 4, 4, 2, 7, 6, 1, 5];
    let weights = random_weights(width, hidden);
    let (x, initial) = (random([batch, time, width], 1.0), random([batch, hidden], 1.0));
    let loss_weight = random([batch, time, hidden], 1.0).detach();
    for direction in [Direction::Forward, Direction::Reverse] {
        for initial in [None, Some(&initial)] {
            let fused = run(gru, &x, &lengths, &weights, initial, direction, &loss_weight);
            let plain = run(gru_plain, &x, &lengths, &weights, initial, direction, &loss_weight);
            for ((fused, plain), name) in fused.iter().zip(&plain).zip(NAMES) {
                assert_close(fused, plain, 1e-5, name);
            }
            assert_eq!(fused, run(gru, &x, &lengths, &weights, initial, direction, &loss_weight));
        }
    }
}

/// Large enough for products on several threads.
#[test]
fn large_products_repeat_bit_by_bit() {
    let (batch, time, width, hidden) = (64, 6, 96, 160);
    let lengths: Vec<usize> = (0..batch).map(|k| 1 + k % time).collect();
    let (weights, x) = (random_weights(width, hidden), random([batch, time, width], 1.0));
    let loss_weight = random([batch, time, hidden], 1.0).detach();
    let first = run(gru, &x, &lengths, &weights, None, Direction::Reverse, &loss_weight);
    let plain = run(gru_plain, &x, &lengths, &weights, None, Direction::Reverse, &loss_weight);
    for ((first, plain), name) in first.iter().zip(&plain).zip(NAMES) {
        assert_close(first, plain, 1e-4, name);
    }
    for _ in 0..5 {
        assert_eq!(first, run(gru, &x, &lengths, &weights, None, Direction::Reverse, &loss_weight));
    }
}

/// Whatever stands in the padding, and however much of it there is, states and gradients stay the same.
#[test]
fn padding_changes_nothing() {
    let (batch, width, hidden) = (3, 5, 6);
    let lengths = [2, 4, 3];
    let weights = random_weights(width, hidden);
    let short = random([batch, 4, width], 1.0);
    let long = Tensor::cat(vec![short.clone(), random([batch, 3, width], 50.0)], 1).detach().require_grad();
    let weight = random([batch, 4, hidden], 1.0).detach();
    let long_weight = Tensor::cat(vec![weight.clone(), random([batch, 3, hidden], 9.0)], 1).detach();
    for direction in [Direction::Forward, Direction::Reverse] {
        let a = run(gru, &short, &lengths, &weights, None, direction, &weight);
        let b = run(gru, &long, &lengths, &weights, None, direction, &long_weight);
        assert_eq!(a[2..], b[2..]);
        for (k, size) in [(0, hidden), (1, width)] {
            for sequence in 0..batch {
                let (a, b) = (&a[k][sequence * 4 * size..][..4 * size], &b[k][sequence * 7 * size..][..7 * size]);
                assert_eq!(a, &b[..4 * size]);
                assert!(b[lengths[sequence] * size..].iter().all(|&value| value == 0.0));
            }
        }
    }
}

/// Decoding token by token, the state handed on, equals one call; also without automatic gradients.
#[test]
fn single_steps_equal_one_sequence() {
    let weights = random_weights(5, 8);
    let x = random([2, 3, 5], 1.0);
    let whole = values(gru(x.clone(), &[3, 3], &weights, None, Direction::Forward));
    let inner = GruWeights {
        w_ih: weights.w_ih.inner(),
        w_hh: weights.w_hh.inner(),
        b_ih: weights.b_ih.inner(),
        b_hh: weights.b_hh.inner(),
    };
    let x = x.inner();
    let mut state = None;
    let mut steps = Vec::new();
    for token in 0..3 {
        let next = gru(x.clone().narrow(1, token, 1), &[1, 1], &inner, state, Direction::Forward); // [2, 1, 8]
        state = Some(next.clone().squeeze_dim::<2>(1));
        steps.push(next);
    }
    assert_close(&values(Tensor::cat(steps, 1)), &whole, 1e-6, "states");
}

/// Inputs that need no gradient (frozen word vectors) mix with weights that do.
#[test]
fn untracked_input_and_frozen_weights() {
    let weights = random_weights(4, 3);
    let x = random([2, 3, 4], 1.0).inner();
    let frozen =
        GruWeights { w_ih: weights.w_ih.clone().inner(), b_hh: weights.b_hh.clone().detach(), ..weights.clone() };
    let grads = gru(x.clone(), &[3, 2], &frozen, None, Direction::Forward).sum().backward();
    assert!(frozen.w_hh.grad(&grads).is_some() && frozen.b_ih.grad(&grads).is_some());
    assert!(weights.w_ih.grad(&grads).is_none());
    let all = gru(x, &[3, 2], &weights, None, Direction::Forward).sum().backward();
    assert_eq!(values(weights.w_hh.grad(&all).unwrap()), values(weights.w_hh.grad(&grads).unwrap()));
}

#[test]
#[should_panic(expected = "lengths: found 4, expected 1..=3")]
fn refuses_lengths_beyond_the_padding() {
    let _ = gru(random([1, 3, 4], 1.0), &[4], &random_weights(4, 3), None, Direction::Forward);
}
