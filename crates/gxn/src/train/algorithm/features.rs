//! The CNN's features of a batch: computed again after every update, as in the paper, or once for all of them.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::Step;
use crate::config::Update;
use crate::look::Phase;
use crate::train::trainer::Trainer;
use gxn_base::Result;

/// Features that all updates of a batch share.
#[derive(Debug, Clone)]
pub(super) struct SharedFeatures {
    /// As the CNN computed them, `[B, F]`, with their graph.
    features: Tensor<2>,
    /// The sum of what the updates' losses send back to them, `[B, F]`.
    gradient: Option<Tensor<2>>,
}

impl SharedFeatures {
    /// Features as the CNN computed them, `[B, F]`, before the first update.
    pub(super) fn new(features: Tensor<2>) -> Self {
        Self { features, gradient: None }
    }

    /// Takes out the sum so far.
    #[cfg(test)]
    pub(super) fn take_gradient(&mut self) -> Option<Vec<f32>> {
        self.gradient.take().map(|gradient| gradient.to_data().iter().collect())
    }
}

impl Trainer {
    /// CNN features of a batch's images, `[B, F]`. A CNN that is trained computes them again after every update, unless the updates
    /// share them (`look.encode_once`): then they are a leaf of each update's graph.
    pub(super) fn features(&self, step: &mut Step, seed: u64) -> Result<Tensor<2>> {
        let batch = step.batch;
        let encode = |seed| {
            let device = self.device.clone().autodiff();
            self.data.features.step_features(&self.model, &batch.images, Phase::Train { seed }, &device)
        };
        // Match alone has nobody to share with.
        let look = &self.config.look;
        let shares = look.finetune && look.encode_once && self.updates().contains(&Update::Caption);
        if shares && step.shared.is_none() {
            step.shared = Some(SharedFeatures::new(encode(step.seed)?));
        }
        match &step.shared {
            Some(shared) => Ok(shared.features.clone().detach().require_grad()),
            None => encode(seed),
        }
    }

    /// Adds what a loss sends back to the shared features, `weight` times, and clipped as the rest of its gradient, whose norm was
    /// `norm`.
    pub(super) fn share_gradient(&self, step: &mut Step, gradient: Option<Tensor<2>>, norm: f64, weight: f64) {
        let (Some(shared), Some(gradient)) = (&mut step.shared, gradient) else { return };
        let limit = self.config.train.grad_clip;
        let clipped = if limit > 0.0 && norm > limit { limit / norm } else { 1.0 };
        let gradient = gradient * (weight * clipped);
        shared.gradient = Some(match shared.gradient.take() {
            Some(sum) => sum + gradient,
            None => gradient,
        });
    }

    /// One step of the CNN along the sum of the gradients at the features that the updates shared. It is Match's optimiser that moves it.
    pub(super) fn update_backbone(&mut self, step: &mut Step) -> Result<()> {
        let Some(SharedFeatures { features, gradient: Some(gradient) }) = step.shared.take() else { return Ok(()) };
        // Its gradient at the weights is that of all losses.
        let loss = (features * Tensor::from_inner(gradient)).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &*self.model);
        let (gradients, _) = self.clipped(Update::Match, "gradient of the CNN", gradients)?;
        self.apply(Update::Match, gradients, self.rates("", step.rate, step.rate));
        Ok(())
    }
}
