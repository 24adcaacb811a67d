//! `gxn encoder`

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use gxn::device::DeviceChoice;
use gxn_pretrained::PretrainedEncoder;
use image::RgbImage;
use serde_json::{Value, json};

use super::info::show;
use crate::args::{EncoderCheckArgs, EncoderCommand};
use crate::exit::ExitCode;
use crate::output::machine_line;

/// Items of a sample.
const SAMPLE: usize = 16;
/// Side of its images in pixels.
const SIDE_PX: u32 = 320;

/// Pretrained encoders.
pub fn encoder(command: &EncoderCommand) -> Result<ExitCode> {
    let EncoderCommand::Check(EncoderCheckArgs { folder, format }) = command;
    machine_line(Some(DeviceChoice::CPU))?;
    show(&checked(folder)?, *format)
}

/// What the folder holds, with the speed of a sample of each kind that it encodes.
fn checked(folder: &Path) -> Result<Value> {
    let encoder = PretrainedEncoder::open(folder)?;
    let mut facts = facts(&encoder, &encoder.fingerprint()?);
    if let Some(width) = encoder.image_width() {
        let images: Vec<RgbImage> = (0..SAMPLE).map(|seed| sample_image(seed as u32)).collect();
        let speed = per_second(|count| encoder.embed_images(&images[..count]).map(drop))?;
        facts["images"] = json!({"width": width, "per_second": speed});
    }
    if let Some(width) = encoder.text_width() {
        let texts: Vec<String> =
            (1..=SAMPLE).map(|count| format!("{count} people walk along a beach in the sun")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let speed = per_second(|count| encoder.embed_texts(&texts[..count]).map(drop))?;
        facts["texts"] = json!({"width": width, "tokens": encoder.count_cut([].into_iter())?.1, "per_second": speed});
    }
    Ok(facts)
}

/// What an encoder's files say of it.
pub fn facts(encoder: &PretrainedEncoder, fingerprint: &str) -> Value {
    json!({
        "kind": "pretrained encoder",
        "path": encoder.folder().path().display().to_string(),
        "family": encoder.family().to_string(),
        "fingerprint": fingerprint,
        "images": encoder.image_width().map(|width| json!({"width": width})),
        "texts": encoder.text_width().map(|width| json!({"width": width})),
    })
}

/// Items a second, after one item that reads the weights.
fn per_second(encode: impl Fn(usize) -> gxn::Result<()>) -> Result<f64> {
    encode(1)?;
    let start = Instant::now();
    encode(SAMPLE)?;
    let speed = SAMPLE as f64 / start.elapsed().as_secs_f64();
    Ok((speed * 10.0).round() / 10.0)
}

/// A gradient, another one for each seed.
fn sample_image(seed: u32) -> RgbImage {
    RgbImage::from_fn(SIDE_PX, SIDE_PX, |x, y| {
        image::Rgb([x + 37 * seed, y + 91 * seed, x * y / 64].map(|value| value as u8))
    })
}
