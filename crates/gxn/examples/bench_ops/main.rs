//! Times the fused operations, training steps and feature extraction; `benches/peers.py` runs it beside PyTorch.
//!
//!     bench_ops WORKLOAD [REPETITIONS]
//!
//! prints one JSON line: for each repetition the time that passed and the time that all threads together computed, in
//! milliseconds, and the peak memory of the process. On a busy machine only the computed time means anything.
//! Threads: as many as `RAYON_NUM_THREADS` says. `GXN_DEVICE` names another device than the CPU, whose work then is all done
//! when a repetition ends.

mod features;
mod gan;
mod training;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use gxn::device::DeviceChoice;
use gxn::look::Init;
use gxn::look::backbone::BackboneKind;
use gxn::look::gru::Gru;
use gxn_ops::adam::{Adam, AdamConfig};
use gxn_ops::dropout::dropout;
use gxn_ops::gradient::clip_global_norm;
use gxn_ops::gru::Direction;
use gxn_ops::moving_average::ema_update;
use gxn_ops::order_similarity::order_similarity;
use std::time::Instant;

/// Times of some repetitions, passed and computed.
type Workload = fn(usize) -> Vec<[f64; 2]>;

const WORKLOADS: [(&str, Workload); 17] = [
    ("bigru_forward", bigru_forward),
    ("bigru_forward_backward", |repetitions| bigru_forward_backward(repetitions, &[TIME; BATCH])),
    ("bigru_ragged_forward_backward", |repetitions| bigru_forward_backward(repetitions, &ragged_lengths())),
    ("order_forward_backward", order_forward_backward),
    ("adam_21m", adam),
    ("clip_21m", clip),
    ("ema_21m", moving_average),
    ("dropout_1m", mask),
    ("step_paper", |repetitions| training::step("flickr8k", repetitions)),
    ("step_best", |repetitions| training::step("flickr8k-best", repetitions)),
    ("step_gan", |repetitions| gan::step(48, 24, repetitions)),
    ("step_gan_large", |repetitions| gan::step(128, 64, repetitions)),
    ("features_jpeg", features::from_jpeg),
    ("features_network", features::network_only),
    ("train_lite2", |repetitions| features::trained(BackboneKind::EfficientNetLite2, repetitions)),
    ("train_resnet50", |repetitions| features::trained(BackboneKind::ResNet50, repetitions)),
    ("nothing", |_| vec![[0.0; 2]]),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().unwrap_or_default();
    let repetitions = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(10);
    let Some((_, run)) = WORKLOADS.iter().find(|(name, _)| *name == workload) else {
        let names = WORKLOADS.map(|(name, _)| name);
        eprintln!("error: found workload `{workload}`, expected one of {}", names.join(", "));
        std::process::exit(2);
    };
    let times = run(repetitions);
    let [milliseconds, cpu_milliseconds] = [0, 1].map(|k| times.iter().map(|time| time[k]).collect::<Vec<_>>());
    let line = serde_json::json!({
        "workload": workload,
        "milliseconds": milliseconds,
        "cpu_milliseconds": cpu_milliseconds,
        "peak_mib": peak_mib(),
    });
    println!("{line}");
}

/// The device that `GXN_DEVICE` names, else the CPU.
fn device() -> Device {
    let choice = std::env::var("GXN_DEVICE").map_or(Ok(DeviceChoice::CPU), |named| named.parse());
    choice.and_then(DeviceChoice::open).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(2);
    })
}

/// Passed and computed time of each call after two calls to warm up.
fn time(repetitions: usize, mut call: impl FnMut()) -> Vec<[f64; 2]> {
    let device = device();
    let wait = || device.sync().expect("the device works");
    (0..repetitions + 2)
        .map(|_| {
            wait();
            let (start, computed) = (Instant::now(), computed_milliseconds());
            call();
            wait();
            [start.elapsed().as_secs_f64() * 1e3, computed_milliseconds() - computed]
        })
        .skip(2)
        .collect()
}

/// What all threads have computed so far; 0 where the system does not tell it.
fn computed_milliseconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let statistics = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e6
}

/// The largest resident size so far, where the system tells it.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

const BATCH: usize = 128;
const TIME: usize = 15;
const WIDTH: usize = 300;
const HIDDEN: usize = 1024;

/// 5 to 15 tokens, evenly spread.
fn ragged_lengths() -> Vec<usize> {
    (0..BATCH).map(|k| 5 + k % 11).collect()
}

#[derive(Module, Debug)]
struct BiGru {
    forward: Gru,
    reverse: Gru,
}

