//! One pass over parameter, gradient and both moments.

use crate::multiversion::{multiply_add, vectorised};
use rayon::prelude::*;

/// Values of one task.
const CHUNK: usize = 1 << 15;

/// The numbers of one step that do not depend on the element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// 1 − β₁.
    pub first_rate: f32,
    /// β₂.
    pub second_decay: f32,
    /// 1 / √(1 − β₂^k).
    pub second_correction: f32,
    /// ε.
    pub epsilon: f32,
    /// Learning rate / (1 − β₁^k).
    pub size: f32,
    /// 1 − learning rate · weight decay.
    pub shrink: f32,
}

/// Updates `values`, `first` and `second` in place.
pub(super) fn update(values: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32], step: Step) {
    (values.par_chunks_mut(CHUNK), first.par_chunks_mut(CHUNK), second.par_chunks_mut(CHUNK), grad.par_chunks(CHUNK))
        .into_par_iter()
        .for_each(|(values, first, second, grad)| update_chunk(values, first, second, grad, step));
}

vectorised! {
    fn update_chunk(values: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32], step: Step) {
        let count = values.len();
        let (first, second, grad) = (&mut first[..count], &mut second[..count], &grad[..count]);
        for k in 0..count {
            let g = grad[k];
            let m = multiply_add::<FMA>(step.first_rate, g - first[k], first[k]);
            let v = multiply_add::<FMA>(step.second_decay, second[k], (1.0 - step.second_decay) * g * g);
            first[k] = m;
            second[k] = v;
            let denominator = multiply_add::<FMA>(v.sqrt(), step.second_correction, step.epsilon);
            values[k] = values[k] * step.shrink - step.size * (m / denominator);
        }
    }
}
