//! A dataset that is drawn in a moment, for tests of several crates.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::json;

pub const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [220, 30, 30]),
    ("green", [30, 200, 40]),
    ("blue", [40, 60, 220]),
    ("yellow", [230, 220, 40]),
    ("white", [245, 245, 245]),
    ("black", [10, 10, 10]),
];
const PLACES: [&str; 4] = ["top left", "top right", "bottom left", "bottom right"];

/// 24 images (a coloured quarter of a grey square) with two captions each as Karpathy JSON: 16 train, 4 val, 4 test.
pub fn tiny_dataset(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder.join("images")).unwrap();
    let mut images = Vec::new();
    for (c, (colour, rgb)) in COLOURS.iter().enumerate() {
        for (p, place) in PLACES.iter().enumerate() {
            let name = format!("{colour}_{p}.png");
            patch(*rgb, p).save(folder.join("images").join(&name)).unwrap();
            let number = c * 4 + p;
            let split = ["train", "train", "train", "train", "val", "test"][(number + c) % 6];
            images.push(json!({
                "filename": name, "imgid": number, "split": split,
                "sentences": [
                    {"raw": format!("a {colour} patch at the {place}"), "sentid": 2 * number},
                    {"raw": format!("the {place} is {colour}"), "sentid": 2 * number + 1},
                ],
            }));
        }
    }
    let path = folder.join("tiny.json");
    std::fs::write(&path, json!({"dataset": "tiny", "images": images}).to_string()).unwrap();
    path
}

/// A grey square of 32 pixels with one coloured quarter.
pub fn patch(rgb: [u8; 3], quarter: usize) -> RgbImage {
    RgbImage::from_fn(32, 32, |x, y| {
        let here = usize::from(x >= 16) + 2 * usize::from(y >= 16);
        image::Rgb(if here == quarter { rgb } else { [128, 128, 128] })
    })
}
