//! What the examples share: a tiny dataset that is drawn when it is needed, and a model of seconds trained on it.

use std::path::{Path, PathBuf};

use gxn::prelude::*;
use image::{Rgb, RgbImage};

pub const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [220, 30, 30]),
    ("green", [30, 190, 40]),
    ("blue", [40, 60, 220]),
    ("yellow", [230, 220, 40]),
    ("purple", [150, 40, 170]),
    ("white", [245, 245, 245]),
];
pub const SHAPES: [&str; 3] = ["circle", "square", "cross"];
const PLACES: [&str; 4] = ["top left", "top right", "bottom left", "bottom right"];

/// Draws 72 images, a coloured shape in a quarter of a grey square, with two captions each; returns their JSON lines.
pub fn draw(folder: &Path) -> std::io::Result<PathBuf> {
    let mut lines = String::new();
    let kinds = COLOURS.iter().flat_map(|colour| SHAPES.iter().map(move |shape| (colour, shape)));
    for (at, ((colour, rgb), shape)) in kinds.enumerate() {
        for (quarter, place) in PLACES.iter().enumerate() {
            let image = RgbImage::from_fn(32, 32, |x, y| {
                let (x, y) = (x as i32 - 16 * (quarter as i32 % 2) - 8, y as i32 - 16 * (quarter as i32 / 2) - 8);
                let inside = match *shape {
                    "circle" => x * x + y * y < 46,
                    "square" => x.abs() < 6 && y.abs() < 6,
                    _ => x.abs() < 7 && y.abs() < 7 && (x.abs() < 2 || y.abs() < 2),
                };
                Rgb(if inside { *rgb } else { [110, 110, 110] })
            });
            let name = format!("{colour}_{shape}_{quarter}.png");
            image.save(folder.join(&name)).map_err(std::io::Error::other)?;
            let split = if (at + quarter) % 6 == 0 { "val" } else { "train" };
            let captions = [format!("a {colour} {shape} at the {place}"), format!("the {shape} is {colour}")];
            lines += &format!("{}\n", serde_json::json!({"image": name, "captions": captions, "split": split}));
        }
    }
    let file = folder.join("captions.jsonl");
    std::fs::write(&file, lines)?;
    Ok(file)
}

/// A configuration for the small CNN, trained from scratch with all the rest; `more` are `table.key=value` pairs.
pub fn configuration(data: &Path, more: &[&str]) -> Result<RunConfig> {
    let source = format!("data.source={}", serde_json::Value::from(data.display().to_string()));
    let own = "look.backbone=small look.finetune=true look.finetune_rate=1.0 look.transform=l2 look.side_px=32 \
               look.embed_dim=32 look.sentence.word_dim=16 look.sentence.hidden=32 matching.similarity=cosine \
               matching.absolute=false matching.loss=info_nce train.batch_size=16 train.learning_rate=5e-3";
    let pairs: Vec<String> = own.split_whitespace().chain(more.iter().copied()).map(String::from).collect();
    gxn::train::configuration(None, &[vec![source], pairs].concat())
}

/// Trains a run without a word and loads it.
#[allow(dead_code)] // each example compiles this file by itself
pub fn train(data: &Path, run: &Path, more: &[&str]) -> Result<Encoder> {
    let features = run.with_extension("features");
    Trainer::new(configuration(data, more)?, run, &features, &())?.run(&())?;
    Encoder::load(run)
}
