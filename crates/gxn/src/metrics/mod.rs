//! Pure functions on plain slices: ranks and recall, the paired bootstrap.
