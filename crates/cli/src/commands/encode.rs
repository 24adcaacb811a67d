//! `gxn encode`

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use gxn::checkpoint::Encoder;
use gxn::evaluate::encode::{EncodedDataset, Looked, embed_and_describe, look_at};
use gxn_base::Progress;
use gxn_data::{Dataset, Split};

use crate::args::EncodeArgs;
use crate::commands::{open_for, report_dropped, split_of};
use crate::interrupt::stop_flag;
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;

/// Writes embeddings of a data set as npy files with their ids.
pub fn encode(args: &EncodeArgs) -> Result<ExitCode> {
    machine_line();
    let stop = stop_flag()?;
    let encoder = Encoder::load(&args.model)?;
    let dataset = open_for(&encoder, &args.source, &args.reading)?;
    let split = args.split.as_deref().map(split_of);
    let encoded = with_progress(&encoder, &dataset, split, None, stop)?;
    encoded.save(&args.output, &encoder)?;
    report_dropped(&encoded.dropped);
    print(&format!("{}\n", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Encodes with a progress line on stderr; with a beam, each image is described too.
pub fn with_progress(
    encoder: &Encoder,
    dataset: &Dataset,
    split: Option<Split>,
    beam: Option<usize>,
    stop: &AtomicBool,
) -> Result<EncodedDataset> {
    if let Some(beam) = beam {
        // Refused before the pictures are looked at.
        encoder.describe(&[], beam)?;
    }
    let looked = look_with_progress(encoder, dataset, split, stop)?;
    let encoded = embed_and_describe(encoder, dataset, &looked, beam)?;
    eprintln!("encoded {} images and {} captions", encoded.images.count, encoded.captions.count);
    Ok(encoded)
}

/// The CNN's part of it, with a progress line on stderr.
pub fn look_with_progress(
    encoder: &Encoder,
    dataset: &Dataset,
    split: Option<Split>,
    stop: &AtomicBool,
) -> Result<Looked> {
    let line = ProgressLine::of("encoding");
    let looked = look_at(encoder, dataset, split, &mut |done, total, _| {
        line.update("images", done, total);
        !stop.load(Ordering::Relaxed)
    })?;
    line.clear();
    Ok(looked)
}
