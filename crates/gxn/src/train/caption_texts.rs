//! [`CaptionTexts`]: which captions are, word by word, the same; and how many are longer than what is read of them.

use std::collections::{HashMap, HashSet};

use super::sampler::Batch;
use crate::config::DataConfig;
use crate::look::TextEncoder;
use gxn_base::words::counted;
use gxn_base::{Error, Progress, Result};
use gxn_data::tokenize;

/// A number for each caption: equal for captions of the same words. It is the words that the network reads which count:
/// letters' case and what is cut off do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptionTexts(Vec<u32>);

/// How much of a batch cannot be told apart by its captions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EqualCaptions {
    /// Share of the pairs whose caption another pair of the batch has too.
    pub share: f64,
    /// Different captions in all batches.
    pub texts: usize,
}

impl CaptionTexts {
    /// The numbers of captions by their token ids.
    pub fn new(tokens: &[Vec<u32>]) -> Self {
        let mut numbers = HashMap::new();
        Self(tokens.iter().map(|caption| next_number(&mut numbers, caption.as_slice())).collect())
    }

    /// The number of a caption.
    pub fn of(&self, caption: usize) -> u32 {
        self.0[caption]
    }

    /// What batches of captions have in common.
    pub fn equal_captions(&self, batches: &[Batch]) -> EqualCaptions {
        let (mut twins, mut pairs, mut texts) = (0, 0, HashSet::new());
        for batch in batches {
            // An image may have the same caption twice: it is one pair.
            let different: HashSet<(u32, usize)> =
                batch.captions.iter().zip(&batch.rows).map(|(&caption, &row)| (self.of(caption), row)).collect();
            let mut counts: HashMap<u32, usize> = HashMap::new();
            different.iter().for_each(|&(text, _)| *counts.entry(text).or_default() += 1);
            twins += counts.values().filter(|&&count| count > 1).sum::<usize>();
            pairs += different.len();
            texts.extend(counts.into_keys());
        }
        EqualCaptions { share: twins as f64 / pairs.max(1) as f64, texts: texts.len() }
    }
}

/// The number of `key`, a new one where it has none.
fn next_number<'a>(numbers: &mut HashMap<&'a [u32], u32>, key: &'a [u32]) -> u32 {
    let next = numbers.len() as u32;
    *numbers.entry(key).or_insert(next)
}

/// Reports captions that are longer than what is read of them.
///
/// # Errors
/// Where there are some and reading is `strict`.
pub fn note_cut_texts<'a>(
    texts: impl Iterator<Item = &'a str>,
    data: &DataConfig,
    strict: bool,
    progress: &dyn Progress,
) -> Result<()> {
    let limit = data.token_limit();
    let hint = "shorten them, or train with a larger data.max_tokens: the words behind it are not read";
    note_cut(cut_texts(texts, limit), &format!("{limit} words (data.max_tokens)"), hint, strict, progress)
}

/// Reports captions that are longer than what a pretrained encoder reads of them.
///
/// # Errors
/// Where there are some and `strict` is true, and when the encoder's files cannot be read.
pub fn note_cut_by_encoder(encoder: &TextEncoder, texts: &[&str], strict: bool, progress: &dyn Progress) -> Result<()> {
    match encoder.count_cut(texts)? {
        Some((cut, tokens)) => {
            note_cut(cut, &format!("{tokens} tokens (look.sentence.encoder)"), "shorten them", strict, progress)
        }
        None => Ok(()),
    }
}

/// Reports that `cut` captions have more than `limit`; in strict mode that is an error.
///
/// # Errors
/// Where there are some and `strict` is true.
pub fn note_cut(cut: usize, limit: &str, hint: &str, strict: bool, progress: &dyn Progress) -> Result<()> {
    if cut == 0 {
        return Ok(());
    }
    let captions = format!("{} with more than {limit}", counted(cut, "caption"));
    if strict {
        return Err(Error::invalid("the captions", captions, "none in strict mode").with_hint(hint));
    }
    progress.note(&format!("{captions}: only these are read"));
    Ok(())
}

/// How many texts have more than `limit` words.
fn cut_texts<'a>(texts: impl Iterator<Item = &'a str>, limit: usize) -> usize {
    // A word has at least one byte.
    texts.filter(|text| text.len() > limit && tokenize(text).len() > limit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captions a b a c: of the batch (a, b, a) two pairs have a twin, of (b, c) none.
    #[test]
    fn twins_are_counted_within_a_batch() {
        let texts = CaptionTexts::new(&[vec![1, 5, 2], vec![1, 6, 2], vec![1, 5, 2], vec![1, 7, 2]]);
        assert_eq!(texts.of(0), texts.of(2));
        let batch = |captions: &[usize], rows: &[usize]| Batch {
            images: (0..=rows[rows.len() - 1]).collect(),
            captions: captions.to_vec(),
            rows: rows.to_vec(),
        };
        let batches = [batch(&[0, 1, 2], &[0, 1, 2]), batch(&[1, 3], &[0, 1])];
        assert_eq!(texts.equal_captions(&batches), EqualCaptions { share: 0.4, texts: 3 });
        // The same captions, a and a of one image: nothing to confuse.
        assert_eq!(texts.equal_captions(&[batch(&[0, 2, 1], &[0, 0, 1])]), EqualCaptions { share: 0.0, texts: 2 });
        assert_eq!(texts.equal_captions(&[]), EqualCaptions::default());
    }

    #[test]
    fn texts_of_more_words_than_the_limit_are_counted() {
        let texts = ["one two three", "one, two!", "aaaaaaaaaaaa bbbbbbbbb", ""];
        assert_eq!([0, 1, 2, 3].map(|limit| cut_texts(texts.into_iter(), limit)), [3, 3, 1, 0]);
        assert_eq!(cut_texts(texts.into_iter(), usize::MAX), 0);
    }

    #[test]
    fn cut_texts_are_a_fault_in_strict_mode() {
        let data = DataConfig { max_tokens: 2, ..DataConfig::default() };
        let note = |text: &str, strict| note_cut_texts([text].into_iter(), &data, strict, &());
        assert!(note("one two", true).is_ok() && note("one two three", false).is_ok());
        let error = note("one two three", true).unwrap_err().to_string();
        assert_eq!(
            error,
            "the captions: found 1 caption with more than 2 words (data.max_tokens), expected none in strict mode"
        );
    }
}
