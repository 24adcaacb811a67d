//! [`FrozenSteps`]: frozen blocks, packed once for the same weights.

use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::block::Block;
use super::extension::{HostTensor, host};
use super::step::Step;

/// The frozen blocks of the last forward pass in the form of their kernels; clones of a backbone share them.
#[derive(Debug, Clone, Default)]
pub(super) struct FrozenSteps(Arc<Mutex<Packed>>);

/// Steps, and the tensors that they were packed from. While these are held, nobody writes to their memory, and no other
/// tensor gets it.
#[derive(Debug, Default)]
struct Packed {
    sources: Vec<HostTensor>,
    steps: Arc<Vec<Step>>,
}

impl FrozenSteps {
    /// The steps of `blocks`, whose weights lie in host memory.
    pub(super) fn of(&self, blocks: &[Block]) -> Arc<Vec<Step>> {
        let sources = sources(blocks);
        let mut packed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |tensor: &HostTensor| (tensor.bytes().as_ptr(), tensor.layout().clone());
        if packed.steps.len() != blocks.len() || !packed.sources.iter().map(place).eq(sources.iter().map(place)) {
            *packed = Packed { sources, steps: Arc::new(Step::pack_all(blocks)) };
        }
        Arc::clone(&packed.steps)
    }
}

/// Weights, scales, biases and statistics.
fn sources(blocks: &[Block]) -> Vec<HostTensor> {
    struct Sources(Vec<HostTensor>);
    impl ModuleVisitor for Sources {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(host(param.val()));
        }
    }
    let mut sources = Sources(Vec::new());
    blocks.iter().for_each(|block| block.visit(&mut sources));
    sources.0
}
