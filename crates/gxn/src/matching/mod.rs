//! MATCH: similarity and ranking losses.
