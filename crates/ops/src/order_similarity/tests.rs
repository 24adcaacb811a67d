//! The fused scores against worked numbers, the plain form and finite differences.

use super::*;
use burn::tensor::{Device, TensorData};
use proptest::prelude::*;

fn leaf(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::<2>::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn random(shape: [usize; 2]) -> Tensor<2> {
    crate::testing::random(shape, -1.0..1.0)
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

type Form = fn(Tensor<2>, Tensor<2>) -> Tensor<2>;

/// The other order.
const REVERSED: Form = |v, t| order_similarity(t, v).transpose();
const REVERSED_PLAIN: Form = |v, t| order_similarity_plain(t, v).transpose();

/// Scores and both gradients of the weighted sum of all scores.
fn run(form: Form, images: &Tensor<2>, captions: &Tensor<2>, weight: &Tensor<2>) -> [Vec<f32>; 3] {
    let scores = form(images.clone(), captions.clone());
    let grads = (scores.clone() * weight.clone()).sum().backward();
    [values(scores), values(images.grad(&grads).unwrap()), values(captions.grad(&grads).unwrap())]
}

/// v = (1, 0), t = (0, 2): v − t = (1, −2), so s = −1 and ds/dv = (−2, 0); t − v = (−1, 2), so s = −4 and ds/dt = (0, −4).
#[test]
fn worked_numbers() {
    let (v, t) = (leaf(vec![1.0, 0.0], [1, 2]), leaf(vec![0.0, 2.0], [1, 2]));
    let one = Tensor::ones([1, 1], &Device::flex().autodiff());
    let [score, grad_v, grad_t] = run(order_similarity, &v, &t, &one);
    assert_eq!((score, grad_v, grad_t), (vec![-1.0], vec![-2.0, 0.0], vec![2.0, 0.0]));
    let [score, grad_v, grad_t] = run(REVERSED, &v, &t, &one);
    assert_eq!((score, grad_v, grad_t), (vec![-4.0], vec![0.0, 4.0], vec![0.0, -4.0]));
}

/// Sizes around the tile of 4 and the 16 lanes, more images than captions and the reverse.
#[test]
fn fused_equals_plain_and_repeats_bit_by_bit() {
    for (rows, columns, width) in [(1, 1, 1), (4, 4, 16), (5, 9, 37), (13, 4, 100), (8, 12, 15), (3, 30, 64)] {
        let (images, captions) = (random([rows, width]), random([columns, width]));
        let weight = random([rows, columns]).detach();
        let forms: [[Form; 2]; 2] = [[order_similarity, order_similarity_plain], [REVERSED, REVERSED_PLAIN]];
        for [fused_form, plain_form] in forms {
            let fused = run(fused_form, &images, &captions, &weight);
            let plain = run(plain_form, &images, &captions, &weight);
            for (fused, plain) in fused.iter().flatten().zip(plain.iter().flatten()) {
                assert!(
                    (fused - plain).abs() < 1e-5 * (1.0 + plain.abs()),
                    "{rows}x{columns}x{width}: {fused} {plain}"
                );
            }
            assert_eq!(fused, run(fused_form, &images, &captions, &weight));
        }
    }
}

/// Central differences of the weighted sum agree with the gradients.
#[test]
fn gradients_equal_finite_differences() {
    let (rows, columns, width) = (3, 5, 6);
    let (images, captions) = (random([rows, width]), random([columns, width]));
    let weight = random([rows, columns]).detach();
    let weights = values(weight.clone());
    for (form, sign) in [(order_similarity as Form, 1.0), (REVERSED, -1.0)] {
        let [_, grad_v, grad_t] = run(form, &images, &captions, &weight);
        let (v, t) = (values(images.clone()), values(captions.clone()));
        // In double precision and written out, so that it shares nothing with the code under test.
        let loss = |v: &[f32], t: &[f32]| {
            let mut sum = 0.0;
            for (i, v) in v.chunks(width).enumerate() {
                for (j, t) in t.chunks(width).enumerate() {
                    for (v, t) in v.iter().zip(t) {
                        let violation = sign * (f64::from(*v) - f64::from(*t));
                        sum -= f64::from(weights[i * columns + j]) * violation.max(0.0).powi(2);
                    }
                }
            }
            sum
        };
        for k in 0..v.len() {
            let (mut up, mut down) = (v.clone(), v.clone());
            (up[k], down[k]) = (v[k] + 1e-3, v[k] - 1e-3);
            let slope = (loss(&up, &t) - loss(&down, &t)) / (f64::from(up[k]) - f64::from(down[k]));
            assert!((slope - f64::from(grad_v[k])).abs() < 5e-3, "v[{k}]: {slope} {}", grad_v[k]);
        }
        for k in 0..t.len() {
            let (mut up, mut down) = (t.clone(), t.clone());
            (up[k], down[k]) = (t[k] + 1e-3, t[k] - 1e-3);
            let slope = (loss(&v, &up) - loss(&v, &down)) / (f64::from(up[k]) - f64::from(down[k]));
            assert!((slope - f64::from(grad_t[k])).abs() < 5e-3, "t[{k}]: {slope} {}", grad_t[k]);
        }
    }
}

#[test]
fn transposed_inputs_are_read_right() {
    let (images, captions) = (random([6, 5]), random([6, 7]));
    let weight = random([5, 7]).detach();
    let form: Form = |v, t| order_similarity(v.transpose(), t.transpose());
    let plain: Form = |v, t| order_similarity_plain(v.transpose(), t.transpose());
    let fused = run(form, &images, &captions, &weight);
    let plain = run(plain, &images, &captions, &weight);
    assert!(fused.iter().flatten().zip(plain.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-5));
}

proptest! {
    /// s <= 0 always, and s = 0 exactly if v <= t in every dimension.
    #[test]
    fn zero_exactly_where_the_order_holds(v in prop::collection::vec(-3i8..3, 20), t in prop::collection::vec(-3i8..3, 20)) {
        let floats = |values: &[i8]| values.iter().map(|&value| f32::from(value)).collect::<Vec<_>>();
        let scores = values(order_similarity(leaf(floats(&v), [5, 4]), leaf(floats(&t), [5, 4])));
        for (i, v) in v.chunks(4).enumerate() {
            for (j, t) in t.chunks(4).enumerate() {
                let holds = v.iter().zip(t).all(|(v, t)| v <= t);
                let score = scores[i * 5 + j];
                prop_assert!(score <= 0.0);
                prop_assert_eq!(score == 0.0, holds);
            }
        }
    }
}
