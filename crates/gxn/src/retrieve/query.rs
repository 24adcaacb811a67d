//! Queries of words and pictures with signs and weights, in the syntax of rclip.

use std::path::PathBuf;

use gxn_base::{Error, Result};

/// What one part of a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Words.
    Text(String),
    /// A picture file.
    Picture(PathBuf),
}

/// One part of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it asks for.
    pub content: Content,
    /// Its weight; below zero it is held against an item.
    pub weight: f32,
}

/// Reads the words of a command line: parts separated by `+` and `-` as arguments of their own, each with an optional
/// weight `N:` before it. A part that starts with `./`, `../`, `/`, `~/` or `file://` is a picture; several arguments in a
/// row are one sentence.
///
/// # Errors
/// When a sign has nothing behind it, a weight is no positive number, or there is no part at all.
pub fn parse_query(words: &[String]) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut sign = 1.0;
    let mut open: Vec<&str> = Vec::new();
    let mut last_sign: Option<&str> = None;
    for word in words {
        if word == "+" || word == "-" {
            if open.is_empty() && (last_sign.is_some() || !parts.is_empty()) {
                return Err(nothing_behind(last_sign.unwrap_or(word)));
            }
            if !open.is_empty() {
                parts.push(part(&open.join(" "), sign)?);
                open.clear();
            }
            sign = if word == "+" { 1.0 } else { -1.0 };
            last_sign = Some(word);
        } else {
            open.push(word);
        }
    }
    match (open.is_empty(), last_sign) {
        (false, _) => parts.push(part(&open.join(" "), sign)?),
        (true, Some(sign)) => return Err(nothing_behind(sign)),
        (true, None) => {}
    }
    if parts.is_empty() {
        return Err(Error::invalid("the query", "nothing", "words or a picture, such as \"two dogs\" or ./photo.jpg"));
    }
    Ok(parts)
}

/// One part, such as `2:golden retriever` or `./pool.jpg`, times `sign`.
///
/// # Errors
/// When the weight is no positive number or nothing follows it.
pub fn part(text: &str, sign: f32) -> Result<Part> {
    let (weight, text) = match text.split_once(':') {
        Some((number, rest)) if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.') => {
            let weight: f32 = number.parse().ok().filter(|w: &f32| w.is_finite() && *w > 0.0).ok_or_else(|| {
                Error::invalid(format!("the weight in {text:?}"), number.to_string(), "a positive number")
            })?;
            (weight, rest)
        }
        _ => (1.0, text),
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::invalid("a part of the query", "nothing", "words or a picture"));
    }
    let content = if let Some(path) = text.strip_prefix("file://") {
        Content::Picture(path.into())
    } else if let Some(path) = text.strip_prefix("~/") {
        Content::Picture(PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(path))
    } else if ["./", "../", "/"].iter().any(|start| text.starts_with(start)) {
        Content::Picture(text.into())
    } else {
        Content::Text(text.to_string())
    };
    Ok(Part { content, weight: weight * sign })
}

fn nothing_behind(sign: &str) -> Error {
    Error::invalid(format!("the query behind {sign:?}"), "nothing", "words or a picture")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Vec<Part>> {
        parse_query(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>())
    }

    fn text(words: &str, weight: f32) -> Part {
        Part { content: Content::Text(words.into()), weight }
    }

    #[test]
    fn words_signs_weights_and_pictures() {
        assert_eq!(parse(&["two dogs"]).unwrap(), [text("two dogs", 1.0)]);
        assert_eq!(parse(&["two", "dogs"]).unwrap(), [text("two dogs", 1.0)]);
        assert_eq!(parse(&["horse", "+", "stripes"]).unwrap(), [text("horse", 1.0), text("stripes", 1.0)]);
        assert_eq!(parse(&["-", "fruit", "+", "0.5:apple"]).unwrap(), [text("fruit", -1.0), text("apple", 0.5)]);
        let mixed = parse(&["2:golden retriever", "-", "./pool.jpg"]).unwrap();
        assert_eq!(mixed[0], text("golden retriever", 2.0));
        assert_eq!(mixed[1], Part { content: Content::Picture("./pool.jpg".into()), weight: -1.0 });
        assert_eq!(parse(&["at 10:30"]).unwrap(), [text("at 10:30", 1.0)]);
    }

    #[test]
    fn loose_ends_are_errors() {
        for words in [&[][..], &["dog", "+"], &["dog", "+", "-", "cat"], &["0:dog"], &["2:"], &["+"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
