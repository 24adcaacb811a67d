//! `gxn serve`

use std::path::Path;

use anyhow::Result;
use gxn_base::Error;
use gxn_server::ServeOptions;

use crate::args::ServeArgs;
use crate::exit::ExitCode;

/// Serves an index until Ctrl-C.
pub fn serve(args: &ServeArgs) -> Result<ExitCode> {
    // Several sources are joined with `::`.
    let sources = args.data.iter().filter_map(|data| data.to_str()).flat_map(|data| data.split("::"));
    let sources = sources.map(|source| ("--data", Path::new(source), "a dataset: a file or folder"));
    let runs = args.runs.iter().map(|runs| ("--runs", runs.as_path(), "a folder of runs"));
    if let Some((flag, absent, expected)) = sources.chain(runs).find(|(_, place, _)| !place.exists()) {
        return Err(Error::not_found(format!("{flag} {}", absent.display()), "nothing", expected).into());
    }
    let defaults = ServeOptions::new(args.place.find()?);
    let options = ServeOptions {
        model: args.model.clone(),
        device: args.device.choice(),
        listen: args.listen,
        api_key: args.api_key.clone(),
        insecure: args.insecure,
        read_only: args.read_only,
        runs: args.runs.clone().unwrap_or(defaults.runs),
        data: args.data.clone(),
        json_log: args.json_log,
        ..defaults
    };
    gxn_server::serve(options, |line| eprintln!("{line}"))?;
    Ok(ExitCode::SUCCESS)
}
