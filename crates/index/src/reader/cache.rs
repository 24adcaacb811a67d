//! What an open index remembers between searches.

use crate::bitmap::Bitmap;
use crate::filter::Filter;
use gxn_base::Modality;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most filters whose results are kept.
const FILTERS: usize = 8;

/// For each row file the rows that have an item which passes a filter.
pub(super) type Passing = Arc<Vec<Bitmap>>;

/// The rows that pass each of the last filters.
#[derive(Debug, Default)]
pub(super) struct FilterCache(Mutex<Vec<(Modality, Filter, Passing)>>);

impl FilterCache {
    pub(super) fn get(&self, modality: Modality, filter: &Filter) -> Option<Passing> {
        self.entries().iter().find(|(s, f, _)| *s == modality && f == filter).map(|(_, _, passing)| passing.clone())
    }

    /// Keeps the result of a filter; the oldest one makes room.
    pub(super) fn insert(&self, modality: Modality, filter: &Filter, passing: Passing) {
        let mut entries = self.entries();
        if entries.len() == FILTERS {
            entries.remove(0);
        }
        entries.push((modality, filter.clone(), passing));
    }

    fn entries(&self) -> MutexGuard<'_, Vec<(Modality, Filter, Passing)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queries of images and of captions that sketches might have answered.
#[derive(Debug, Default)]
pub(super) struct QueryCount([AtomicUsize; 2]);

impl QueryCount {
    /// Counts queries, and returns how many there were before.
    pub(super) fn add(&self, modality: Modality, queries: usize) -> usize {
        self.0[modality as usize].fetch_add(queries, Ordering::Relaxed)
    }
}
