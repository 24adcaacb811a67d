//! [`Lane`]: work on a thread of its own, in batches, behind a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gxn_base::{Error, Result};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::problem::Problem;

/// A queue and its thread, which takes what waits together, up to a number.
pub(crate) struct Lane<J> {
    name: &'static str,
    queue: mpsc::Sender<J>,
    waiting: Arc<AtomicUsize>,
    capacity: usize,
}

impl<J: Send + 'static> Lane<J> {
    /// Starts the thread; it ends with the lane.
    ///
    /// # Errors
    /// When the system grants no thread.
    pub fn start(
        name: &'static str,
        capacity: usize,
        together: usize,
        mut work: impl FnMut(Vec<J>) + Send + 'static,
    ) -> Result<Self> {
        let (queue, mut jobs) = mpsc::channel::<J>(capacity.max(1));
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = waiting.clone();
        let run = move || {
            while let Some(first) = jobs.blocking_recv() {
                let mut batch = vec![first];
                while batch.len() < together
                    && let Ok(next) = jobs.try_recv()
                {
                    batch.push(next);
                }
                taken.fetch_sub(batch.len(), Ordering::Relaxed);
                // Whoever waits for a job that panicked is told by the loss of its reply.
                if catch_unwind(AssertUnwindSafe(|| work(batch))).is_err() {
                    tracing::error!(lane = name, "work panicked");
                }
            }
        };
        std::thread::Builder::new()
            .name(format!("gxn-{name}"))
            .spawn(run)
            .map_err(|error| Error::io("cannot start a thread for", name.as_ref(), error))?;
        Ok(Self { name, queue, waiting, capacity: capacity.max(1) })
    }

    /// Puts a job into the queue.
    pub fn submit(&self, job: J) -> std::result::Result<(), Problem> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|error| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => {
                    Problem::busy(format!("{} pieces of work of {} wait", self.capacity, self.name))
                }
                TrySendError::Closed(_) => Problem::internal(format!("the thread of {} has ended", self.name)),
            }
        })
    }

    /// Jobs that can wait; at least 1.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl<J> std::fmt::Debug for Lane<J> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Lane").field("name", &self.name).field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc as std_mpsc;

    #[test]
    fn what_waits_is_taken_together_and_a_full_queue_refuses() {
        let (begun, seen) = std_mpsc::channel();
        let (go, gate) = std_mpsc::channel::<()>();
        let lane = Lane::start("test", 3, 2, move |jobs: Vec<u32>| {
            begun.send(jobs).unwrap();
            gate.recv().unwrap();
        })
        .unwrap();
        lane.submit(0).unwrap();
        assert_eq!(seen.recv().unwrap(), [0]);
        (1..=3).for_each(|job| lane.submit(job).unwrap());
        assert_eq!(lane.waiting(), 3);
        assert_eq!(lane.submit(4).unwrap_err().status.as_u16(), 503);
        (0..3).for_each(|_| go.send(()).unwrap());
        assert_eq!([seen.recv().unwrap(), seen.recv().unwrap()], [vec![1, 2], vec![3]]);
        assert_eq!(lane.waiting(), 0);
    }

    #[test]
    fn a_panic_ends_one_batch_and_not_the_lane() {
        let (done, seen) = std_mpsc::channel();
        let lane = Lane::start("test", 3, 1, move |jobs: Vec<u32>| {
            assert_ne!(jobs[0], 0, "a job that panics on purpose");
            done.send(jobs[0]).unwrap();
        })
        .unwrap();
        lane.submit(0).unwrap();
        lane.submit(7).unwrap();
        assert_eq!(seen.recv().unwrap(), 7);
    }
}
