//! `gxn report`

use std::path::Path;

use anyhow::Result;
use gxn::train::report::{RunMeasurements, run_folder};
use gxn::train::run_page;
use gxn_base::Kind;
use gxn_base::fs::write_text;

use crate::args::ReportArgs;
use crate::exit::ExitCode;
use crate::interrupt::stop_flag;
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;

/// The page's name in the folder of its run.
pub const PAGE: &str = "report.html";

/// Writes the page of a run.
pub fn report(args: &ReportArgs) -> Result<ExitCode> {
    let run = run_folder(&args.run)?;
    let measured = if args.stored_only {
        Err("Nothing was measured for this page, as it was asked for with --stored-only.".to_owned())
    } else {
        measured(&run, args)?
    };
    let page = run_page(&run, measured.as_ref().map_err(String::as_str))?;
    let path = args.output.clone().unwrap_or_else(|| run.join(PAGE));
    write_text(&path, &page)?;
    print(&format!("{}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// What was measured, or why nothing was: what is stored is worth a page without it. Data that were named must be there.
fn measured(run: &Path, args: &ReportArgs) -> Result<Result<RunMeasurements, String>> {
    let data = args.data.as_deref();
    machine_line(args.device.device)?;
    stop_flag()?;
    let line = ProgressLine::of("encoding");
    let outcome = RunMeasurements::of(run, data, &args.device.open()?, &line);
    line.clear();
    match outcome {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.kind() == Kind::Interrupted || data.is_some() => Err(error.into()),
        Err(error) => {
            eprintln!("note: nothing is measured ({error}); --data SOURCE names the run's data");
            let command = format!("gxn report {} --data SOURCE", run.display());
            Ok(Err(format!("Nothing was measured for this page: {error}. Name the run's data with: {command}")))
        }
    }
}
