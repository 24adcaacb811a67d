//! Search with words and pictures.
