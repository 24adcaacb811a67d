//! Features of a frozen EfficientNet-Lite2, one image on each core, as a feature store computes them; and backbones that
//! are trained.

use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use gxn::look::backbone::{Backbone, BackboneKind, Inference};
use gxn_data::{ImageLimits, View, decode_image};
use rayon::prelude::*;

const KIND: BackboneKind = BackboneKind::EfficientNetLite2;

fn inference() -> Inference {
    Inference::new(&Backbone::random(KIND, &Device::flex(), 1))
}

/// The files of the folder that `benches/peers.py` filled.
fn images() -> Vec<Vec<u8>> {
    let folder = std::env::var("GXN_BENCH_IMAGES").unwrap_or_else(|_| {
        eprintln!("error: found no folder of JPEG files, expected its path in GXN_BENCH_IMAGES");
        std::process::exit(2);
    });
    let entries = std::fs::read_dir(&folder).expect("the folder can be read");
    entries
        .map(|entry| std::fs::read(entry.expect("the folder can be read").path()).expect("the image can be read"))
        .collect()
}

fn input(bytes: &[u8]) -> Vec<f32> {
    let image = decode_image(bytes, "an image", &ImageLimits::default()).expect("a sound JPEG");
    KIND.preprocess().apply(&image, View::FULL)
}

fn feature(inference: &Inference, input: &[f32]) -> Vec<f32> {
    inference.feature(input).expect("a square image")
}

/// From the bytes of JPEG files.
pub fn from_jpeg(repetitions: usize) -> Vec<[f64; 2]> {
    let (inference, images) = (inference(), images());
    crate::time(repetitions, || {
        let each = images.par_iter().with_max_len(1);
        let features: Vec<_> = each.map(|bytes| feature(&inference, &input(bytes))).collect();
        assert_eq!(features.len(), images.len());
    })
}

/// From images that are decoded and resized already.
pub fn network_only(repetitions: usize) -> Vec<[f64; 2]> {
    let inference = inference();
    let inputs: Vec<_> = images().iter().map(|bytes| input(bytes)).collect();
    crate::time(repetitions, || {
        let features: Vec<_> = inputs.par_iter().with_max_len(1).map(|input| feature(&inference, input)).collect();
        assert_eq!(features.len(), inputs.len());
    })
}

/// Images of a step that trains a backbone.
const TRAINED: usize = 32;

/// Features of 32 random images and the gradients of all weights.
pub fn trained(kind: BackboneKind, repetitions: usize) -> Vec<[f64; 2]> {
    let device = crate::device().autodiff();
    let backbone = Backbone::random(kind, &device, 1);
    let side = kind.preprocess().side_px as usize;
    let images = Tensor::random([TRAINED, 3, side, side], Distribution::Normal(0.0, 1.0), &device);
    crate::time(repetitions, || {
        let gradients = backbone.forward(images.clone()).square().mean().backward();
        assert!(GradientsParams::from_grads(gradients, &backbone).len() > 10);
    })
}
