//! What a run is made of: plain data, unknown keys refused.
