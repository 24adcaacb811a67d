//! The binary `gxn`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(gxn_cli::run(std::env::args_os()))
}
