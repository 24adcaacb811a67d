//! Exponential moving average of a module's parameters.

use super::adam::Tracking;
use super::multiversion::{multiply_add, vectorised};
use super::{from_host, into_host, is_host};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::collections::HashMap;

/// Values of one task.
const CHUNK: usize = 1 << 15;

/// `average` moved towards `model`: every parameter becomes decay · average + (1 − decay) · model.
///
/// Parameters are matched by path; one that `model` lacks or holds in another size stays as it is. Identity and
/// gradient tracking of the average's parameters are kept, and buffers that nobody else holds are updated in place.
pub fn ema_update<M: Module>(average: M, model: &M, decay: f64) -> M {
    let mut collect = Collect { path: Vec::new(), values: HashMap::new() };
    model.visit(&mut collect);
    average.map(&mut Blend { path: Vec::new(), values: collect.values, rate: 1.0 - decay })
}

/// Collects all parameters of a module, flattened; nothing is copied.
struct Collect {
    path: Vec<String>,
    values: HashMap<String, Tensor<1>>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.insert(self.path.join("."), param.val().inner().flatten(0, D - 1));
    }
}

/// Moves each parameter towards the collected one.
struct Blend {
    path: Vec<String>,
    values: HashMap<String, Tensor<1>>,
    rate: f64,
}

impl ModuleMapper for Blend {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(target) = self.values.remove(&self.path.join(".")) else { return param };
        let (id, value, mapper) = param.consume();
        let context = Tracking::of(&value);
        let value = value.inner();
        let shape = value.dims();
        let value = if target.dims() != [shape.iter().product::<usize>()] {
            value
        } else if is_host(&value) && is_host(&target) {
            let (mut value, target) = (into_host(value), into_host(target));
            let rate = self.rate as f32;
            (value.storage_mut::<f32>().par_chunks_mut(CHUNK))
                .zip(target.storage::<f32>().par_chunks(CHUNK))
                .for_each(|(average, target)| blend(average, target, rate));
            from_host(value)
        } else {
            let target: Tensor<D> = target.reshape(shape);
            value.clone() + (target - value) * self.rate
        };
        Param::from_mapped_value(id, context.apply(value), mapper)
    }
}

vectorised! {
    fn blend(average: &mut [f32], target: &[f32], rate: f32) {
        for (average, target) in average.iter_mut().zip(target) {
            *average = multiply_add::<FMA>(rate, target - *average, *average);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[derive(Module, Debug)]
    struct Net {
        a: Param<Tensor<1>>,
        b: Param<Tensor<2>>,
    }

    fn net(a: [f32; 2], b: [[f32; 2]; 1]) -> Net {
        let device = Device::flex().autodiff();
        Net { a: Param::from_data(a, &device), b: Param::from_data(b, &device) }
    }

    /// 0.75 · (0, 8) + 0.25 · (4, 0) = (1, 6).
    #[test]
    fn worked_numbers() {
        let (average, model) = (net([0.0, 8.0], [[1.0, 1.0]]).valid(), net([4.0, 0.0], [[5.0, 1.0]]));
        let ids = [average.a.id, average.b.id];
        let average = ema_update(average, &model, 0.75);
        average.a.val().into_data().assert_eq(&TensorData::from([1.0f32, 6.0]), true);
        average.b.val().into_data().assert_eq(&TensorData::from([[2.0f32, 1.0]]), true);
        assert_eq!(ids, [average.a.id, average.b.id]);
        assert!(!average.a.val().is_autodiff());
        model.a.val().into_data().assert_eq(&TensorData::from([4.0f32, 0.0]), true);
    }

    /// An average that began as a clone shares its buffers with the model, which must not change.
    #[test]
    fn a_clone_leaves_the_model_alone() {
        let model = net([1.0, 2.0], [[3.0, 4.0]]);
        let target = net([3.0, 2.0], [[3.0, 0.0]]);
        let average = ema_update(model.clone(), &target, 0.5);
        average.a.val().into_data().assert_eq(&TensorData::from([2.0f32, 2.0]), true);
        model.a.val().into_data().assert_eq(&TensorData::from([1.0f32, 2.0]), true);
        assert!(average.b.val().is_require_grad());
    }
}
