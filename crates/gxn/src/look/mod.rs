//! LOOK: pictures and sentences become embeddings.
