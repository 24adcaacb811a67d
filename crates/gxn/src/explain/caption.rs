//! [`compare_caption`]: a generated caption beside a text.

use gxn_data::tokenize;
use serde::Serialize;

/// Words that say nothing of what an image shows.
const COMMON: [&str; 37] = [
    "a", "an", "the", "and", "or", "of", "in", "on", "at", "to", "with", "by", "for", "from", "is", "are", "was", "be",
    "it", "its", "his", "her", "their", "there", "that", "this", "as", "into", "while", "some", "another", "has",
    "have", "who", "which", "being", "unk",
];

/// A caption that the model generated, and the words that a text shares with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaptionComparison {
    /// The caption.
    pub text: String,
    /// Words of both.
    pub shared: Vec<String>,
    /// Words of the caption alone.
    pub extra: Vec<String>,
    /// Words of the text alone.
    pub missing: Vec<String>,
}

/// Compares the words of a generated caption with those of a text, without those such as "the". Each word is named once, in
/// its order.
pub fn compare_caption(text: &str, caption: &str) -> CaptionComparison {
    let (asked, said) = (content_words(text), content_words(caption));
    let (shared, missing) = asked.iter().cloned().partition(|word| said.contains(word));
    let extra = said.into_iter().filter(|word| !asked.contains(word)).collect();
    CaptionComparison { text: caption.to_owned(), shared, extra, missing }
}

fn content_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in tokenize(text) {
        if !COMMON.contains(&word.as_str()) && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_and_of_either() {
        let found = compare_caption("Two brown dogs on the beach", "two dogs run on the sand and the dogs");
        assert_eq!(found.shared, ["two", "dogs"]);
        assert_eq!(
            (found.extra, found.missing),
            (vec!["run".into(), "sand".into()], vec!["brown".into(), "beach".into()])
        );
    }
}
