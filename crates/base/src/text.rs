//! Text files of a dataset: UTF-8 or an error that names the line.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The file's text without a byte-order mark.
///
/// # Errors
/// Unreadable, or not UTF-8: names the line.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("cannot read", path, error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let found = format!("the byte {:02x}, which is not UTF-8", error.as_bytes()[at]);
        Error::invalid(format!("{}, line {line}", path.display()), found, "UTF-8 text")
            .with_hint("convert the file, for example with: iconv -f latin1 -t utf-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
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
