//! [`Vocabulary`]: words and their numbers, from the training captions alone.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::split::Split;
use super::tokenizer::tokenize;
use gxn_base::{Error, Result};

/// Padding after the end of a caption.
pub const PAD: u32 = 0;
/// Begins every caption.
pub const START: u32 = 1;
/// Ends every caption.
pub const END: u32 = 2;
/// A word that is not in the vocabulary.
pub const UNKNOWN: u32 = 3;

const SPECIALS: [&str; 4] = ["<pad>", "<start>", "<end>", "<unk>"];
const VERSION: u32 = 1;

/// Words and their numbers. 0 pads, 1 starts, 2 ends, 3 is unknown; then the words, most frequent first and equally
/// frequent ones in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    numbers: HashMap<String, u32>,
    min_count: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    min_count: usize,
    tokens: Vec<String>,
}

/// How many words of some captions the vocabulary does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct UnknownWords {
    /// Number of words.
    pub words: usize,
    /// How many of them are unknown.
    pub unknown: usize,
}

impl UnknownWords {
    /// Unknown share in `0..=1`; 0 for no words.
    pub fn rate(&self) -> f64 {
        if self.words == 0 { 0.0 } else { self.unknown as f64 / self.words as f64 }
    }
}

impl Vocabulary {
    /// The words that occur at least `min_count` times in the training captions of `dataset`. No other split is read.
    pub fn from_train(dataset: &Dataset, min_count: usize) -> Self {
        Self::from_texts(dataset.captions_in(Split::Train).map(|at| dataset.captions[at].text.as_str()), min_count)
    }

    /// The words that occur at least `min_count` times in `texts`.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>, min_count: usize) -> Self {
        Self::from_texts_at_most(texts, usize::MAX, min_count)
    }

    /// The same of the first `words` words of each text, which are what [`Vocabulary::encode_at_most`] keeps.
    pub fn from_texts_at_most<'a>(texts: impl IntoIterator<Item = &'a str>, words: usize, min_count: usize) -> Self {
        let texts: Vec<&str> = texts.into_iter().collect();
        let counts = texts.par_chunks(4096).map(|texts| count_words(texts, words)).reduce(HashMap::new, add_counts);
        let mut words: Vec<(String, usize)> = counts.into_iter().filter(|(_, count)| *count >= min_count).collect();
        words.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        let tokens = SPECIALS.iter().map(|&s| s.to_owned()).chain(words.into_iter().map(|(word, _)| word)).collect();
        Self::from_tokens(tokens, min_count)
    }

    fn from_tokens(tokens: Vec<String>, min_count: usize) -> Self {
        let numbers = tokens.iter().enumerate().map(|(at, token)| (token.clone(), at as u32)).collect();
        Self { tokens, numbers, min_count }
    }

    /// Number of rows of the word matrix: words and the four specials.
    #[allow(clippy::len_without_is_empty)] // the specials are always there
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Every token by number, specials first.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The number of a word as [`tokenize`] gives it; [`UNKNOWN`] when it has none.
    pub fn number(&self, word: &str) -> u32 {
        self.numbers.get(word).copied().unwrap_or(UNKNOWN)
    }

    /// The word of a number; `<unk>` beyond the end.
    fn token(&self, number: u32) -> &str {
        self.tokens.get(number as usize).map_or(SPECIALS[UNKNOWN as usize], String::as_str)
    }

    /// [`START`], the words of `text`, [`END`].
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_at_most(text, usize::MAX)
    }

    /// As [`Vocabulary::encode`], keeping the first `words` words; [`END`] still closes it.
    pub fn encode_at_most(&self, text: &str, words: usize) -> Vec<u32> {
        let body = tokenize(text).into_iter().take(words).map(|word| self.number(&word));
        std::iter::once(START).chain(body).chain([END]).collect()
    }

    /// The words up to the first [`END`], joined by spaces, without padding and start.
    pub fn decode(&self, numbers: &[u32]) -> String {
        let words = numbers.iter().take_while(|&&number| number != END).filter(|&&n| n != PAD && n != START);
        words.map(|&number| self.token(number)).collect::<Vec<_>>().join(" ")
    }

    /// How many words of `texts` are unknown.
    pub fn unknown_words<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> UnknownWords {
        let texts: Vec<&str> = texts.into_iter().collect();
        let unknown = |word: &String| self.number(word) == UNKNOWN;
        let counts = texts.par_iter().map(|text| {
            let words = tokenize(text);
            [words.len(), words.iter().filter(|word| unknown(word)).count()]
        });
        let [words, unknown] = counts.reduce(|| [0, 0], |a, b| [a[0] + b[0], a[1] + b[1]]);
        UnknownWords { words, unknown }
    }

    /// The JSON text `{"version":1,"min_count":…,"tokens":[…]}`.
    fn to_json(&self) -> String {
        let stored = Stored { version: VERSION, min_count: self.min_count, tokens: self.tokens.clone() };
        serde_json::to_string(&stored).expect("strings and numbers always serialise")
    }

    /// Reads [`Vocabulary::to_json`]; `name` stands in errors.
    ///
    /// # Errors
    /// Bad JSON, another version, missing specials, a word given twice.
    fn from_json(text: &str, name: &str) -> Result<Self> {
        let stored: Stored = serde_json::from_str(text)
            .map_err(|error| Error::damaged(name, error.to_string(), "a vocabulary in JSON"))?;
        if stored.version != VERSION {
            return Err(Error::unsupported(name, format!("version {}", stored.version), format!("version {VERSION}")));
        }
        if stored.tokens.len() < SPECIALS.len() || stored.tokens[..SPECIALS.len()] != SPECIALS {
            let found = format!("{:?}", &stored.tokens[..stored.tokens.len().min(SPECIALS.len())]);
            return Err(Error::damaged(name, found, format!("tokens beginning with {SPECIALS:?}")));
        }
        let vocabulary = Self::from_tokens(stored.tokens, stored.min_count);
        if vocabulary.numbers.len() != vocabulary.tokens.len() {
            let twice =
                vocabulary.tokens.iter().enumerate().find(|(at, token)| vocabulary.numbers[*token] != *at as u32);
            let found = twice.map_or(String::new(), |(_, token)| format!("the token {token:?} twice"));
            return Err(Error::damaged(name, found, "each token once"));
        }
        Ok(vocabulary)
    }

    /// Writes the JSON to a temporary name, syncs and renames it to `path`.
    ///
    /// # Errors
    /// When it cannot be written; `path` is untouched then.
    pub fn save(&self, path: &Path) -> Result<()> {
        gxn_base::fs::write_atomically(path, |file| file.write_all(self.to_json().as_bytes()))
    }

    /// Reads what [`Vocabulary::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, bad JSON, another version, missing specials, a word given twice.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("cannot read", path, error))?;
        Self::from_json(&text, &path.display().to_string())
    }
}

