//! [`Query`]: words and images with signs and weights, in the syntax of rclip.

use std::path::{Path, PathBuf};

use gxn_base::{Error, Result};
use gxn_data::{DecodeCommand, ImageSource};
use image::RgbImage;
use percent_encoding::percent_decode_str;

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
    /// An image of the index, by its id.
    Item(String),
}

/// One part of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it asks for.
    pub content: Content,
    /// Its weight; below zero it is held against an item.
    pub weight: f32,
    /// The weight was written in front of it, as in `2:dog`; a program tells its user that these were not taken as words.
    pub is_weight_written: bool,
}

/// What is searched for: an item's score is the weighted sum of its scores with the parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// At least one.
    pub parts: Vec<Part>,
}

impl From<Content> for Query {
    fn from(content: Content) -> Self {
        Self { parts: vec![Part { content, weight: 1.0, is_weight_written: false }] }
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
    /// it, which no digit may follow: `2:dogs` is a weight, `10:30` is a time. What stands in double quotes of its own is
    /// words, whatever they look like: `2:"30 dogs"`, `"2:dogs"`. A part that starts with `./`, `../`, `/`, `~/` or `file://` is an image; several arguments in a row are one
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
        let (written, text) = split_weight(text.trim())?;
        let text = text.trim();
        let content = match in_quotes(text) {
            Some(words) => Content::Text(words.trim().to_owned()),
            None => content_of(text),
        };
        if content == Content::Text(String::new()) {
            return Err(Error::invalid("a part of the query", "nothing", "words or an image"));
        }
        self.parts.push(Part { content, weight: written.unwrap_or(1.0) * sign, is_weight_written: written.is_some() });
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
            Content::File(_) | Content::Bytes(_) | Content::Pixels(_) | Content::Item(_) => None,
        })
    }
}

fn content_of(text: &str) -> Content {
    if let Some(path) = text.strip_prefix("file://") {
        Content::File(path_of_uri(path))
    } else if let Some(path) = text.strip_prefix("~/") {
        Content::File(PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(path))
    } else if is_image_path(text) {
        Content::File(text.into())
    } else {
        Content::Text(text.to_owned())
    }
}

/// The path of a file URI, whose characters may be percent-encoded; one that exists as it is written is that file.
fn path_of_uri(path: &str) -> PathBuf {
    if Path::new(path).exists() {
        return path.into();
    }
    percent_decode_str(path).decode_utf8().map_or_else(|_| path.into(), |decoded| PathBuf::from(decoded.as_ref()))
}

