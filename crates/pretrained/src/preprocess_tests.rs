//! Tests against transformers' image processors on Pillow (`reference/pretrained_inputs.py golden`).

use std::fs;
use std::path::Path;

use gxn_base::Kind;
use image::Rgb;
use serde_json::json;

use super::*;

/// The script's `synthetic`.
fn synthetic(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| {
            let noise = (x * 7919 + y * 104_729 + c * 1_299_709) % 251;
            let stripes = ((x / 5 + y / 3 + c) % 2) * 90;
            ((x * 3 + y * 2 + c * 40 + stripes + noise / 4) % 256) as u8
        }))
    })
}

fn processor(settings: &Value) -> Result<ImageProcessor> {
    let family = if settings["image_processor_type"] == "SiglipImageProcessor" { Family::Siglip } else { Family::Clip };
    ImageProcessor::from_json(settings, family, "preprocessor_config.json")
}

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inputs").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Each sampled value within one level of Pillow's, the mean within 0.05 levels.
#[test]
fn pixels_are_those_of_transformers() {
    let processors = golden("processors.json");
    let cases = golden("pixels.json");
    assert!(cases.as_array().unwrap().len() >= 60);
    for case in cases.as_array().unwrap() {
        let settings = &processors[case["processor"].as_str().unwrap()];
        let processor = processor(settings).unwrap();
        let [height, width] = processor.size();
        assert_eq!(json!([height, width]), case["shape"], "{case}");
        let side = |key: &str| case[key].as_u64().unwrap() as u32;
        let values = processor.apply(&synthetic(side("width"), side("height")));
        assert_eq!(values.len(), 3 * height * width);
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
        let level = f64::from((processor.values[255] - processor.values[0]) / 255.0);
        assert!((mean - case["mean"].as_f64().unwrap()).abs() < 0.05 * level, "mean {mean}, transformers {case}");
        // The grid of the script.
        let grid = |count: usize| [0, 1, 2, 3].map(|i| ((count - 1) * i) / 3);
        let mut want = case["grid"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
        for channel in 0..3 {
            for row in grid(height) {
                for column in grid(width) {
                    let (found, want) =
                        (f64::from(values[(channel * height + row) * width + column]), want.next().unwrap());
                    assert!(
                        (found - want).abs() < 1.1 * level,
                        "{found}, transformers {want} at {channel} {row} {column}: {case}"
                    );
                }
            }
        }
        assert_eq!(want.next(), None);
    }
}

/// Old and new forms of the same settings, and defaults in place of settings.
#[test]
fn forms_of_settings_that_mean_the_same() {
    let new = json!({"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, "resample": 3,
        "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": true, "do_convert_rgb": true,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]});
    let old = json!({"size": 224, "crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor"});
    let pair = json!({"size": 224, "crop_size": [224, 224]});
    let want = processor(&new).unwrap();
    for other in [old, pair, json!({})] {
        assert_eq!(processor(&other).unwrap(), want, "{other}");
    }
    let siglip = json!({"image_processor_type": "SiglipImageProcessorFast"});
    let vit = json!({"image_processor_type": "ViTImageProcessor", "size": 224, "resample": 3});
    assert_eq!(processor(&siglip).unwrap(), processor(&vit).unwrap());
    let half = json!({"image_processor_type": "ViTImageProcessor", "image_mean": 0.5, "image_std": 0.5, "resample": 3});
    assert_eq!(processor(&siglip).unwrap(), processor(&half).unwrap());
}

/// Black is −mean / std and white (1 − mean) / std; the planes are red, green, blue.
#[test]
fn levels_and_planes() {
    let settings = json!({"image_processor_type": "SiglipImageProcessor", "size": {"height": 2, "width": 3},
        "image_mean": [0.25, 0.5, 0.75], "image_std": [0.5, 0.25, 1.0]});
    let processor = processor(&settings).unwrap();
    assert_eq!(processor.size(), [2, 3]);
    let values = processor.apply(&RgbImage::from_pixel(9, 9, Rgb([255, 0, 255])));
    assert_eq!(values, [[1.5; 6], [-2.0; 6], [0.25; 6]].concat());
    assert_eq!(processor.apply(&RgbImage::new(0, 4)), [[-0.5; 6], [-2.0; 6], [-0.75; 6]].concat());
}

#[test]
fn settings_that_are_wrong_or_not_done_here_are_refused() {
    let cases = [
        (json!({"size": {"height": 0, "width": 224}, "do_center_crop": false}), Kind::Invalid, "size"),
        (json!({"size": "224"}), Kind::Invalid, "size"),
        (json!({"crop_size": 100_000}), Kind::Invalid, "from 1 to 4096"),
        (json!({"size": {"shortest_edge": 224}, "do_center_crop": false}), Kind::Unsupported, "keep their shape"),
        (json!({"do_resize": false, "do_center_crop": false}), Kind::Unsupported, "keep their shape"),
        (json!({"size": {"shortest_edge": 224, "longest_edge": 500}}), Kind::Unsupported, "longest_edge"),
        (json!({"resample": 5}), Kind::Invalid, "resample"),
        (json!({"do_resize": "yes"}), Kind::Invalid, "do_resize"),
        (json!({"image_mean": [0.5, 0.5]}), Kind::Invalid, "three numbers"),
        (json!({"image_std": [0.5, 0.0, 0.5]}), Kind::Invalid, "above 0"),
        (json!({"rescale_factor": "1/255"}), Kind::Invalid, "rescale_factor"),
    ];
    for (settings, kind, words) in cases {
        let error = processor(&settings).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Newer folders hold these settings inside processor_config.json.
#[test]
fn the_file_may_have_another_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), r#"{"model_type": "clip"}"#).unwrap();
    let read = || ImageProcessor::read(&EncoderFolder::open(folder.path()).unwrap());
    let error = read().unwrap_err();
    assert_eq!((error.kind(), error.found()), (Kind::NotFound, Some("no preprocessor_config.json")));
    fs::write(folder.path().join("processor_config.json"), r#"{"image_processor": {"size": 99, "crop_size": 99}}"#)
        .unwrap();
    assert_eq!(read().unwrap().size(), [99, 99]);
    fs::write(folder.path().join("preprocessor_config.json"), r#"{"crop_size": 98}"#).unwrap();
    assert_eq!(read().unwrap().size(), [98, 98]);
    fs::write(folder.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    assert_eq!(read().unwrap_err().kind(), Kind::Unsupported);
}

/// Resized whole, each of these would have 30 GB; only its middle is made.
#[test]
fn a_ribbon_costs_no_more_than_its_middle() {
    let processor = processor(&json!({})).unwrap();
    for (width, height) in [(1, 200_000), (200_000, 1)] {
        let middle =
            RgbImage::from_fn(width, height, |x, y| if x + y == 100_000 { Rgb([255; 3]) } else { Rgb([0; 3]) });
        let values = processor.apply(&middle);
        assert_eq!(values.len(), 3 * 224 * 224);
        let [dark, bright] = [processor.values[0], processor.values[255]];
        assert!(values.iter().any(|&value| value > dark + 0.9 * (bright - dark)), "{width} × {height}");
    }
}
