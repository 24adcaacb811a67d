//! [`ProgressPrinter`]: the library's progress as a line on stderr.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gxn_base::Progress;

use crate::output::{ProgressLine, duration};

/// Shows how far work is, with its rate and the time left, and stops it when the user asks.
#[derive(Debug)]
pub struct ProgressPrinter<'a> {
    verb: &'static str,
    stop: &'a AtomicBool,
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    line: ProgressLine,
    /// The unit that is under way, how many of it were done at the start, and when that was.
    start: Option<(&'static str, usize, Instant)>,
}

impl<'a> ProgressPrinter<'a> {
    /// `verb` begins the line: "indexing".
    pub fn new(verb: &'static str, stop: &'a AtomicBool) -> Self {
        Self { verb, stop, quiet: false, state: Mutex::new(State { line: ProgressLine::new(), start: None }) }
    }

    /// The same without notes.
    pub fn quiet(verb: &'static str, stop: &'a AtomicBool) -> Self {
        let mut printer = Self::new(verb, stop);
        printer.quiet = true;
        printer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for ProgressPrinter<'_> {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        let mut state = self.state();
        let (_, first, since) = match state.start {
            Some(start @ (of, ..)) if of == unit => start,
            _ => *state.start.insert((unit, done, Instant::now())),
        };
        // Nothing is known before some of it is done.
        if done > first {
            let rate = (done - first) as f64 / since.elapsed().as_secs_f64().max(1e-9);
            let left = duration(total.saturating_sub(done) as f64 / rate);
            state.line.show(&format!("{} {done}/{total}, {rate:.0} {unit}/s, {left} left", self.verb));
        }
    }

    fn note(&self, message: &str) {
        if !self.quiet {
            self.state().line.note(&format!("note: {message}"));
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Drop for ProgressPrinter<'_> {
    fn drop(&mut self) {
        self.state().line.clear();
    }
}