/// The text between double quotes, if it stands in them.
fn in_quotes(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The weight in front of a part, if there is one, and the rest.
fn split_weight(text: &str) -> Result<(Option<f32>, &str)> {
    let Some((number, rest)) = text.split_once(':') else { return Ok((None, text)) };
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_number = digits.contains(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.matches('.').count() < 2;
    // A time, a ratio, a date.
    if !is_number || rest.starts_with(char::is_numeric) {
        return Ok((None, text));
    }
    match number.parse::<f32>() {
        Ok(weight) if weight.is_finite() && weight > 0.0 && number == digits => Ok((Some(weight), rest)),
        _ => Err(Error::invalid(format!("the weight in {text:?}"), number, "a positive number")
            .with_hint("a part is subtracted by a `-` of its own before it; in double quotes, a number is a word")),
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

    #[test]
    fn the_path_of_a_uri_may_be_percent_encoded() {
        let folder = tempfile::tempdir().unwrap();
        let (spaced, literal) = (folder.path().join("q ü.png"), folder.path().join("50%20.png"));
        std::fs::write(&literal, "x").unwrap();
        let content = |uri: &str| parse(&[uri]).unwrap().remove(0).content;
        let place = folder.path().display();
        assert_eq!(content(&format!("file://{place}/q%20%C3%BC.png")), Content::File(spaced.clone()));
        assert_eq!(content(&format!("file://{place}/q ü.png")), Content::File(spaced));
        assert_eq!(content(&format!("file://{place}/50%20.png")), Content::File(literal), "a file of that very name");
    }

    fn text(words: &str, weight: f32) -> Part {
        Part { content: Content::Text(words.into()), weight, is_weight_written: false }
    }

    fn weighted(words: &str, weight: f32) -> Part {
        Part { is_weight_written: true, ..text(words, weight) }
    }

    #[test]
    fn words_signs_weights_and_images() {
        assert_eq!(parse(&["two dogs"]).unwrap(), [text("two dogs", 1.0)]);
        assert_eq!(parse(&["two", "dogs"]).unwrap(), [text("two dogs", 1.0)]);
        assert_eq!(parse(&["horse", "+", "stripes"]).unwrap(), [text("horse", 1.0), text("stripes", 1.0)]);
        assert_eq!(parse(&["-", "fruit", "+", "0.5:apple"]).unwrap(), [text("fruit", -1.0), weighted("apple", 0.5)]);
        let mixed = parse(&["2:golden retriever", "-", "./pool.jpg"]).unwrap();
        assert_eq!(mixed[0], weighted("golden retriever", 2.0));
        assert_eq!(mixed[1], Part { content: Content::File("./pool.jpg".into()), ..text("", -1.0) });
        assert_eq!(parse(&["at 10:30"]).unwrap(), [text("at 10:30", 1.0)]);
    }

    #[test]
    fn a_number_before_a_colon_is_a_weight_only_before_words() {
        for (query, expected) in [
            ("10:30 at the station", text("10:30 at the station", 1.0)),
            ("16:9", text("16:9", 1.0)),
            ("2024.05.31: a picnic", text("2024.05.31: a picnic", 1.0)),
            ("10:\u{663}", text("10:\u{663}", 1.0)),
            ("chapter 2: the dog", text("chapter 2: the dog", 1.0)),
            ("x2:dog", text("x2:dog", 1.0)),
            (".:dog", text(".:dog", 1.0)),
            (":dog", text(":dog", 1.0)),
            ("\"2:dog\"", text("2:dog", 1.0)),
            ("\"./dog\"", text("./dog", 1.0)),
            ("2:dog", weighted("dog", 2.0)),
            (" .5:dog", weighted("dog", 0.5)),
            ("1:dog", weighted("dog", 1.0)),
            ("2: 30 dogs", weighted("30 dogs", 2.0)),
            ("2:\"30 dogs\"", weighted("30 dogs", 2.0)),
        ] {
            assert_eq!(parse(&[query]).unwrap(), [expected], "{query}");
        }
    }

    #[test]
    fn loose_ends_are_errors() {
        let endless = format!("{}:dog", "9".repeat(60));
        for words in [
            &[][..],
            &["dog", "+"],
            &["dog", "+", "-", "cat"],
            &["0:dog"],
            &["-2:dog"],
            &["+2:dog"],
            &["2:"],
            &["2:\"\""],
            &["\" \""],
            &[&endless],
            &["+"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    /// The plain meaning of one argument that is neither a sign nor a path.
    fn plain(argument: &str) -> Option<(Option<f32>, String)> {
        let argument = argument.trim();
        let bare = |words: &str| match words.len() {
            2.. if words.starts_with('"') && words.ends_with('"') => words[1..words.len() - 1].trim().to_owned(),
            _ => words.to_owned(),
        };
        let weight = argument.find(':').and_then(|colon| {
            let (number, rest) = (&argument[..colon], &argument[colon + 1..]);
            let follows_digit = rest.chars().next().is_some_and(char::is_numeric);
            (!follows_digit).then_some((number.parse::<f32>().ok()?, rest.trim()))
        });
        let (weight, words) = match weight {
            Some((weight, rest)) => (Some(weight), bare(rest)),
            None => (None, bare(argument)),
        };
        (!words.is_empty() && weight.is_none_or(|weight| weight > 0.0)).then_some((weight, words))
    }

    proptest::proptest! {
        #[test]
        fn any_arguments_give_an_answer(words in proptest::collection::vec(proptest::prelude::any::<String>(), 0..5)) {
            if let Ok(query) = Query::parse(&words) {
                proptest::prop_assert!(!query.parts.is_empty());
                proptest::prop_assert!(query.parts.iter().all(|part| part.weight.is_finite() && part.weight != 0.0));
                proptest::prop_assert!(query.texts().all(|text| !text.is_empty()));
            }
        }

        #[test]
        fn an_argument_means_what_it_plainly_says(argument in "[ \"]?[0-9]{0,2}[.]?[0-9a]{0,2}:? ?[\"a0٣é ]{0,4}\"?") {
            let expected = plain(&argument).map(|(weight, words)| Part {
                is_weight_written: weight.is_some(),
                ..text(&words, weight.unwrap_or(1.0))
            });
            let found = parse(&[&argument]).ok().map(|mut parts| parts.remove(0));
            proptest::prop_assert_eq!(found, expected);
        }

        #[test]
        fn signs_part_arguments(words in proptest::collection::vec("[a-c]{1,2}|[+]|-", 0..7)) {
            let found = Query::parse(&words);
            let groups: Vec<&[String]> = words.split(|word| word == "+" || word == "-").collect();
            // Only the first group may be empty: before a sign that opens the query.
            let is_sound = !words.is_empty() && groups[1..].iter().all(|group| !group.is_empty());
            proptest::prop_assert_eq!(found.is_ok(), is_sound);
            if let Ok(query) = found {
                let texts: Vec<String> = groups.iter().filter(|group| !group.is_empty()).map(|g| g.join(" ")).collect();
                proptest::prop_assert_eq!(query.texts().collect::<Vec<_>>(), texts);
                let minus = words.iter().filter(|word| *word == "-").count();
                proptest::prop_assert_eq!(query.parts.iter().filter(|part| part.weight < 0.0).count(), minus);
            }
        }
    }
}
