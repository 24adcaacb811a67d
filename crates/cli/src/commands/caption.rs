//! `gxn caption`

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::Result;
use gxn::checkpoint::short;
use gxn::encoder::Encoder;
use gxn_base::unicode::printable;
use gxn_data::{ImageLimits, ImageSource};
use serde_json::json;

use crate::args::{CaptionArgs, CaptionFormat};
use crate::exit::ExitCode;
use crate::interrupt::stop_flag;
use crate::output::print;

/// Images that are encoded together.
const BATCH: usize = 64;

/// Generates captions for images. Images that cannot be read are named; the exit code is then 1.
pub fn caption(args: &CaptionArgs) -> Result<ExitCode> {
    let stop = stop_flag()?;
    let beam = beam(args)?;
    let encoder = Encoder::load_on(&args.model, &args.device.open()?)?.with_feature_cache()?;
    // Refused before the images are encoded.
    encoder.caption_features(&[], beam)?;
    let mut unreadable = 0;
    for chunk in args.images.chunks(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return Err(gxn_base::Error::interrupted().into());
        }
        let sources: Vec<ImageSource> = chunk.iter().map(|path| source(path, args)).collect();
        let sources: Vec<&ImageSource> = sources.iter().collect();
        let (mut features, mut read) = (Vec::new(), Vec::new());
        for (path, found) in chunk.iter().zip(encoder.image_features(&sources, &ImageLimits::default())?) {
            match found {
                Ok(found) => {
                    features.extend(found.feature);
                    read.push(path);
                }
                Err(error) => {
                    unreadable += 1;
                    eprintln!("skipped: {}", printable(&error.in_full()));
                }
            }
        }
        let mut out = String::new();
        for (path, captions) in read.iter().zip(encoder.caption_features(&features, beam)?) {
            for found in captions.iter().take(usize::from(args.count)) {
                out += &match args.format {
                    CaptionFormat::Text => {
                        let path = path.to_string_lossy();
                        format!("{}\t{}\n", printable(&path), printable(&found.caption))
                    }
                    CaptionFormat::Jsonl => {
                        let line = json!({
                            "path": path,
                            "caption": found.caption,
                            "log_probability": found.log_probability,
                            "model": short(encoder.fingerprint()),
                            "imagined": true,
                        });
                        format!("{line}\n")
                    }
                };
            }
        }
        print(&out)?;
    }
    if unreadable > 0 {
        eprintln!("{unreadable} of {} images could not be read", args.images.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The file, read through the decode command if there is one.
fn source(path: &Path, args: &CaptionArgs) -> ImageSource {
    let file = ImageSource::File(path.to_path_buf());
    match &args.decode_cmd {
        Some(command) => ImageSource::Converted { source: Box::new(file), command: command.clone() },
        None => file,
    }
}

/// A beam finds as many captions as it is wide.
fn beam(args: &CaptionArgs) -> Result<usize> {
    const USUAL: u16 = 3;
    match args.beam {
        Some(beam) if beam < args.count => {
            let (found, expected) = (args.count.to_string(), format!("at most {beam}, the width of the beam"));
            let error = gxn_base::Error::invalid("the number of captions per image (-n)", found, expected);
            Err(error.with_hint("raise --beam, or leave it out: it is then as wide as needed").into())
        }
        beam => Ok(usize::from(beam.unwrap_or(USUAL.max(args.count)))),
    }
}
