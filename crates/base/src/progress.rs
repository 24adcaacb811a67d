//! [`Progress`]: how long work reports how far it is and asks whether to stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// Receives the progress of long work. `()` ignores it; an [`AtomicBool`] that is set asks the work to stop.
///
/// Every method takes `&self`, and calls may come from several threads.
pub trait Progress: Sync {
    /// `done` of `total` items of `unit` (`"images"`, `"captions"`) are complete. `total` may grow.
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        let _ = (unit, done, total);
    }

    /// Something that the user should read now, in one sentence.
    fn note(&self, message: &str) {
        let _ = message;
    }

    /// Whether to stop at the next opportunity. The work then saves what is complete and returns
    /// [`Kind::Interrupted`](crate::Kind::Interrupted).
    fn cancelled(&self) -> bool {
        false
    }
}

impl Progress for () {}

impl Progress for AtomicBool {
    fn cancelled(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}
