//! A generator step and a discriminator step of the text-to-image networks; `benches/peers_gan.py` has the same.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::{softplus, tanh};
use burn::tensor::{Device, Distribution, Tensor};
use gxn::ops::adam::{Adam, AdamConfig};
use gxn::ops::batch_norm::{Activation, activate, batch_norm};
use gxn::ops::conv::{conv2d, upsampled_conv3x3};

const BATCH: usize = 64;
const NOISE: usize = 100;
const CONDITION: usize = 128;
const RATE: f64 = 2e-4;
const LEAKY: Activation = Activation::LeakyRelu(0.2);

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn weight<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(normal(shape, device) * 0.02)
}

#[derive(Module, Debug)]
struct Norm {
    scale: Param<Tensor<1>>,
    shift: Param<Tensor<1>>,
}

impl Norm {
    fn new(channels: usize, device: &Device) -> Self {
        Self {
            scale: Param::from_tensor(Tensor::ones([channels], device)),
            shift: Param::from_tensor(Tensor::zeros([channels], device)),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>, activation: Activation) -> Tensor<D> {
        batch_norm(x, self.scale.val(), self.shift.val(), activation, 1e-5).0
    }
}

/// A linear map to 4×4, four upsampled convolutions to 64×64, and one to colours.
#[derive(Module, Debug)]
struct Generator {
    start: Param<Tensor<2>>,
    start_norm: Norm,
    weights: Vec<Param<Tensor<4>>>,
    norms: Vec<Norm>,
    colours: Param<Tensor<4>>,
}

impl Generator {
    fn new(gf: usize, device: &Device) -> Self {
        let widths: Vec<usize> = (0..5).map(|level| (8 * gf) >> level).collect();
        Self {
            start: weight([NOISE + CONDITION, widths[0] * 16], device),
            start_norm: Norm::new(widths[0] * 16, device),
            weights: widths.windows(2).map(|pair| weight([pair[1], pair[0], 3, 3], device)).collect(),
            norms: widths[1..].iter().map(|&width| Norm::new(width, device)).collect(),
            colours: weight([3, widths[4], 3, 3], device),
        }
    }

    fn forward(&self, noise: Tensor<2>, condition: Tensor<2>) -> Tensor<4> {
        let x = Tensor::cat(vec![noise, condition], 1).matmul(self.start.val()); // [B, 16 G0]
        let [batch, width] = x.dims();
        let mut x = self.start_norm.forward(x, Activation::Relu).reshape([batch, width / 16, 4, 4]);
        for (weight, norm) in self.weights.iter().zip(&self.norms) {
            x = norm.forward(upsampled_conv3x3(x, weight.val()), Activation::Relu);
        }
        tanh(conv2d(x, self.colours.val(), None, 1, 1))
    }
}

/// Four halving convolutions to 4×4, one that also sees the condition, and one to a logit.
#[derive(Module, Debug)]
struct Discriminator {
    weights: Vec<Param<Tensor<4>>>,
    norms: Vec<Norm>,
    joint: Param<Tensor<4>>,
    joint_norm: Norm,
    logit: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Discriminator {
    fn new(df: usize, device: &Device) -> Self {
        let widths = [3, df, 2 * df, 4 * df, 8 * df];
        Self {
            weights: widths.windows(2).map(|pair| weight([pair[1], pair[0], 4, 4], device)).collect(),
            norms: widths[2..].iter().map(|&width| Norm::new(width, device)).collect(),
            joint: weight([8 * df, 8 * df + CONDITION, 3, 3], device),
            joint_norm: Norm::new(8 * df, device),
            logit: weight([1, 8 * df, 4, 4], device),
            bias: Param::from_tensor(Tensor::zeros([1], device)),
        }
    }

    fn features(&self, images: Tensor<4>) -> Tensor<4> {
        let mut x = activate(conv2d(images, self.weights[0].val(), None, 2, 1), LEAKY);
        for (weight, norm) in self.weights[1..].iter().zip(&self.norms) {
            x = norm.forward(conv2d(x, weight.val(), None, 2, 1), LEAKY);
        }
        x
    }

    fn judge(&self, features: Tensor<4>, condition: Tensor<2>) -> Tensor<1> {
        let batch = condition.dims()[0];
        let condition = condition.reshape([batch, CONDITION, 1, 1]).expand([batch, CONDITION, 4, 4]);
        let x = conv2d(Tensor::cat(vec![features, condition], 1), self.joint.val(), None, 1, 1);
        let x = self.joint_norm.forward(x, LEAKY);
        conv2d(x, self.logit.val(), Some(self.bias.val()), 4, 0).reshape([batch])
    }
}

/// One picture generated, a discriminator step on it, the real ones and a mismatch, then a generator step.
pub fn step(gf: usize, df: usize, repetitions: usize) -> Vec<[f64; 2]> {
    let device = Device::flex().autodiff();
    let mut generator = Some(Generator::new(gf, &device));
    let mut discriminator = Some(Discriminator::new(df, &device));
    let config = AdamConfig { beta1: 0.5, ..AdamConfig::default() };
    let (mut generator_adam, mut discriminator_adam) = (Adam::new(config), Adam::new(config));
    let real = Tensor::<4>::random([BATCH, 3, 64, 64], Distribution::Uniform(-1.0, 1.0), &device);
    let (condition, other) = (normal([BATCH, CONDITION], &device), normal([BATCH, CONDITION], &device));
    crate::time(repetitions, || {
        let (g, d) = (generator.take().unwrap(), discriminator.take().unwrap());
        let fake = g.forward(normal([BATCH, NOISE], &device), condition.clone());

        let real_features = d.features(real.clone());
        let is_real = d.judge(real_features.clone(), condition.clone());
        let is_wrong = d.judge(real_features, other.clone());
        let is_fake = d.judge(d.features(fake.clone().detach()), condition.clone());
        let loss =
            softplus(-is_real, 1.0).mean() + (softplus(is_wrong, 1.0).mean() + softplus(is_fake, 1.0).mean()) * 0.5;
        let gradients = GradientsParams::from_grads(loss.backward(), &d);
        let d = discriminator_adam.step(|_| RATE, d, gradients);

        let judge = d.valid();
        let loss = softplus(-judge.judge(judge.features(fake), condition.clone()), 1.0).mean();
        let gradients = GradientsParams::from_grads(loss.clone().backward(), &g);
        drop(judge);
        generator = Some(generator_adam.step(|_| RATE, g, gradients));
        discriminator = Some(d);
        assert!(loss.into_scalar::<f32>().is_finite());
    })
}
