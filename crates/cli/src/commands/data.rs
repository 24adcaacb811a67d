//! `gxn data check|convert|init`

use anyhow::Result;
use gxn_base::Kind;
use gxn_data::{CheckOptions, DataFormat, Dataset, ImageFiles, Purpose, SAMPLES, SourceOptions};
use gxn_data::{check as run_check, convert as write_as};

use crate::args::{CheckArgs, ConvertArgs, ReportFormat};
use crate::commands::{hint_at_decoding, open_dataset, split_of};
use crate::exit::ExitCode;
use crate::interrupt::stop_flag;
use crate::output::{print, printable_lines};
use crate::progress::ProgressLine;

/// Reports on a dataset; exit code 1 if it cannot be used as it is.
pub fn check(args: &CheckArgs) -> Result<ExitCode> {
    // In the report a fault has its context, and stands beside the others.
    let reading = SourceOptions { strict: false, ..args.reading.clone() };
    let dataset = Dataset::open(&args.source, &reading).map_err(|error| {
        // `gxn index` takes photos without captions.
        let is_of_photos = args.purpose == "index" && args.source.is_dir() && error.kind() == Kind::NotFound;
        if is_of_photos {
            error.with_hint("gxn index takes photos without captions and names those it cannot read")
        } else {
            error
        }
    })?;
    hint_at_decoding(dataset.account.undecoded);
    stop_flag()?;
    let options = CheckOptions {
        decode_pixels: args.full,
        long_words: args.max_tokens,
        purpose: match args.purpose.as_str() {
            "train" => Purpose::Train,
            "index" => Purpose::Index,
            split => Purpose::Evaluate(split_of(split)),
        },
        strict: args.reading.strict,
        ..CheckOptions::default()
    };
    let healthy = report(&dataset, &options, args.format)?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the report; false if something is fatal.
pub fn report(dataset: &Dataset, options: &CheckOptions, format: ReportFormat) -> Result<bool> {
    let progress = ProgressLine::of("checking");
    let report = run_check(dataset, options, &progress)?;
    progress.clear();
    match format {
        ReportFormat::Text => print(&printable_lines(&format!("{report}\n")))?,
        ReportFormat::Json => print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?,
    }
    Ok(report.fatal.is_empty())
}

/// Writes a dataset in another format.
pub fn convert(args: &ConvertArgs) -> Result<ExitCode> {
    let dataset = open_dataset(&args.source, &args.reading)?;
    let format: DataFormat = args.to.parse()?;
    let files = if args.copy_images { ImageFiles::Copy } else { ImageFiles::Refer };
    stop_flag()?;
    let progress = ProgressLine::of("writing");
    let written = write_as(&dataset, format, &args.out, files, &progress)?;
    progress.clear();
    print(&format!("{}\n", written.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a sample of each format.
pub fn init() -> Result<ExitCode> {
    let samples: Vec<String> = SAMPLES.iter().map(|sample| sample.text()).collect();
    print(&samples.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}
