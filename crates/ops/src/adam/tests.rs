//! Adam against PyTorch, and its memory across a restart.

use super::*;
use burn::module::ParamId;
use burn::tensor::Device;
use serde::Deserialize;

#[derive(Module, Debug)]
struct Inner {
    weight: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Net {
    inner: Inner,
    bias: Param<Tensor<1>>,
}

/// Written by `reference/adam.py`. Gradients are missing where the parameter got none.
#[derive(Deserialize)]
struct Golden {
    rows: usize,
    columns: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    weight_decay: f64,
    learning_rate: f64,
    bias_factor: f64,
    steps: Vec<StepCase>,
}

#[derive(Deserialize)]
struct StepCase {
    grad_weight: Option<Vec<f32>>,
    grad_bias: Option<Vec<f32>>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/adam.json")).unwrap()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn net(golden: &Golden) -> Net {
    let device = Device::flex().autodiff();
    Net {
        inner: Inner { weight: Param::from_tensor(tensor(&golden.weight, [golden.rows, golden.columns], &device)) },
        bias: Param::from_tensor(tensor(&golden.bias, [golden.columns], &device)),
    }
}

fn grads(golden: &Golden, net: &Net, step: &StepCase) -> GradientsParams {
    let mut grads = GradientsParams::new();
    if let Some(values) = &step.grad_weight {
        grads.register(net.inner.weight.id, tensor(values, [golden.rows, golden.columns], &Device::flex()));
    }
    if let Some(values) = &step.grad_bias {
        grads.register(net.bias.id, tensor(values, [golden.columns], &Device::flex()));
    }
    grads
}

fn values(net: &Net) -> (Vec<f32>, Vec<f32>) {
    (net.inner.weight.val().into_data().iter().collect(), net.bias.val().into_data().iter().collect())
}

fn rate(case: &Case) -> impl Fn(&str) -> f64 + '_ {
    |path| match path {
        "inner.weight" => case.learning_rate,
        "bias" => case.learning_rate * case.bias_factor,
        path => panic!("unexpected path {path}"),
    }
}

#[test]
fn equals_pytorch_adam_and_adamw_over_ten_steps() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 2);
    for case in &golden.cases {
        let mut adam = Adam::new(AdamConfig { weight_decay: case.weight_decay, ..AdamConfig::default() });
        let mut net = net(&golden);
        let ids: [ParamId; 2] = [net.inner.weight.id, net.bias.id];
        for (k, step) in case.steps.iter().enumerate() {
            let grads = grads(&golden, &net, step);
            net = adam.step(rate(case), net, grads);
            let (weight, bias) = values(&net);
            for (found, expected) in weight.iter().zip(&step.weight).chain(bias.iter().zip(&step.bias)) {
                assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "step {k}: {found} {expected}");
            }
        }
        assert_eq!(ids, [net.inner.weight.id, net.bias.id]);
        assert!(net.inner.weight.val().is_require_grad() && net.bias.val().is_require_grad());
    }
}

/// The bias has no gradient in the second step: value, moments and count stay bit-equal.
#[test]
fn a_parameter_without_gradient_is_untouched() {
    let golden = golden();
    let case = &golden.cases[1];
    assert!(case.steps[1].grad_bias.is_none());
    let mut adam = Adam::new(AdamConfig { weight_decay: 0.1, ..AdamConfig::default() });
    let mut net = net(&golden);
    let mut history = Vec::new();
    for step in &case.steps[..2] {
        let grads = grads(&golden, &net, step);
        net = adam.step(rate(case), net, grads);
        history.push((values(&net).1, adam.state().remove(0)));
    }
    assert_eq!(history[0].1.path, "bias");
    assert_eq!(history[0], history[1]);
    assert_eq!(adam.state().iter().map(|state| state.steps).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn resumes_bit_by_bit() {
    let golden = golden();
    let case = &golden.cases[0];
    let (mut adam, mut net) = (Adam::new(AdamConfig::default()), net(&golden));
    for (k, step) in case.steps.iter().enumerate() {
        if k == 4 {
            let state = adam.state();
            adam = Adam::new(AdamConfig::default());
            adam.restore(state, &net).unwrap();
        }
        let grads = grads(&golden, &net, step);
        net = adam.step(rate(case), net, grads);
    }
    let (mut straight, mut other) = (Adam::new(AdamConfig::default()), self::net(&golden));
    for step in &case.steps {
        let grads = grads(&golden, &other, step);
        other = straight.step(rate(case), other, grads);
    }
    assert_eq!(values(&net), values(&other));
    assert_eq!(adam.state(), straight.state());
}

#[test]
fn refuses_the_state_of_another_model() {
    let golden = golden();
    let net = net(&golden);
    let mut adam = Adam::new(AdamConfig::default());
    let state = |path: &str, shape: &[usize]| AdamState {
        path: path.to_owned(),
        shape: shape.to_vec(),
        steps: 1,
        first: vec![0.0; shape.iter().product()],
        second: vec![0.0; shape.iter().product()],
    };
    let error = adam.restore(vec![state("other", &[1])], &net).unwrap_err().to_string();
    assert_eq!(error, "optimiser state: found `other`, expected only parameters of the model");
    let error = adam.restore(vec![state("bias", &[99])], &net).unwrap_err().to_string();
    assert!(error.starts_with("optimiser state of `bias`: found shape [99] with 99 and 99 values"), "{error}");
    assert!(adam.state().is_empty());
}

/// The fallback for other element types and devices gives the same numbers.
#[test]
fn plain_form_equals_fused() {
    let device = Device::flex();
    let golden = golden();
    let case = &golden.cases[1];
    let config = AdamConfig { weight_decay: case.weight_decay, ..AdamConfig::default() };
    let (mut fused, mut plain) = (Adam::new(config), Adam::new(config));
    let shape = [golden.rows, golden.columns];
    let mut a = tensor::<2>(&golden.weight, shape, &device);
    let mut b = a.clone().cast(burn::tensor::DType::F64);
    for step in &case.steps {
        let grad = tensor::<2>(step.grad_weight.as_ref().unwrap(), shape, &device);
        a = fused.update("w".to_owned(), case.learning_rate, a, grad.clone());
        if plain.moments.is_empty() {
            let zeros = Tensor::<1>::zeros([golden.weight.len()], &device).cast(burn::tensor::DType::F64);
            let moments = Moments { shape: shape.to_vec(), steps: 0, first: zeros.clone(), second: zeros };
            plain.moments.insert("w".to_owned(), moments);
        }
        b = plain.update("w".to_owned(), case.learning_rate, b, grad.cast(burn::tensor::DType::F64));
    }
    let (a, b): (Vec<f32>, Vec<f32>) = (a.into_data().iter().collect(), b.into_data().iter().collect());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 3e-6), "{a:?} {b:?}");
}
