//! `gxn completions` and `gxn man`: what the arguments tell shells and man pages.

use anyhow::Result;
use clap::CommandFactory;
use gxn_base::Error;
use gxn_base::fs::build_folder_atomically;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::exit::ExitCode;
use crate::output::print;

/// Prints the completion script of a shell.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gxn", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a man page for each command into a new folder.
pub fn man(args: &ManArgs) -> Result<ExitCode> {
    build_folder_atomically(&args.dir, |inside| {
        clap_mangen::generate_to(Cli::command(), inside).map_err(|error| Error::io("cannot write", &args.dir, error))
    })?;
    print(&format!("{}\n", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
