//! [`Jobs`]: changes of the index, one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gxn_base::Result;
use serde::Serialize;
use utoipa::ToSchema;

use crate::lane::Lane;
use crate::problem::Problem;

/// Jobs that are remembered.
const REMEMBERED: usize = 1000;

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct JobState {
    /// `queued`, `running`, `done` or `failed`.
    pub state: &'static str,
    /// Steps that are done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// What was done, or why it failed.
    pub message: String,
}

impl JobState {
    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self.state, "done" | "failed")
    }
}

type States = Arc<Mutex<BTreeMap<u64, JobState>>>;
type Work = Box<dyn FnOnce() -> Result<String> + Send>;

/// The jobs and their thread.
#[derive(Debug)]
pub(crate) struct Jobs {
    states: States,
    lane: Lane<(u64, Work)>,
}

impl Jobs {
    pub fn start(capacity: usize) -> Result<Self> {
        let states = States::default();
        let of_lane = states.clone();
        let lane = Lane::start("changes", capacity, 1, move |jobs: Vec<(u64, Work)>| {
            for (id, work) in jobs {
                set(&of_lane, id, JobState { state: "running", done: 0, total: 1, message: String::new() });
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                let state = match done {
                    Ok(Ok(message)) => JobState { state: "done", done: 1, total: 1, message },
                    Ok(Err(error)) => {
                        let hint = error.hint().map_or(String::new(), |hint| format!("; {hint}"));
                        JobState { state: "failed", done: 0, total: 1, message: format!("{error}{hint}") }
                    }
                    Err(_) => JobState { state: "failed", done: 0, total: 1, message: "the work gave up".into() },
                };
                set(&of_lane, id, state);
            }
        })?;
        Ok(Self { states, lane })
    }

    /// Queues a job; returns its id.
    pub fn submit(
        &self,
        work: impl FnOnce() -> Result<String> + Send + 'static,
    ) -> std::result::Result<String, Problem> {
        let id = {
            let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
            let id = states.last_key_value().map_or(1, |(last, _)| last + 1);
            states.insert(id, JobState { state: "queued", done: 0, total: 1, message: String::new() });
            while states.len() > REMEMBERED {
                states.pop_first();
            }
            id
        };
        if let Err(problem) = self.lane.submit((id, Box::new(work))) {
            self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Err(problem);
        }
        Ok(id.to_string())
    }

    /// Where a job is; none where there was none of this id, or long ago.
    pub fn state(&self, id: &str) -> Option<JobState> {
        let id: u64 = id.parse().ok()?;
        self.states.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

fn set(states: &States, id: u64, state: JobState) {
    states.lock().unwrap_or_else(PoisonError::into_inner).insert(id, state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_end_well_or_not() {
        let jobs = Jobs::start(8).unwrap();
        let well = jobs.submit(|| Ok("added".into())).unwrap();
        let badly = jobs.submit(|| Err(gxn_base::Error::invalid("a", "b", "c"))).unwrap();
        let over = |id: &str| loop {
            match jobs.state(id).unwrap() {
                state if state.is_over() => return (state.state, state.message),
                _ => std::thread::yield_now(),
            }
        };
        assert_eq!(over(&well), ("done", "added".into()));
        assert_eq!(over(&badly), ("failed", "a: found b, expected c".into()));
        assert!(jobs.state("77").is_none() && jobs.state("x").is_none());
    }
}