impl BiGru {
    fn new(device: &Device) -> Self {
        let init = Init::new(1, device);
        let gru = |name: &str| Gru::new(&init, name, WIDTH, HIDDEN);
        Self { forward: gru("forward"), reverse: gru("reverse") }
    }

    fn run(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
        let forward = self.forward.forward(x.clone(), lengths, Direction::Forward);
        Tensor::cat(vec![forward, self.reverse.forward(x, lengths, Direction::Reverse)], 2) // [B, T, 2H]
    }
}

fn words(device: &Device) -> Tensor<3> {
    Tensor::random([BATCH, TIME, WIDTH], Distribution::Normal(0.0, 1.0), device)
}

fn bigru_forward(repetitions: usize) -> Vec<[f64; 2]> {
    let device = device();
    let (net, x) = (BiGru::new(&device), words(&device));
    time(repetitions, || {
        let _ = net.run(x.clone(), &[TIME; BATCH]);
    })
}

fn bigru_forward_backward(repetitions: usize, lengths: &[usize]) -> Vec<[f64; 2]> {
    let device = device().autodiff();
    let (net, x) = (BiGru::new(&device), words(&device));
    time(repetitions, || {
        let x = x.clone().require_grad();
        let grads = net.run(x.clone(), lengths).square().mean().backward();
        assert!(x.grad(&grads).is_some());
        assert_eq!(GradientsParams::from_grads(grads, &net).len(), 8);
    })
}

fn order_forward_backward(repetitions: usize) -> Vec<[f64; 2]> {
    let device = device().autodiff();
    let embeddings = || Tensor::<2>::random([128, 1024], Distribution::Normal(0.0, 1.0), &device);
    let (images, captions) = (embeddings(), embeddings());
    time(repetitions, || {
        let (images, captions) = (images.clone().require_grad(), captions.clone().require_grad());
        let scores = order_similarity(images.clone(), captions.clone());
        let grads = scores.mean().backward();
        assert!(images.grad(&grads).is_some() && captions.grad(&grads).is_some());
    })
}

/// Five matrices of 2048 x 2048: 21 million parameters.
#[derive(Module, Debug)]
struct Large {
    matrices: Vec<Param<Tensor<2>>>,
}

impl Large {
    fn new(device: &Device) -> Self {
        let matrix = || Tensor::random([2048, 2048], Distribution::Normal(0.0, 1.0), device);
        Self { matrices: (0..5).map(|_| Param::from_tensor(matrix())).collect() }
    }

    fn grads(&self) -> GradientsParams {
        let mut grads = GradientsParams::new();
        for matrix in &self.matrices {
            grads.register(matrix.id, Tensor::<2>::random([2048, 2048], Distribution::Normal(0.0, 1.0), &device()));
        }
        grads
    }

    /// The same gradients once more; nothing is copied.
    fn share(&self, grads: &GradientsParams) -> GradientsParams {
        let mut shared = GradientsParams::new();
        for matrix in &self.matrices {
            shared.register(matrix.id, grads.get::<2>(matrix.id).expect("every matrix has a gradient"));
        }
        shared
    }
}

fn adam(repetitions: usize) -> Vec<[f64; 2]> {
    let mut net = Some(Large::new(&device().autodiff()));
    let grads = net.as_ref().map(Large::grads).expect("set between steps");
    let mut adam = Adam::new(AdamConfig::default());
    time(repetitions, || {
        let old = net.take().expect("set between steps");
        let grads = old.share(&grads);
        net = Some(adam.step(|_| 1e-4, old, grads));
    })
}

fn clip(repetitions: usize) -> Vec<[f64; 2]> {
    let net = Large::new(&device().autodiff());
    let mut grads = Some(net.grads());
    let mut bound = 1.0;
    time(repetitions, || {
        // Always below the norm that the last call left, so that each call has to scale.
        bound *= 0.5;
        let (clipped, norm) = clip_global_norm(&net, grads.take().expect("set between steps"), bound);
        assert!(norm > bound);
        grads = Some(clipped);
    })
}

fn moving_average(repetitions: usize) -> Vec<[f64; 2]> {
    let net = Large::new(&device().autodiff());
    let mut average = Some(Large::new(&device()));
    time(repetitions, || average = Some(ema_update(average.take().expect("set between steps"), &net, 0.999)))
}

fn mask(repetitions: usize) -> Vec<[f64; 2]> {
    let x = Tensor::<2>::ones([1024, 1024], &device());
    let mut seed = 0;
    time(repetitions, || {
        seed += 1;
        let _ = dropout(x.clone(), 0.5, seed);
    })
}
