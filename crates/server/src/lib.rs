//! HTTP API and search page over the `gxn` library.
