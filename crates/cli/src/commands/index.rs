//! `gxn index`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use gxn::checkpoint::Encoder;
use gxn::data::{Dataset, ImageLimits};
use gxn::retrieve::indexer::folder_pictures;
use gxn::retrieve::{IndexReport, IndexSource, build_index};

use crate::args::IndexArgs;
use crate::commands::{name_dropped, open_options, report_dropped};
use crate::interrupt::stop_flag;
use crate::output::{ProgressLine, duration, machine_line, print};

/// Creates or refreshes an index.
pub fn index(args: &IndexArgs) -> Result<ExitCode> {
    machine_line();
    let stop = stop_flag()?;
    let encoder = Encoder::load(&args.model)?;
    let dir = args.index.clone().unwrap_or_else(|| default_dir(&args.source));
    // A folder may also be a data set (pictures with text files beside them); plain pictures are the usual case.
    let dataset = if args.pictures {
        None
    } else {
        match Dataset::open(&args.source, &open_options(&args.reading)?) {
            Ok(dataset) => Some(dataset),
            Err(error) if args.source.is_dir() && args.reading.texts.is_none() && !args.reading.strict => {
                eprintln!("note: pictures without captions are indexed, as this is no data set ({error})");
                None
            }
            Err(error) => return Err(error.into()),
        }
    };
    let limits = ImageLimits { max_pixels: (args.max_image_megapixels * 1e6) as u64, ..ImageLimits::default() };
    let source = match &dataset {
        Some(dataset) => {
            eprintln!("{}: {} with captions", dataset.name, dataset.format);
            report_dropped(&dataset.dropped);
            if args.source.is_dir() && !dataset.dropped.is_empty() {
                eprintln!("note: --pictures indexes every picture of the folder, without captions");
            }
            IndexSource::Dataset(dataset)
        }
        None => {
            let pictures = folder_pictures(&args.source, args.include_hidden, &args.exclude_dir)?;
            IndexSource::Folder { root: &args.source, pictures }
        }
    };
    let report = run(&encoder, &args.model, source, &dir, &limits, &stop)?;
    print(&format!("{}\n", dir.display()))?;
    // No other command names the pictures of a folder.
    name_dropped(&report.dropped, usize::MAX);
    Ok(ExitCode::SUCCESS)
}

/// Builds the index in `dir` with progress on stderr.
pub fn run(
    encoder: &Encoder,
    model: &Path,
    source: IndexSource<'_>,
    dir: &Path,
    limits: &ImageLimits,
    stop: &AtomicBool,
) -> Result<IndexReport> {
    let mut line = ProgressLine::new();
    let report = build_index(encoder, model, source, dir, limits, &mut |progress| {
        let left = (progress.total - progress.done) as f64 / progress.rate.max(1e-9);
        line.show(&format!(
            "indexing {}/{}, {:.0} images/s, {} left",
            progress.done,
            progress.total,
            progress.rate,
            duration(left)
        ));
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    line.note(&format!(
        "indexed {} images ({} unchanged) and {} captions in {}, {:.0} images/s",
        report.images,
        report.reused,
        report.captions,
        duration(report.seconds),
        report.images as f64 / report.seconds.max(1e-9)
    ));
    Ok(report)
}

/// `SOURCE/.gxn`, or beside a file.
fn default_dir(source: &Path) -> PathBuf {
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(Path::new(".")) };
    folder.join(gxn::retrieve::retriever::INDEX_FOLDER)
}
