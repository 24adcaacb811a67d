//! One file for each group of routes.

pub(crate) mod clip_retrieval;
pub(crate) mod data;
pub(crate) mod edit;
pub(crate) mod embeddings;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod health;
pub(crate) mod index;
pub(crate) mod items;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod page;
mod query;
pub(crate) mod reports;
pub(crate) mod runs;
pub(crate) mod search;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All that may not stand in a part of a path (RFC 3986).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An id as a part of a path.
fn percent_encoded(id: &str) -> String {
    utf8_percent_encode(id, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_one_part_of_a_path() {
        assert_eq!(super::percent_encoded("2024/a b.jpg"), "2024%2Fa%20b.jpg");
        assert_eq!(super::percent_encoded("\u{e9}?"), "%C3%A9%3F");
    }
}
