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
    let mut sources = args.data.iter().filter_map(|data| data.to_str()).flat_map(|data| data.split("::"));
    if let Some(absent) = sources.find(|source| !Path::new(source).exists()) {
        let expected = "a dataset: a file or folder";
        return Err(Error::not_found(format!("--data {absent}"), "nothing", expected).into());
    }
    let options = ServeOptions {
        model: args.model.clone(),
        device: args.device.choice(),
        listen: args.listen,
        api_key: args.api_key.clone(),
        insecure: args.insecure,
        read_only: args.read_only,
        runs: args.runs.clone(),
        data: args.data.clone(),
        json_log: args.json_log,
        ..ServeOptions::new(args.place.find()?)
    };
    gxn_server::serve(options, |line| eprintln!("{line}"))?;
    Ok(ExitCode::SUCCESS)
}
