//! What people see on stderr: errors with their causes and hints, and progress lines.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use gxn_base::Kind;

use crate::hints::flags;

use crate::interrupt::INTERRUPTED;

/// Exit code when a search finds nothing.
pub const NOTHING_FOUND: u8 = 3;

/// Prints `error:`, each cause, and the hint; returns the exit code.
pub fn report_error(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref().is_some_and(|error: &gxn_base::Error| error.kind() == Kind::Interrupted) {
        eprintln!("interrupted");
        return ExitCode::from(INTERRUPTED);
    }
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
    let hint = error.chain().find_map(|cause| {
        let own = cause.downcast_ref::<gxn_base::Error>().and_then(|error| error.remedy()).map(flags);
        own.or_else(|| cause.downcast_ref::<std::io::Error>().and_then(io_hint).map(str::to_owned))
    });
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

/// What to do about errors of the system that have a usual cause.
fn io_hint(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("make room on the disk and run the command again; files that were complete before are as they were")
        }
        ErrorKind::PermissionDenied => Some("look at the owner and the permissions of the file and its folder"),
        _ => None,
    }
}

/// One line on stderr that is rewritten on a terminal, and written now and then elsewhere.
#[derive(Debug)]
pub struct ProgressLine {
    terminal: bool,
    shown: Option<Instant>,
    width: usize,
}

impl ProgressLine {
    /// No line yet.
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: None, width: 0 }
    }

    /// Shows `text` unless the last one was shown a moment ago.
    pub fn show(&mut self, text: &str) {
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(15) };
        if self.shown.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let mut stderr = std::io::stderr().lock();
        // Nobody reads a broken stderr: a failed write is no reason to stop training.
        let _ = if self.terminal {
            let line = write!(stderr, "\r{text:<width$}", width = self.width);
            self.width = text.chars().count();
            line
        } else {
            writeln!(stderr, "{text}")
        };
        let _ = stderr.flush();
    }

    /// Writes a line that stays.
    pub fn note(&mut self, text: &str) {
        self.clear();
        eprintln!("{text}");
    }

    /// Takes the line away, before something else is written.
    pub fn clear(&mut self) {
        if self.terminal && self.width > 0 {
            eprint!("\r{:width$}\r", "", width = self.width);
            self.width = 0;
        }
        self.shown = None;
    }
}

/// `90 s`, `12 min`, `3 h 20 min`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 100.0 {
        format!("{seconds:.0} s")
    } else if seconds < 6000.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.0} h {:02.0} min", (seconds / 3600.0).floor(), (seconds % 3600.0) / 60.0)
    }
}

/// `1 image`, `2 images`, `1 index`, `2 indexes`.
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun.ends_with('x')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{number} {noun}es"),
        (_, false) => format!("{number} {noun}s"),
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

/// The first line of long work: what computes.
pub fn machine_line() {
    let machine = gxn::train::state::Machine::here();
    eprintln!("gxn {}: CPU ({}), f32, {} threads", machine.program, machine.cpu, machine.threads);
}
