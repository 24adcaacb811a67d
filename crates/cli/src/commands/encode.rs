//! `gxn encode`

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn::evaluate::{EncodeOptions, EncodedDataset, encode_dataset};
use gxn_data::{Dataset, Split};

use crate::args::EncodeArgs;
use crate::commands::{open_for, report_dropped, split_of};
use crate::exit::ExitCode;
use crate::interrupt::stop_flag;
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;
use gxn_base::fs::check_new_folder;
use gxn_base::words::counted;

/// Writes embeddings of a dataset as npy files with their ids.
pub fn encode(args: &EncodeArgs) -> Result<ExitCode> {
    machine_line(args.device.device)?;
    stop_flag()?;
    check_new_folder(&args.output)?;
    let encoder =
        Encoder::load_on(&args.model, &args.device.open()?)?.with_prompts(&args.prompt)?.with_feature_cache()?;
    let dataset = open_for(&encoder, &args.source, &args.reading)?;
    let split = args.split.as_deref().map(split_of);
    let encoded = with_progress(&encoder, &dataset, split, None)?;
    encoded.save(&args.output, &encoder)?;
    report_dropped(&encoded.dropped);
    print(&format!("{}\n", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Encodes with a progress line on stderr; with a beam, each image is captioned too.
pub fn with_progress(
    encoder: &Encoder,
    dataset: &Dataset,
    split: Option<Split>,
    beam: Option<usize>,
) -> Result<EncodedDataset> {
    let line = ProgressLine::of("encoding");
    let encoded = encode_dataset(encoder, dataset, EncodeOptions { split, beam }, &line);
    line.clear();
    let encoded = encoded?;
    let (images, captions) = (counted(encoded.images.count, "image"), counted(encoded.captions.count, "caption"));
    eprintln!("encoded {images} and {captions}");
    Ok(encoded)
}
