//! Embeddings of an encoder as raw f32: `reference/pretrained_compare.py` compares them with those of transformers.
//!
//!     cargo run --release -p gxn-pretrained --example embed -- FOLDER {image|text} < LINES > embeddings.f32
//!
//! A line is the path of an image, or a text.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;

use gxn_pretrained::PretrainedEncoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, kind] = &arguments[..] else { return Err("expected FOLDER {image|text}".into()) };
    let encoder = PretrainedEncoder::open(Path::new(folder))?;
    let lines = stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
    for lines in lines.chunks(64) {
        let values = if kind == "image" {
            let images =
                lines.iter().map(|path| Ok(image::open(path)?.into_rgb8())).collect::<image::ImageResult<Vec<_>>>()?;
            encoder.embed_images(&images)?
        } else {
            encoder.embed_texts(&lines.iter().map(String::as_str).collect::<Vec<_>>())?.0
        };
        for value in values {
            stdout().write_all(&value.to_le_bytes())?;
        }
    }
    Ok(())
}
