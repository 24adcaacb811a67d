//! Numbers and lists in messages.

use std::fmt::{Display, Write};

/// `1 image`, `24 images`, `2 queries`, `3 indexes`.
pub fn counted(count: usize, one: &str) -> String {
    let stem = one.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o']));
    match stem {
        _ if count == 1 => format!("1 {one}"),
        Some(stem) => format!("{count} {stem}ies"),
        None if one.ends_with(['s', 'x']) || one.ends_with("ch") => format!("{count} {one}es"),
        None => format!("{count} {one}s"),
    }
}

/// Lower-case hexadecimal digits, two a byte.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The first items of a list, then how many more there are.
pub fn first_few<T: Display>(items: &[T]) -> String {
    const NAMED: usize = 5;
    let named = items.iter().take(NAMED).map(T::to_string).collect::<Vec<_>>().join(", ");
    if items.len() > NAMED { format!("{named} and {} more", items.len() - NAMED) } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bytes_and_lists_read_as_english() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "image")), ["0 images", "1 image", "2 images"]);
        assert_eq!(
            ["query", "index", "day", "match"].map(|one| counted(2, one)),
            ["2 queries", "2 indexes", "2 days", "2 matches"]
        );
        assert_eq!(hex([0, 10, 255]), "000aff");
        assert_eq!(first_few(&[1, 2, 3, 4, 5]), "1, 2, 3, 4, 5");
        assert_eq!(first_few(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
