//! Text files of a dataset: UTF-8, or UTF-16 that says so, or an error that names the line and the byte.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The file's text without a byte-order mark; UTF-16 with one is read too. Lines that end with a carriage return alone get
/// a line feed.
///
/// # Errors
/// Unreadable, or in another encoding: names the line and the byte.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("cannot read", path, error))?;
    let text = if is_utf16(&bytes) { from_utf16(&bytes, path) } else { from_utf8(bytes, path) }?;
    Ok(if text.contains('\r') && !text.contains('\n') { text.replace('\r', "\n") } else { text })
}

/// Whether bytes begin with the byte-order mark of UTF-16.
pub fn is_utf16(bytes: &[u8]) -> bool {
    // That of UTF-32, little end first, begins with the same two bytes.
    bytes.starts_with(&[0xfe, 0xff]) || bytes.starts_with(&[0xff, 0xfe]) && !bytes.starts_with(&[0xff, 0xfe, 0, 0])
}

fn from_utf8(bytes: Vec<u8>, path: &Path) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let (at, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let found = format!("the byte {:02x}, which is not UTF-8", bytes[at]);
        Error::invalid(format!("{}, line {line}", path.display()), found, "UTF-8 text")
            .with_hint(format!("convert the file, for example with: iconv -f {} -t utf-8", likely_encoding(bytes)))
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// What a file of one byte a character is most likely written in: the bytes 80 to 9f are letters and quotes in Windows'
/// code page, and nothing in Latin-1.
fn likely_encoding(bytes: &[u8]) -> &'static str {
    if bytes.iter().any(|byte| (0x80..=0x9f).contains(byte)) { "cp1252" } else { "latin1" }
}

fn from_utf16(bytes: &[u8], path: &Path) -> Result<String> {
    let unit = |pair: &[u8]| if bytes[0] == 0xff { [pair[0], pair[1]] } else { [pair[1], pair[0]] };
    let pairs = bytes[2..].chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    let units = pairs.map(|pair| u16::from_le_bytes(unit(pair)));
    let (mut text, mut line) = (String::with_capacity(bytes.len() / 2), 1);
    let broken = |line: usize, found: String| {
        Err(Error::invalid(format!("{}, line {line}", path.display()), found, "UTF-16 text"))
    };
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => {
                line += usize::from(character == '\n');
                text.push(character);
            }
            Err(error) => return broken(line, format!("the half character {:04x}", error.unpaired_surrogate())),
        }
    }
    if is_whole { Ok(text) } else { broken(line, "half a character at the end".to_owned()) }
}

/// Parses JSON; `what` describes it in errors, which name file, line and column.
pub fn parse_json<T: DeserializeOwned>(text: &str, path: &Path, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        let message = message.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
        let (found, expected) = match message.split_once(", expected ") {
            Some((found, expected)) => (found.to_owned(), format!("{expected}, of {what}")),
            None if error.is_data() => (message.to_owned(), what.to_owned()),
            None => (format!("damaged JSON ({message})"), what.to_owned()),
        };
        let place = format!("{}, line {}, column {}", path.display(), error.line(), error.column());
        Error::invalid(place, found, expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read_text(file.path())
    }

    fn utf16(text: &str, from: fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(from).collect()
    }

    #[test]
    fn byte_order_marks_and_line_ends_of_other_systems() {
        let text = "image,caption\r\na.png,café 🐕\r\n";
        assert_eq!(read(format!("\u{feff}{text}").as_bytes()).unwrap(), text);
        assert_eq!(read(&utf16(text, u16::to_le_bytes)).unwrap(), text);
        assert_eq!(read(&utf16(text, u16::to_be_bytes)).unwrap(), text);
        assert_eq!(read(b"a\rb\r").unwrap(), "a\nb\n");
    }

    #[test]
    fn other_encodings_are_named_with_line_and_byte() {
        let refused = |bytes: &[u8]| {
            let error = read(bytes).unwrap_err();
            format!("{error} / {}", error.hint().unwrap_or_default())
        };
        let latin = refused(b"one\ncaf\xe9\n");
        assert!(latin.contains("line 2: found the byte e9") && latin.contains("iconv -f latin1"), "{latin}");
        // 93 and 94 are typographic quotes on Windows.
        assert!(refused(b"\x93one\x94 caf\xe9\n").contains("iconv -f cp1252"));
        let mut half = utf16("one\ntwo", u16::to_le_bytes);
        half.pop();
        assert!(refused(&half).contains("line 2: found half a character"), "{}", refused(&half));
        assert!(refused(&[0xff, 0xfe, b'\n', 0, 0, 0xd8, b'a', 0]).contains("line 2: found the half character d800"));
    }
}
