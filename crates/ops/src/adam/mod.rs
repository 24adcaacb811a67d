//! Adam and AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019) in one pass over the parameters.

mod kernel;
#[cfg(test)]
mod tests;

use super::{from_host, into_host, is_host};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use gxn_base::{Error, Result};
use std::collections::BTreeMap;

/// The settings of [`Adam`], in PyTorch's meaning.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Decay β₁ of the mean gradient.
    pub beta1: f64,
    /// Decay β₂ of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    pub epsilon: f64,
    /// Decoupled weight decay: each step multiplies the parameter by 1 − rate · decay. 0 is Adam, more is AdamW.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// Adam with decoupled weight decay; its memory is kept by parameter path, so that it survives a restart.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    moments: BTreeMap<String, Moments>,
}

/// The memory of one parameter.
#[derive(Debug)]
struct Moments {
    shape: Vec<usize>,
    steps: u64,
    first: Tensor<1>,
    second: Tensor<1>,
}

/// The memory of one parameter as plain data, for checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamState {
    /// Names of the fields that lead to the parameter, joined by dots.
    pub path: String,
    /// The parameter's shape.
    pub shape: Vec<usize>,
    /// How often the parameter has been updated.
    pub steps: u64,
    /// Mean gradient, row by row.
    pub first: Vec<f32>,
    /// Mean squared gradient, row by row.
    pub second: Vec<f32>,
}

impl Adam {
    /// An optimiser that has seen no gradient yet.
    pub fn new(config: AdamConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    /// The settings.
    pub fn config(&self) -> AdamConfig {
        self.config
    }

    /// `module` after one step along `grads`.
    ///
    /// `learning_rate` gives the rate for a parameter's path (the names of the fields that lead to it, joined by
    /// dots). A parameter without gradient stays as it is, its memory and its count of steps included. Identity and
    /// gradient tracking of the parameters are kept; buffers that nobody else holds are updated in place.
    pub fn step<M: Module>(&mut self, learning_rate: impl Fn(&str) -> f64, module: M, grads: GradientsParams) -> M {
        module.map(&mut Update { adam: self, learning_rate, grads, path: Vec::new() })
    }

    /// The whole memory, sorted by path: what [`restore`](Self::restore) needs to go on bit by bit.
    pub fn state(&self) -> Vec<AdamState> {
        let values = |tensor: &Tensor<1>| tensor.to_data().iter::<f32>().collect();
        (self.moments.iter())
            .map(|(path, moments)| AdamState {
                path: path.clone(),
                shape: moments.shape.clone(),
                steps: moments.steps,
                first: values(&moments.first),
                second: values(&moments.second),
            })
            .collect()
    }

    /// Replaces the memory by a saved one for the parameters of `module`.
    ///
    /// # Errors
    /// If a saved parameter is not in the module or has another shape there; the old memory then stays.
    pub fn restore<M: Module>(&mut self, states: Vec<AdamState>, module: &M) -> Result<()> {
        let mut restore = Restore { states: BTreeMap::new(), moments: BTreeMap::new(), path: Vec::new(), error: None };
        restore.states.extend(states.into_iter().map(|state| (state.path.clone(), state)));
        module.visit(&mut restore);
        if let Some(error) = restore.error {
            return Err(error);
        }
        if let Some(path) = restore.states.keys().next() {
            return Err(Error::invalid("optimiser state", format!("`{path}`"), "only parameters of the model")
                .with_hint("the checkpoint belongs to another model; use the configuration stored beside it"));
        }
        self.moments = restore.moments;
        Ok(())
    }

    fn update<const D: usize>(&mut self, path: String, rate: f64, value: Tensor<D>, grad: Tensor<D>) -> Tensor<D> {
        let shape = value.dims();
        let count = shape.iter().product::<usize>();
        let mut moments = self.moments.remove(&path).unwrap_or_else(|| Moments {
            shape: shape.to_vec(),
            steps: 0,
            first: Tensor::zeros([count], &value.device()),
            second: Tensor::zeros([count], &value.device()),
        });
        assert_eq!(moments.shape, shape, "{path}: the shape of a parameter changed between steps");
        moments.steps += 1;
        let AdamConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let correction = |beta: f64| 1.0 - beta.powf(moments.steps as f64);
        let size = rate / correction(beta1);
        let second_correction = 1.0 / correction(beta2).sqrt();
        let shrink = 1.0 - rate * weight_decay;
        let (value, first, second) = if is_host(&value) && is_host(&grad) && is_host(&moments.first) {
            let (mut value, grad) = (into_host(value), into_host(grad));
            let (mut first, mut second) = (into_host(moments.first), into_host(moments.second));
            let step = kernel::Step {
                first_rate: (1.0 - beta1) as f32,
                second_decay: beta2 as f32,
                second_correction: second_correction as f32,
                epsilon: epsilon as f32,
                size: size as f32,
                shrink: shrink as f32,
            };
            kernel::update(value.storage_mut(), first.storage_mut(), second.storage_mut(), grad.storage(), step);
            (from_host(value), from_host(first), from_host(second))
        } else {
            let grad = grad.reshape([count]);
            let first = moments.first.clone() + (grad.clone() - moments.first) * (1.0 - beta1);
            let second = moments.second * beta2 + grad.clone() * grad * (1.0 - beta2);
            let denominator = second.clone().sqrt() * second_correction + epsilon;
            let change: Tensor<D> = (first.clone() / denominator * size).reshape(shape);
            (value * shrink - change, first, second)
        };
        self.moments.insert(path, Moments { first, second, ..moments });
        value
    }
}

/// Walks over a module and updates each parameter that has a gradient.
struct Update<'a, F> {
    adam: &'a mut Adam,
    learning_rate: F,
    grads: GradientsParams,
    path: Vec<String>,
}

