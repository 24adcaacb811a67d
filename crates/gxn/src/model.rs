//! The whole network.
