//! The fused operation against worked numbers and its plain form.

use super::*;
use crate::testing::{self, leaf, values};

/// Logits (0, ln 3): p = (1/4, 3/4); with the bias (ln 3, 0) both are 1/2.
#[test]
fn worked_numbers() {
    let ln3 = 3.0f32.ln();
    let (states, weight) = (leaf(&[1.0], [1, 1]), leaf(&[0.0, ln3], [1, 2]));
    for (bias, p) in [(vec![0.0, 0.0], 0.25f32), (vec![ln3, 0.0], 0.5)] {
        let bias = leaf(&bias, [2]);
        let found = target_log_probability(states.clone(), weight.clone(), bias.clone(), vec![0]);
        let grads = found.clone().backward();
        assert!((values(found)[0] - p.ln()).abs() < 1e-6);
        let bias = values(bias.grad(&grads).unwrap());
        assert!((bias[0] - (1.0 - p)).abs() < 1e-6 && (bias[1] + (1.0 - p)).abs() < 1e-6, "{bias:?}");
        let states = values(states.grad(&grads).unwrap());
        assert!((states[0] + ln3 * (1.0 - p)).abs() < 1e-6, "{states:?}");
    }
}

#[test]
fn fused_equals_plain_and_repeats_bit_by_bit() {
    for (rows, width, words) in [(1, 1, 1), (3, 5, 17), (40, 33, 130)] {
        let random = |shape: [usize; 2]| testing::random(shape, -2.0..2.0);
        let (states, weight) = (random([rows, width]), random([width, words]));
        let bias = random([1, words]).reshape([words]).detach().require_grad();
        let factors = random([1, rows]).reshape([rows]).detach();
        let targets: Vec<usize> = (0..rows).map(|row| (row * 7) % words).collect();
        let run = |fused: bool| -> [Vec<f32>; 4] {
            let (s, w, b) = (states.clone(), weight.clone(), bias.clone());
            let found = if fused {
                target_log_probability(s, w, b, targets.clone())
            } else {
                target_log_probability_plain(s, w, b, &targets)
            };
            let grads = (found.clone() * factors.clone()).sum().backward();
            [
                values(found),
                values(states.grad(&grads).unwrap()),
                values(weight.grad(&grads).unwrap()),
                values(bias.grad(&grads).unwrap()),
            ]
        };
        let (fused, plain) = (run(true), run(false));
        for (fused, plain) in fused.iter().flatten().zip(plain.iter().flatten()) {
            assert!((fused - plain).abs() < 2e-5 * (1.0 + plain.abs()), "{rows}x{width}x{words}: {fused} {plain}");
        }
        assert_eq!(fused, run(true));
    }
}

/// Logits far apart neither overflow nor give NaN.
#[test]
fn large_logits() {
    let found = target_log_probability(
        leaf(&[1.0, 1.0], [2, 1]),
        leaf(&[500.0, -500.0], [1, 2]),
        leaf(&[0.0, 0.0], [2]),
        vec![0, 1],
    );
    let found = values(found);
    assert!(found[0].abs() < 1e-6 && (found[1] + 1000.0).abs() < 1e-3, "{found:?}");
}

#[test]
#[should_panic(expected = "targets: found 2, expected less than 2")]
fn refuses_a_word_that_is_none() {
    let _ = target_log_probability(leaf(&[1.0], [1, 1]), leaf(&[0.0; 2], [1, 2]), leaf(&[0.0; 2], [2]), vec![2]);
}
