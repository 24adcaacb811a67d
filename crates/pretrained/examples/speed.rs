//! Images and texts a second of an encoder, one line of JSON for each batch size: `benches/pretrained_peers.py`.
//!
//!     cargo run --release -p gxn-pretrained --example speed -- FOLDER {image|text} SECONDS BATCH... < captions.txt

use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::Instant;

use gxn_base::Result;
use gxn_pretrained::PretrainedEncoder;
use image::RgbImage;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, kind, seconds, batches @ ..] = &arguments[..] else {
        eprintln!("expected FOLDER {{image|text}} SECONDS BATCH...");
        return Ok(());
    };
    let encoder = PretrainedEncoder::open(Path::new(folder))?;
    let seconds = seconds.parse().unwrap_or(3.0);
    let captions: Vec<String> =
        if kind == "text" { stdin().lock().lines().map_while(|line| line.ok()).collect() } else { Vec::new() };
    for batch in batches.iter().filter_map(|batch| batch.parse::<usize>().ok()) {
        let image = RgbImage::from_fn(224, 224, |x, y| image::Rgb([x as u8, y as u8, (x * y % 251) as u8]));
        let images = vec![image; batch];
        let mut next = captions.iter().map(String::as_str).cycle();
        let mut call = || match kind.as_str() {
            "image" => encoder.embed_images(&images).map(|_| ()),
            _ => encoder.embed_texts(&next.by_ref().take(batch).collect::<Vec<_>>()).map(|_| ()),
        };
        call()?;
        let mut times = Vec::new();
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < seconds || times.len() < 3 {
            let start = Instant::now();
            call()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{{\"kind\": \"{kind}\", \"batch\": {batch}, \"median_ms\": {:.3}, \"fastest_ms\": {:.3}, \"peak_mb\": {:.0}}}",
            times[times.len() / 2] * 1e3 / batch as f64,
            times[0] * 1e3 / batch as f64,
            peak_mb()
        );
    }
    Ok(())
}

/// The largest resident memory of this process so far, where the system tells it.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}
