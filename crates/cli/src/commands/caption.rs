//! `gxn caption`

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Result;
use gxn::checkpoint::{Encoder, short};
use gxn_data::{ImageLimits, ImageSource};
use serde_json::json;

use crate::args::{CaptionArgs, CaptionFormat};
use crate::interrupt::stop_flag;
use crate::output::print;

/// Pictures looked at together.
const BATCH: usize = 64;

/// Says what the model imagines captions to be. Pictures that cannot be read are named; the exit code is then 1.
pub fn caption(args: &CaptionArgs) -> Result<ExitCode> {
    let stop = stop_flag()?;
    let encoder = Encoder::load(&args.model)?;
    let beam = usize::from(args.beam.max(args.count));
    // Refused before the pictures are looked at.
    encoder.describe(&[], beam)?;
    let mut unreadable = 0;
    for chunk in args.images.chunks(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return Err(gxn_base::Error::interrupted().into());
        }
        let sources: Vec<ImageSource> = chunk.iter().map(|path| ImageSource::File(path.clone())).collect();
        let (mut features, mut read) = (Vec::new(), Vec::new());
        for (path, found) in chunk.iter().zip(encoder.features(&sources, &ImageLimits::default())) {
            match found {
                Ok(found) => {
                    features.extend(found.feature);
                    read.push(path);
                }
                Err(error) => {
                    unreadable += 1;
                    eprintln!("left out: {error}");
                }
            }
        }
        let mut out = String::new();
        for (path, captions) in read.iter().zip(encoder.describe(&features, beam)?) {
            for found in captions.iter().take(usize::from(args.count.max(1))) {
                out += &match args.format {
                    CaptionFormat::Text => format!("{}\t{}\n", path.display(), found.caption),
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
        eprintln!("{unreadable} of {} pictures could not be read", args.images.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
