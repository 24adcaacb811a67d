//! Pure functions on plain slices: ranks and recall, the paired bootstrap.

pub mod bootstrap;
pub mod recall;

pub use bootstrap::{Bootstrap, Difference, Interval, Queries};
pub use recall::{METRIC_KEYS, Metrics, Recall, ranks, recall_at};