/// How often each of the first `words` words of each text occurs.
fn count_words(texts: &[&str], words: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in texts.iter().flat_map(|text| tokenize(text).into_iter().take(words)) {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn add_counts(mut counts: HashMap<String, usize>, others: HashMap<String, usize>) -> HashMap<String, usize> {
    others.into_iter().for_each(|(word, count)| *counts.entry(word).or_default() += count);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Counts: dog 3, a 2, cat 2, runs 1. With min_count 2: dog, then a and cat in alphabetical order.
    #[test]
    fn numbers_follow_frequency_then_alphabet() {
        let vocabulary = Vocabulary::from_texts(["a dog", "dog cat", "A Cat: dog runs"], 2);
        assert_eq!(vocabulary.tokens()[4..], ["dog", "a", "cat"]);
        assert_eq!(vocabulary.encode("a cat runs"), [START, 5, 6, UNKNOWN, END]);
        assert_eq!(vocabulary.encode_at_most("a cat runs", 1), [START, 5, END]);
        assert_eq!(vocabulary.decode(&[START, 5, 6, UNKNOWN, END, 5, PAD]), "a cat <unk>");
        assert_eq!(vocabulary.unknown_words(["a cat runs"]), UnknownWords { words: 3, unknown: 1 });
        assert_eq!(vocabulary.encode(""), [START, END]);
    }

    #[test]
    fn json_is_plain_and_checked() {
        let vocabulary = Vocabulary::from_texts(["a dog"], 1);
        assert_eq!(
            vocabulary.to_json(),
            r#"{"version":1,"min_count":1,"tokens":["<pad>","<start>","<end>","<unk>","a","dog"]}"#
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vocab.json");
        vocabulary.save(&path).unwrap();
        assert_eq!(Vocabulary::load(&path).unwrap(), vocabulary);
        let read = |text: &str| Vocabulary::from_json(text, "vocab.json").unwrap_err().to_string();
        assert!(read(r#"{"version":2,"min_count":1,"tokens":[]}"#).contains("version 2"));
        assert!(read(r#"{"version":1,"min_count":1,"tokens":["a"]}"#).contains("<pad>"));
        assert!(
            read(r#"{"version":1,"min_count":1,"tokens":["<pad>","<start>","<end>","<unk>","a","a"]}"#)
                .contains("\"a\" twice")
        );
        assert!(read("no").contains("vocab.json"));
    }

    proptest! {
        /// What every word was once, decoding gives back.
        #[test]
        fn decode_undoes_encode(words in proptest::collection::vec("[a-z]{1,6}", 0..8)) {
            let text = words.join(" ");
            let vocabulary = Vocabulary::from_texts([text.as_str()], 1);
            prop_assert_eq!(vocabulary.decode(&vocabulary.encode(&text)), text);
        }

        /// The order of the captions does not matter.
        #[test]
        fn order_of_captions_does_not_matter(mut texts in proptest::collection::vec("[ab]{1,2} [cd]{1,2}", 1..8)) {
            let there = Vocabulary::from_texts(texts.iter().map(String::as_str), 1);
            texts.reverse();
            prop_assert_eq!(Vocabulary::from_texts(texts.iter().map(String::as_str), 1), there);
        }
    }
}
