//! `gxn data check|convert|init`

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use gxn_base::Progress;
use gxn_data::{CheckOptions, DataFormat, Dataset, ImageFiles, SAMPLES, check as run_check, convert as write_as};

use crate::args::{CheckArgs, ConvertArgs, ReportFormat};
use crate::commands::open_dataset;
use crate::interrupt::stop_flag;
use crate::output::{ProgressLine, duration, print};

/// Reports on a dataset; exit code 1 if it cannot be used as it is.
pub fn check(args: &CheckArgs) -> Result<ExitCode> {
    let dataset = Dataset::open(&args.source, &args.reading)?;
    let options = CheckOptions { decode_pixels: args.full, long_words: args.max_tokens, ..CheckOptions::default() };
    let healthy = report(&dataset, &options, args.format, &*stop_flag()?)?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the report; false if something is fatal.
pub fn report(dataset: &Dataset, options: &CheckOptions, format: ReportFormat, stop: &AtomicBool) -> Result<bool> {
    let progress = Shown::new("checking", stop);
    let report = run_check(dataset, options, &progress)?;
    progress.clear();
    match format {
        ReportFormat::Text => print(&format!("{report}\n"))?,
        ReportFormat::Json => print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?,
    }
    Ok(report.fatal.is_empty())
}

/// Writes a dataset in another format.
pub fn convert(args: &ConvertArgs) -> Result<ExitCode> {
    let dataset = open_dataset(&args.source, &args.reading)?;
    let format: DataFormat = args.to.parse()?;
    let files = if args.copy_images { ImageFiles::Copy } else { ImageFiles::Refer };
    let stop = stop_flag()?;
    let progress = Shown::new("writing", &stop);
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

/// Progress as a line on stderr; Ctrl-C cancels.
struct Shown<'a> {
    verb: &'static str,
    line: Mutex<ProgressLine>,
    start: Instant,
    stop: &'a AtomicBool,
}

impl<'a> Shown<'a> {
    fn new(verb: &'static str, stop: &'a AtomicBool) -> Self {
        Self { verb, line: Mutex::new(ProgressLine::new()), start: Instant::now(), stop }
    }

    fn clear(&self) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Progress for Shown<'_> {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        // A thread that finds another one writing has nothing to wait for.
        let Ok(mut line) = self.line.try_lock() else { return };
        let rate = done as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
        let left = total.saturating_sub(done) as f64 / rate.max(1e-9);
        line.show(&format!("{} {done}/{total}, {rate:.0} {unit}/s, {} left", self.verb, duration(left)));
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
