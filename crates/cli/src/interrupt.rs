//! Ctrl-C: once saves what is done and stops, twice stops now.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Exit code of an interrupted command.
pub const INTERRUPTED: u8 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second ends the program.
pub fn stop_flag() -> Result<&'static AtomicBool> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("\nstopping as soon as what is done is saved; press Ctrl-C again to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(&STOP)
}

/// Whether Ctrl-C was pressed since [`stop_flag`] was asked for.
pub fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}
