//! Retrieval protocols and reports.
