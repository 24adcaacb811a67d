//! [`Relevance`]: which items count as right answers where a calibration is fitted.

use std::collections::HashMap;

use gxn_data::tokenize;
use serde::{Deserialize, Serialize};

/// Words that captions of one content differ in.
const SMALL_WORDS: [&str; 16] =
    ["a", "an", "and", "are", "at", "be", "in", "is", "of", "on", "some", "the", "there", "this", "to", "with"];

/// Which captions an image counts as having.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relevance {
    /// Its own alone. Calibrations of before there was a choice are of this kind.
    Own,
    /// Also those of other images that are one of its own word by word.
    #[default]
    Verbatim,
    /// Also those that have the same words as one of its own in another order, or but for small words such as "the".
    Near,
}

impl Relevance {
    /// A number for each caption: equal for captions that count as the same.
    pub(super) fn groups(self, texts: &[&str]) -> Vec<usize> {
        let mut numbers = HashMap::new();
        let number = |(at, text): (usize, &&str)| {
            let key = match self {
                Self::Own => return at,
                Self::Verbatim => tokenize(text),
                Self::Near => content_words(tokenize(text)),
            };
            let next = numbers.len();
            *numbers.entry(key).or_insert(next)
        };
        texts.iter().enumerate().map(number).collect()
    }
}

/// The words without small ones, sorted and each once; all where there are no others.
fn content_words(words: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = words.iter().filter(|word| !SMALL_WORDS.contains(&word.as_str())).cloned().collect();
    if kept.is_empty() {
        return words;
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_count_as_the_same_by_their_words() {
        let texts = ["A dog runs.", "a dog runs", "the dog runs", "a cat runs", "is there", "the"];
        assert_eq!(Relevance::Own.groups(&texts), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Relevance::Verbatim.groups(&texts), [0, 0, 1, 2, 3, 4]);
        assert_eq!(Relevance::Near.groups(&texts), [0, 0, 0, 1, 2, 3]);
    }
}