impl<F: Fn(&str) -> f64> ModuleMapper for Update<'_, F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(grad) = self.grads.remove::<D>(param.id) else { return param };
        let path = self.path.join(".");
        let rate = (self.learning_rate)(&path);
        let (id, value, mapper) = param.consume();
        let context = Tracking::of(&value);
        let value = self.adam.update(path, rate, value.inner(), grad.inner());
        Param::from_mapped_value(id, context.apply(value), mapper)
    }
}

/// How a parameter takes part in automatic differentiation.
pub(super) struct Tracking {
    checkpointing: Option<burn::tensor::GradientCheckpointingStrategy>,
    require_grad: bool,
}

impl Tracking {
    /// The tracking of `tensor`.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        Self { checkpointing: tensor.gradient_checkpointing_strategy(), require_grad: tensor.is_require_grad() }
    }

    /// A new value, outside any graph so far, with this tracking.
    pub fn apply<const D: usize>(self, value: Tensor<D>) -> Tensor<D> {
        match self.checkpointing {
            None => value,
            Some(strategy) => Tensor::from_inner(value)
                .with_gradient_checkpointing_strategy(strategy)
                .set_require_grad(self.require_grad),
        }
    }
}

/// Walks over a module and takes each parameter's saved memory.
struct Restore {
    states: BTreeMap<String, AdamState>,
    moments: BTreeMap<String, Moments>,
    path: Vec<String>,
    error: Option<Error>,
}

impl ModuleVisitor for Restore {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        let Some(state) = self.states.remove(&path) else { return };
        let expected = param.lazy_shape().to_vec();
        let count = expected.iter().product::<usize>();
        if state.shape != expected || state.first.len() != count || state.second.len() != count {
            let found = format!("shape {:?} with {} and {} values", state.shape, state.first.len(), state.second.len());
            let what = format!("optimiser state of `{path}`");
            self.error.get_or_insert(Error::invalid(what, found, format!("shape {expected:?}")));
            return;
        }
        let device = param.lazy_device().inner();
        let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [count]), &device);
        let (first, second) = (tensor(state.first), tensor(state.second));
        self.moments.insert(path, Moments { shape: expected, steps: state.steps, first, second });
    }
}
