//! HTTP API and search page over the `gxn` library.
//!
//! [`serve`] opens an index with its model and answers until it is asked to stop. It makes an [`App`], whose
//! [`App::router`] tests call without a socket.
//!
//! | module | holds |
//! |---|---|
//! | [`options`] | what is served, and the limits of requests |
//! | `serve` | sockets, start and end |
//! | [`app`] | what requests share, and the routes |
//! | [`problem`] | errors as RFC 9457 problems, with a status by their kind |
//! | `extract`, `form` | bodies, forms, ids and parameters of requests, checked |
//! | `guard` | keys, origins, time limits, headers, the log line |
//! | `lane` | work on threads of its own, in batches, behind a bounded queue |
//! | `jobs`, `events` | changes of the index one after the other; streams of events |
//! | `library` | model and index, refreshed when the index was changed |
//! | `page` | the files of the page |
//! | `routes` | one file for each group of routes |
#![warn(missing_docs)]

pub mod app;
mod encoding;
mod events;
mod extract;
mod form;
mod guard;
mod jobs;
mod lane;
mod library;
mod metrics;
pub mod options;
mod page;
pub mod problem;
mod routes;
mod serve;
mod thumbs;

pub use app::App;
pub use options::{Limits, ServeOptions};
pub use problem::Problem;
pub use serve::serve;
