//! The program `gxn`: arguments in, library calls, results on stdout, everything else on stderr.
//!
//! It is a library of one call, [`run`], so that a binary and a Python package can be the same program.
#![warn(missing_docs)]

mod args;
mod commands;
mod demo_scenes;
mod exit;
mod hints;
mod interrupt;
mod output;
mod progress;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use clap::Parser;
use gxn::device::DeviceChoice;

use args::{Cli, Command, ConfigCommand, DataCommand};
pub use commands::config::config_text;

/// Runs the program with `arguments`, of which the first is its name, and returns its exit code. Help, versions and wrong arguments
/// end the process, as does a second Ctrl-C.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let cli = Cli::parse_from(arguments);
    let outcome = catch_unwind(AssertUnwindSafe(|| command(&cli.command))).unwrap_or_else(|panic| {
        // The interfaces of GPUs panic where memory is short; any other panic is a fault of this program.
        match DeviceChoice::gpu_in_use() {
            Some(gpu) => Err(gpu.failure("the command", &*panic).into()),
            None => resume_unwind(panic),
        }
    });
    outcome.unwrap_or_else(|error| output::report_error(&error)).code()
}

fn command(command: &Command) -> anyhow::Result<exit::ExitCode> {
    match command {
        Command::Data { command } => match command {
            DataCommand::Check(args) => commands::data::check(args),
            DataCommand::Convert(args) => commands::data::convert(args),
            DataCommand::Init => commands::data::init(),
        },
        Command::Train(args) => commands::train::train(args),
        Command::Ablate(args) => commands::ablate::ablate(args),
        Command::Evaluate(args) => commands::evaluate::evaluate(args),
        Command::Compare(args) => commands::evaluate::compare(args),
        Command::Imagine(args) => commands::imagine::imagine(args),
        Command::Caption(args) => commands::caption::caption(args),
        Command::ScoreCaptions(args) => commands::score_captions::score_captions(args),
        Command::Encode(args) => commands::encode::encode(args),
        Command::Calibrate(args) => commands::calibrate::calibrate(args),
        Command::Index(args) => commands::index::index(args),
        Command::Search(args) => commands::search::search(args),
        Command::Explain(args) => commands::explain::explain(args),
        Command::Serve(args) => commands::serve::serve(args),
        Command::Info(args) => commands::info::info(args),
        Command::Report(args) => commands::report::report(args),
        Command::Encoder { command } => commands::encoder::encoder(command),
        Command::Config { command } => match command {
            ConfigCommand::List => commands::config::list(),
            ConfigCommand::Show(args) => commands::config::show(args),
        },
        Command::Completions(args) => commands::manual::completions(args),
        Command::Man(args) => commands::manual::man(args),
        Command::Demo(args) => commands::demo::demo(args),
    }
}
