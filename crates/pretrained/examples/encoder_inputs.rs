//! What an encoder reads, for comparison with transformers (`reference/pretrained_inputs.py compare`).
//!
//! `encoder_inputs FOLDER texts`: one JSON text a line on stdin; on stdout its tokens as a JSON list.
//! `encoder_inputs FOLDER images`: one path a line on stdin; on stdout `[3, H, W]` values a path, little-endian, 32 bits.
use std::io::{BufRead, BufWriter, Write};
use std::path::Path;

use gxn_data::{ImageLimits, ImageSource, load_image};
use gxn_pretrained::{EncoderFolder, ImageProcessor, TextTokenizer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, what] = arguments.as_slice() else { return Err("usage: encoder_inputs FOLDER texts|images".into()) };
    let folder = EncoderFolder::open(Path::new(folder))?;
    let lines = std::io::stdin().lock().lines();
    let mut out = BufWriter::new(std::io::stdout().lock());
    if what == "texts" {
        let tokenizer = TextTokenizer::read(&folder)?;
        for line in lines {
            let text: String = serde_json::from_str(&line?)?;
            writeln!(out, "{:?}", tokenizer.encode(&text)?.ids)?;
        }
    } else {
        let processor = ImageProcessor::read(&folder)?;
        for line in lines {
            let image = load_image(&ImageSource::File(line?.into()), &ImageLimits::default())?;
            out.write_all(bytemuck::cast_slice(&processor.apply(&image)))?;
        }
    }
    out.flush()?;
    Ok(())
}
