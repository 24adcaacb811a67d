//! What people see: errors with their causes and hints on stderr, results on stdout.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Error};
use gxn::device::{DeviceChoice, PresentGpu};
use gxn::train::state::Machine;
use gxn_base::Kind;
use gxn_base::unicode::printable;

use crate::exit::ExitCode;
use crate::hints::flags;
use crate::interrupt::INTERRUPTED;

/// Exit code of a command that failed.
const FAILED: u8 = 1;

/// Exit code when a search finds nothing.
pub const NOTHING_FOUND: u8 = 3;

/// Prints `error:`, each cause, and the hint; returns the exit code.
pub fn report_error(error: &Error) -> ExitCode {
    if kind_of(error) == Some(Kind::Interrupted) {
        eprintln!("interrupted");
        return ExitCode::from(INTERRUPTED);
    }
    eprintln!("error: {}", printable_lines(&error.to_string()));
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {}", printable_lines(&cause.to_string()));
    }
    if let Some(hint) = hint_of(error) {
        eprintln!("hint: {}", printable_lines(&hint));
    }
    ExitCode::from(FAILED)
}

/// What kind of fault lies at the bottom, if the library knows.
fn kind_of(error: &Error) -> Option<Kind> {
    error.chain().find_map(|cause| cause.downcast_ref::<gxn_base::Error>()).map(gxn_base::Error::kind)
}

/// The remedy of the first cause that has one, as commands and flags.
fn hint_of(error: &Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let own = cause.downcast_ref::<gxn_base::Error>().and_then(|error| error.remedy()).map(flags);
        own.or_else(|| cause.downcast_ref::<std::io::Error>().and_then(io_hint).map(str::to_owned))
    })
}

/// What to do about errors of the system that have a usual cause.
fn io_hint(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("make room on the disk and run the command again; files that were complete are unchanged")
        }
        ErrorKind::PermissionDenied => Some("check the owner and the permissions of the file and of its folder"),
        _ => None,
    }
}

/// A message of several lines, of which none changes the terminal whatever names it holds.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// `90 s`, `12 min`, `3 h 20 min`.
pub fn duration(seconds: f64) -> String {
    let (seconds, minutes) = (seconds.max(0.0).round() as u64, (seconds / 60.0).round() as u64);
    match (seconds, minutes) {
        (0..100, _) => format!("{seconds} s"),
        (_, 0..100) => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

/// Writes to stdout; a closed pipe ends the program quietly, as `head` expects.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.context("cannot write to stdout"),
    }
}

/// The first line of long work: what computes. Where nobody chose and a GPU seems to lie idle, the next one says why.
pub fn machine_line(asked: Option<DeviceChoice>) -> anyhow::Result<()> {
    let device = asked.unwrap_or_default();
    let machine = Machine::here(device);
    eprintln!("gxn {}: {}, f32, {} threads", machine.program, device.describe()?, machine.threads);
    if let (None, Some(gpu)) = (asked, PresentGpu::find(Path::new("/"))) {
        eprintln!("{}", idle_gpu(gpu));
    }
    Ok(())
}

/// Why a GPU is not used, and what to do.
fn idle_gpu(gpu: PresentGpu) -> String {
    let PresentGpu { maker, feature, is_built } = gpu;
    let why = match is_built {
        true => format!("--device {feature} computes on it"),
        false => format!(
            "build it in with `cargo install --path crates/cli --features {feature}` and give --device {feature}"
        ),
    };
    format!("note: the {maker} GPU of this machine is not used: {why}; --device cpu leaves this note away")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_base::Remedy;

    #[test]
    fn a_duration_is_short() {
        let seconds = [0.4, 99.0, 100.0, 7199.0, 7260.0];
        assert_eq!(seconds.map(duration), ["0 s", "99 s", "2 min", "2 h 00 min", "2 h 01 min"]);
    }

    #[test]
    fn an_idle_gpu_is_named_with_what_to_do() {
        let gpu = PresentGpu { maker: "NVIDIA", feature: "cuda", is_built: false };
        assert!(idle_gpu(gpu).contains("--features cuda"));
        let built = idle_gpu(PresentGpu { is_built: true, ..gpu });
        assert!(built.contains("--device cuda") && !built.contains("--features"), "{built}");
    }

    #[test]
    fn kind_and_hint_are_found_below_context() {
        let error = Error::from(gxn_base::Error::interrupted()).context("while indexing");
        assert_eq!(kind_of(&error), Some(Kind::Interrupted));
        let error = gxn_base::Error::conflict("a", "b", "c").with_remedy(Remedy::Reindex);
        let error = Error::from(error).context("x");
        assert_eq!(hint_of(&error).as_deref(), Some("make it again with `gxn index reindex DIR --model RUN`"));
    }
}
