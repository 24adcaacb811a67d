//! [`Query`]: words and images with signs and weights, in the syntax of rclip.

use std::path::PathBuf;

use gxn_base::{Error, Result};
use gxn_data::{DecodeCommand, ImageSource};
use image::RgbImage;

/// Marks at the start of a part that is the path of an image.
const PATH_STARTS: [&str; 5] = ["./", "../", "/", "~/", "file://"];

/// What one part of a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Words.
    Text(String),
    /// An image file.
    File(PathBuf),
    /// The bytes of an image file.
    Bytes(Vec<u8>),
    /// A decoded image.
    Pixels(RgbImage),
}

/// One part of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it asks for.
    pub content: Content,
    /// Its weight; below zero it is held against an item.
    pub weight: f32,
}

/// What is searched for: an item's score is the weighted sum of its scores with the parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// At least one.
    pub parts: Vec<Part>,
}

impl From<Content> for Query {
    fn from(content: Content) -> Self {
        Self { parts: vec![Part { content, weight: 1.0 }] }
    }
}

impl From<&str> for Query {
    /// The words as they are; [`Query::parse`] knows signs and weights.
    fn from(text: &str) -> Self {
        Content::Text(text.to_owned()).into()
    }
}

impl Query {
    /// Reads arguments: parts separated by `+` and `-` as arguments of their own, each with an optional weight `N:` before
    /// it. A part that starts with `./`, `../`, `/`, `~/` or `file://` is an image; several arguments in a row are one
    /// sentence.
    ///
    /// # Errors
    /// When nothing follows a sign, a weight is not a positive number, or there is no part at all.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self> {
        let mut query = Self::default();
        let mut sign = 1.0;
        let mut open: Vec<&str> = Vec::new();
        let mut last_sign: Option<&str> = None;
        for word in words.iter().map(AsRef::as_ref) {
            if word == "+" || word == "-" {
                if open.is_empty() && (last_sign.is_some() || !query.parts.is_empty()) {
                    return Err(nothing_behind(last_sign.unwrap_or(word)));
                }
                if !open.is_empty() {
                    query.add(&open.join(" "), sign)?;
                    open.clear();
                }
                sign = if word == "+" { 1.0 } else { -1.0 };
                last_sign = Some(word);
            } else {
                open.push(word);
            }
        }
        match (open.is_empty(), last_sign) {
            (false, _) => query.add(&open.join(" "), sign)?,
            (true, Some(sign)) => return Err(nothing_behind(sign)),
            (true, None) => {}
        }
        if query.parts.is_empty() {
            return Err(Error::invalid(
                "the query",
                "nothing",
                "words or an image, such as \"two dogs\" or ./photo.jpg",
            ));
        }
        Ok(query)
    }

    /// Adds one part, such as `2:golden retriever` or `./pool.jpg`, times `sign`.
    ///
    /// # Errors
    /// When the weight is not a positive number or nothing follows it.
    pub fn add(&mut self, text: &str, sign: f32) -> Result<()> {
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
            return Err(Error::invalid("a part of the query", "nothing", "words or an image"));
        }
        let content = if let Some(path) = text.strip_prefix("file://") {
            Content::File(path.into())
        } else if let Some(path) = text.strip_prefix("~/") {
            Content::File(PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(path))
        } else if is_image_path(text) {
            Content::File(text.into())
        } else {
            Content::Text(text.to_string())
        };
        self.parts.push(Part { content, weight: weight * sign });
        Ok(())
    }

    /// Reads the files of its parts through `command`, where they are of a format that is not decoded here.
    ///
    /// # Errors
    /// When a file cannot be read or the command fails.
    pub fn decode_files(&mut self, command: &DecodeCommand) -> Result<()> {
        for part in &mut self.parts {
            if let Content::File(path) = &part.content {
                let source = Box::new(ImageSource::File(path.clone()));
                let bytes = ImageSource::Converted { source, command: command.clone() }.read()?;
                part.content = Content::Bytes(bytes);
            }
        }
        Ok(())
    }

    /// The texts of its parts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match &part.content {
            Content::Text(text) => Some(text.as_str()),
            Content::File(_) | Content::Bytes(_) | Content::Pixels(_) => None,
        })
    }
}

/// Whether [`Query::parse`] takes a word as the path of an image.
pub fn is_image_path(word: &str) -> bool {
    PATH_STARTS.iter().any(|start| word.starts_with(start))
}

fn nothing_behind(sign: &str) -> Error {
    Error::invalid(format!("the query behind {sign:?}"), "nothing", "words or an image")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Vec<Part>> {
        Query::parse(words).map(|query| query.parts)
    }

    fn text(words: &str, weight: f32) -> Part {
        Part { content: Content::Text(words.into()), weight }
    }

    #[test]
    fn words_signs_weights_and_images() {
        assert_eq!(parse(&["two dogs"]).unwrap(), [text("two dogs", 1.0)]);
        assert_eq!(parse(&["two", "dogs"]).unwrap(), [text("two dogs", 1.0)]);
        assert_eq!(parse(&["horse", "+", "stripes"]).unwrap(), [text("horse", 1.0), text("stripes", 1.0)]);
        assert_eq!(parse(&["-", "fruit", "+", "0.5:apple"]).unwrap(), [text("fruit", -1.0), text("apple", 0.5)]);
        let mixed = parse(&["2:golden retriever", "-", "./pool.jpg"]).unwrap();
        assert_eq!(mixed[0], text("golden retriever", 2.0));
        assert_eq!(mixed[1], Part { content: Content::File("./pool.jpg".into()), weight: -1.0 });
        assert_eq!(parse(&["at 10:30"]).unwrap(), [text("at 10:30", 1.0)]);
    }

    #[test]
    fn loose_ends_are_errors() {
        for words in [&[][..], &["dog", "+"], &["dog", "+", "-", "cat"], &["0:dog"], &["2:"], &["+"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
