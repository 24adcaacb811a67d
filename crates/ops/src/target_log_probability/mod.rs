//! ln p of given words under an output layer and a softmax: what the caption losses (paper Eq. 4 and 6) are made of.

mod extension;
mod kernel;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use extension::TargetBackend;
use std::sync::Arc;

/// `log_softmax(states W + b)[n, targets[n]]` for every row `n`.
///
/// The fused form writes the `[N, V]` probabilities once and turns them into the gradient in place; a composition of
/// tensor operations needs about eight such arrays. Gradients reach `states`, `weight` and `bias`.
///
/// # Shapes
/// `states` `[N, H]`, `weight` `[H, V]`, `bias` `[V]`, `N` targets → `[N]`
///
/// # Panics
/// If shapes do not fit together, there is no row, or a target is not below `V`.
pub fn target_log_probability(states: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, targets: Vec<usize>) -> Tensor<1> {
    check(&states, &weight, &bias, &targets);
    if !super::is_host(&states) {
        return target_log_probability_plain(states, weight, bias, &targets);
    }
    Tensor::from_dispatch(Dispatch::target_log_probability(
        states.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        Arc::new(targets),
    ))
}

/// The same by tensor operations, on whatever device holds the tensors.
fn target_log_probability_plain(states: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, targets: &[usize]) -> Tensor<1> {
    let count = targets.len();
    let targets: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [count, 1]), &states.device());
    log_softmax(states.matmul(weight) + bias.unsqueeze(), 1).gather(1, targets).reshape([count])
}

fn check(states: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>, targets: &[usize]) {
    let [rows, width] = states.dims();
    let [height, words] = weight.dims();
    assert!(rows > 0, "found no row, expected at least one");
    assert_eq!(width, height, "states and weight: found different inner sizes, expected equal ones");
    assert_eq!(bias.dims(), [words], "bias: found the left shape, expected the right one");
    assert_eq!(targets.len(), rows, "targets: found the left number, expected one for each row");
    if let Some(target) = targets.iter().find(|&&target| target >= words) {
        panic!("targets: found {target}, expected less than {words}");
    }
}
