//! [`word_shares`]: what the score loses without each word.

use gxn_base::{Error, Result};
use gxn_data::has_word;
use serde::Serialize;

use super::pair_score;
use crate::encoder::Encoder;

/// Words that are explained at most: each is one text to encode.
const MOST_WORDS: usize = 100;

/// A word's share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WordShare {
    /// The word as it was written.
    pub word: String,
    /// The score of the whole text less that of the text without the word; of a text of one word, its score.
    pub contribution: f32,
}

/// The words of a text: what stands between white space and holds a token.
pub fn words_of(text: &str) -> Vec<&str> {
    text.split_whitespace().filter(|word| has_word(word)).collect()
}

/// The share of each word of `text` in its score with `image` (`[h ; l]`), in their order.
///
/// # Errors
/// When there is no word or more than a hundred, and when the text cannot be encoded.
pub fn word_shares(encoder: &Encoder, text: &str, image: &[f32]) -> Result<Vec<WordShare>> {
    let words = words_of(text);
    if words.is_empty() || words.len() > MOST_WORDS {
        let found = format!("{} words", words.len());
        return Err(Error::invalid("the text to explain", found, format!("1 to {MOST_WORDS}")));
    }
    let space = encoder.space();
    let all: Vec<usize> = (0..words.len()).collect();
    let mut texts = vec![kept(&words, &all)];
    if words.len() > 1 {
        texts.extend(all.iter().map(|&left_out| {
            let rest: Vec<usize> = all.iter().copied().filter(|&at| at != left_out).collect();
            kept(&words, &rest)
        }));
    }
    let rows = encoder.encode_texts(&texts)?;
    let whole = pair_score(&space, &rows.joined(0), image)?;
    let share = |(at, word): (usize, &&str)| {
        let rest = if words.len() > 1 { pair_score(&space, &rows.joined(at + 1), image)? } else { 0.0 };
        Ok(WordShare { word: (*word).to_owned(), contribution: whole - rest })
    };
    words.iter().enumerate().map(share).collect()
}

/// The words at these places as a text.
pub(super) fn kept(words: &[&str], places: &[usize]) -> String {
    places.iter().map(|&at| words[at]).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_tokens() {
        assert_eq!(words_of("Two dogs, -- running !"), ["Two", "dogs,", "running"]);
        assert_eq!(kept(&["a", "b", "c"], &[0, 2]), "a c");
    }
}
