//! Texts of people and file systems: one normal form for comparing them, and a form that is safe to print.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The text in Unicode's normal form C: names that read alike compare alike, whether a system writes `é` as one character
/// or as two.
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}

/// The text with everything escaped that would change a terminal or the reading of a line: control characters, line
/// separators and marks of writing direction. For people: a backslash of the text itself stays as it is.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().fold(String::with_capacity(text.len() + 8), |mut out, character| {
        if is_unprintable(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        out
    });
    Cow::Owned(escaped)
}

fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_read_alike_are_alike() {
        assert_eq!(composed("cafe\u{301}.png"), "caf\u{e9}.png");
        assert!(matches!(composed("caf\u{e9}.png"), Cow::Borrowed(_)));
        assert_eq!(composed(""), "");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printable() {
        assert_eq!(
            printable("\u{1b}[31mred\nline\t\u{7f}\u{9b}\u{202e}"),
            r"\u{1b}[31mred\nline\t\u{7f}\u{9b}\u{202e}"
        );
        assert_eq!(printable("größe 🐱\u{200d}\u{200b}\\n"), "größe 🐱\u{200d}\u{200b}\\n");
    }
}
