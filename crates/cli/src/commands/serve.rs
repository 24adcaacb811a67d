//! `gxn serve`

use anyhow::Result;
use gxn_server::ServeOptions;

use crate::args::ServeArgs;
use crate::exit::ExitCode;

/// Serves an index until Ctrl-C.
pub fn serve(args: &ServeArgs) -> Result<ExitCode> {
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
