//! [`ProgressLine`]: how far long work is, on stderr.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gxn_base::Progress;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::interrupt::stop_requested;
use crate::output::{duration, printable_lines};
use gxn_base::words::counted;

/// Without a terminal a line is written this often.
const PAUSE: Duration = Duration::from_secs(15);
/// Work that took less than this has no rate that means anything.
const SHORTEST: Duration = Duration::from_millis(100);
/// From less work than this nobody can tell how long the rest takes.
const ENOUGH: Duration = Duration::from_secs(1);

const BAR: &str = "{prefix} [{bar:24}] {msg}";
const TEXT: &str = "{msg}";

/// A bar with rate and remaining time on a terminal; elsewhere a line now and then.
///
/// As a [`Progress`] it is cancelled by Ctrl-C.
pub struct ProgressLine {
    /// Such as "indexing".
    activity: &'static str,
    bar: ProgressBar,
    pace: Mutex<Pace>,
}

/// Since when the work of one unit has been under way.
struct Pace {
    unit: &'static str,
    begun: Instant,
    /// Items that were complete then.
    before: usize,
    /// The last line without a terminal.
    written: Instant,
}

impl ProgressLine {
    /// No line yet; the work is called `activity`, such as "indexing".
    pub fn of(activity: &'static str) -> Self {
        let bar = ProgressBar::new(0).with_finish(ProgressFinish::AndClear).with_prefix(activity);
        let now = Instant::now();
        Self { activity, bar, pace: Mutex::new(Pace { unit: "", begun: now, before: 0, written: now }) }
    }

    /// Shows `text`, which knows itself how far the work is.
    pub fn show(&self, text: &str) {
        self.draw(&mut self.pace(), TEXT, text);
    }

    /// Takes the line away, before something else is written.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.pace().unit = "";
    }

    /// Writes a line that stays.
    pub fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{}", printable_lines(text)));
        self.pace().written = Instant::now();
    }

    fn draw(&self, pace: &mut Pace, template: &str, text: &str) {
        if !self.bar.is_hidden() {
            if self.bar.is_finished() {
                self.bar.reset();
            }
            self.bar
                .set_style(ProgressStyle::with_template(template).expect("a constant template").progress_chars("=> "));
            self.bar.set_message(text.to_owned());
        } else if pace.written.elapsed() >= PAUSE {
            pace.written = Instant::now();
            eprintln!("{text}");
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for ProgressLine {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        let mut pace = self.pace();
        if pace.unit != unit {
            (pace.unit, pace.begun, pace.before) = (unit, Instant::now(), done);
        }
        let line = words(unit, [done, total], done.saturating_sub(pace.before), pace.begun.elapsed());
        if self.bar.is_hidden() {
            self.draw(&mut pace, TEXT, &format!("{} {line}", self.activity));
        } else {
            self.draw(&mut pace, BAR, &line);
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    fn note(&self, message: &str) {
        self.note(&format!("note: {message}"));
    }

    fn cancelled(&self) -> bool {
        stop_requested()
    }
}

/// `300 of 8000 images, 197 images/s, 39 s left`; `recent` items took `elapsed`.
fn words(unit: &str, [done, total]: [usize; 2], recent: usize, elapsed: Duration) -> String {
    let one = singular(unit);
    let mut words = format!("{done} of {}", counted(total, &one));
    if let Some(rate) = rate(recent, &one, elapsed) {
        let left = elapsed.as_secs_f64() / recent as f64 * total.saturating_sub(done) as f64;
        words += &format!(", {rate}");
        if elapsed >= ENOUGH && done < total {
            words += &format!(", {} left", duration(left));
        }
    }
    words
}

/// `197 images/s` or `2.5 s per image`; none where so little time passed that it would mean nothing.
pub fn rate(count: usize, one: &str, elapsed: Duration) -> Option<String> {
    if count == 0 || elapsed < SHORTEST {
        return None;
    }
    let per_second = count as f64 / elapsed.as_secs_f64();
    if per_second < 1.0 {
        return Some(format!("{:.1} s per {one}", 1.0 / per_second));
    }
    let many = counted(2, one);
    let decimals = usize::from(per_second < 10.0);
    Some(format!("{per_second:.decimals$} {}/s", many.trim_start_matches("2 ")))
}

/// `image` of `images`, `query` of `queries`.
fn singular(unit: &str) -> String {
    match unit.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => unit.strip_suffix('s').unwrap_or(unit).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_finite_and_in_units_that_can_be_read() {
        let seconds = Duration::from_secs_f64;
        assert_eq!(words("images", [300, 8100], 300, seconds(1.5)), "300 of 8100 images, 200 images/s, 39 s left");
        assert_eq!(words("images", [9, 12], 1, seconds(0.5)), "9 of 12 images, 2.0 images/s", "too early to tell");
        assert_eq!(words("images", [12, 12], 4, seconds(2.0)), "12 of 12 images, 2.0 images/s", "nothing is left");
        assert_eq!(words("steps", [4, 10], 4, seconds(10.0)), "4 of 10 steps, 2.5 s per step, 15 s left");
        assert_eq!(words("images", [1, 1], 1, Duration::ZERO), "1 of 1 image", "no time, no rate");
        assert_eq!(words("images", [0, 24], 0, seconds(5.0)), "0 of 24 images", "nothing done, no rate");
        assert_eq!(words("queries", [1, 3], 1, seconds(1.0)), "1 of 3 queries, 1.0 queries/s, 2 s left");
        assert_eq!(rate(24, "image", Duration::from_nanos(1)), None);
    }
}
