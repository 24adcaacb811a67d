//! Tests of [`super::Preprocess`] against Pillow and torchvision (`reference/data_images.py`).

use std::path::Path;

use image::Rgb;
use proptest::prelude::*;

use super::*;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data").join(name)).unwrap()
}

/// Leaves 0..=255 as it is.
fn plain(side_px: u32, resize: ResizeRule, filter: ResizeFilter) -> Preprocess {
    Preprocess { side_px, resize, filter, mean: [0.0; 3], std: [1.0; 3] }
}

/// Every sampled pixel within 1 of Pillow's 8-bit result (2 for the box, whose border is handled otherwise), the mean
/// within 0.1.
#[test]
fn equals_pillow_and_torchvision() {
    let image = image::load_from_memory(&golden("rgb.png")).unwrap().into_rgb8();
    let golden: serde_json::Value = serde_json::from_slice(&golden("preprocess.json")).unwrap();
    for case in golden["resize"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let side = case["side"].as_u64().unwrap() as u32;
        let rule = match case["shorter"].as_u64() {
            Some(shorter) => ResizeRule::ShorterThenCentre { shorter_px: shorter as u32 },
            None => ResizeRule::Stretch,
        };
        let filter = if case["filter"] == "bicubic" { ResizeFilter::Bicubic } else { ResizeFilter::Bilinear };
        let mut view = View::FULL;
        if let Some(edges) = case["box"].as_array() {
            view.crop = [0, 1, 2, 3].map(|at| edges[at].as_f64().unwrap() as f32);
        }
        let got = plain(side, rule, filter).apply(&image, view);
        let side = side as usize;
        assert_eq!(got.len(), 3 * side * side);
        let at: Vec<usize> = case["at"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
        let mut worst = 0.0f32;
        for channel in 0..3 {
            let plane = &got[channel * side * side..][..side * side];
            for (i, &y) in at.iter().enumerate() {
                for (j, &x) in at.iter().enumerate() {
                    let want = case["values"][i][j][channel].as_f64().unwrap() as f32;
                    worst = worst.max((plane[y * side + x] - want).abs());
                }
            }
            let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64;
            let want = case["mean"][channel].as_f64().unwrap();
            assert!((mean - want).abs() < 0.1, "{name}, channel {channel}: mean {mean}, Pillow {want}");
        }
        assert!(worst <= 1.0, "{name}: differs from Pillow by {worst}");
    }
}

/// Planes in the order red, green, blue; (x − mean) / std; a flip exchanges left and right.
#[test]
fn layout_normalisation_and_flip() {
    let mut image = RgbImage::new(2, 2);
    image.put_pixel(0, 0, Rgb([10, 20, 30]));
    image.put_pixel(1, 0, Rgb([40, 50, 60]));
    image.put_pixel(0, 1, Rgb([70, 80, 90]));
    image.put_pixel(1, 1, Rgb([100, 110, 120]));
    let rule = Preprocess {
        mean: [0.0, 10.0, 20.0],
        std: [1.0, 2.0, 10.0],
        ..plain(2, ResizeRule::Stretch, ResizeFilter::Bicubic)
    };
    assert_eq!(rule.apply(&image, View::FULL), [10.0, 40.0, 70.0, 100.0, 5.0, 20.0, 35.0, 50.0, 1.0, 4.0, 7.0, 10.0]);
    assert_eq!(
        rule.apply(&image, View { flip: true, ..View::FULL }),
        [40.0, 10.0, 100.0, 70.0, 20.0, 5.0, 50.0, 35.0, 4.0, 1.0, 10.0, 7.0]
    );
    // The right half alone, stretched: centres at 1.25 and 1.75 of columns centred at 0.5 and 1.5. With w(¼) = 0.8672,
    // w(¾) = 0.2266, w(1¼) = −0.0703: (0.8672·40 + 0.2266·10)/1.0938 = 33.8; (0.8672·40 − 0.0703·10)/0.7969 = 42.8.
    let right = rule.apply(&image, View { crop: [0.5, 0.0, 1.0, 1.0], flip: false });
    assert_eq!(right[..4], [34.0, 43.0, 94.0, 103.0]);
}

#[test]
fn published_settings() {
    let torchvision = Preprocess::imagenet_224();
    let grey = RgbImage::from_pixel(300, 400, Rgb([255, 0, 128]));
    let values = torchvision.apply(&grey, View::FULL);
    assert_eq!(values.len(), 3 * 224 * 224);
    // (1 − 0.485) / 0.229, (0 − 0.456) / 0.224, (128/255 − 0.406) / 0.225
    for (channel, want) in [2.248_908, -2.035_714, 0.426_536].into_iter().enumerate() {
        assert!((values[channel * 224 * 224 + 7] - want).abs() < 1e-4, "{channel}");
    }
    let lite = Preprocess::efficientnet_lite(260);
    assert_eq!(lite.resize, ResizeRule::ShorterThenCentre { shorter_px: 292 });
    let values = lite.apply(&grey, View::FULL);
    assert_eq!((values[0], values[260 * 260]), (1.0, -127.0 / 128.0));
    assert_eq!(lite.clone().with_resize(ResizeRule::Stretch).resize, ResizeRule::Stretch);
    let json = serde_json::to_string(&lite).unwrap();
    assert_eq!(serde_json::from_str::<Preprocess>(&json).unwrap(), lite);
    assert!(serde_json::from_str::<Preprocess>(&json.replace("mean", "means")).is_err());
}

/// A ribbon's centre is taken without building the whole enlarged ribbon.
#[test]
fn ribbons_are_cheap() {
    let mut ribbon = RgbImage::from_pixel(60_000, 2, Rgb([9, 9, 9]));
    for x in 29_990..30_010 {
        ribbon.put_pixel(x, 0, Rgb([200, 0, 0]));
        ribbon.put_pixel(x, 1, Rgb([200, 0, 0]));
    }
    let rule = plain(224, ResizeRule::ShorterThenCentre { shorter_px: 256 }, ResizeFilter::Bicubic);
    assert!(rule.apply(&ribbon, View::FULL)[..224 * 224].iter().all(|&red| red == 200.0));
}

proptest! {
    /// Any image and any box, however wrong, give `[3, S, S]` numbers within the image's range and a rim of ringing.
    #[test]
    fn any_view_is_survived(
        width in 1u32..40, height in 1u32..40, side in 1u32..20, more in 0u32..9,
        crop in any::<[f32; 4]>(), flip: bool, centre: bool, bicubic: bool,
    ) {
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 6) as u8, (y * 6) as u8, 77]));
        let rule = if centre { ResizeRule::ShorterThenCentre { shorter_px: side + more } } else { ResizeRule::Stretch };
        let filter = if bicubic { ResizeFilter::Bicubic } else { ResizeFilter::Bilinear };
        let values = plain(side, rule, filter).apply(&image, View { crop, flip });
        prop_assert_eq!(values.len() as u32, 3 * side * side);
        prop_assert!(values[(2 * side * side) as usize..].iter().all(|&blue| (blue - 77.0).abs() <= 1.0));
    }

    /// Mirroring the image first is the same as mirroring the view.
    #[test]
    fn flip_commutes(width in 2u32..40, height in 2u32..40, side in 1u32..20) {
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 6) as u8, (y * 6) as u8, (x * y) as u8]));
        let rule = plain(side, ResizeRule::Stretch, ResizeFilter::Bilinear);
        let here = rule.apply(&image::imageops::flip_horizontal(&image), View::FULL);
        let there = rule.apply(&image, View { flip: true, ..View::FULL });
        prop_assert!(here.iter().zip(&there).all(|(a, b)| (a - b).abs() <= 1.0));
    }
}
