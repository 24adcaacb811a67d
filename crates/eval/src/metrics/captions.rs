//! [`CaptionScores`]: one caption per image against its references, from plain strings.
//!
//! METEOR and SPICE are not here: METEOR needs WordNet and tables of paraphrases, SPICE a parser, and a score under their
//! names from anything less would not be theirs.

use rayon::prelude::*;

use super::bleu::BleuReferences;
use super::cider::{CiderReward, DocumentFrequencies};
use super::ngram::{Counted, MAX_ORDER, TokenIds};
use super::ptb::tokenize_ptb;
use super::rouge::rouge_l;
use serde::Serialize;

use gxn_base::{Error, Result};

/// The names of the scores, in the order in which [`CaptionScores::keyed`] gives them.
pub const CAPTION_KEYS: [&str; 7] = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "cider_d"];

/// The scores of a set of captions, equal to those of the coco-caption package.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaptionScores {
    /// BLEU-1 to BLEU-4 of the whole set, in 0..=1: matches and lengths are summed before they are divided.
    pub bleu: [f64; MAX_ORDER],
    /// Mean ROUGE-L, in 0..=1.
    pub rouge_l: f64,
    /// Mean of the package's CIDEr, in 0..=10: document frequencies come from the scored references.
    pub cider: f64,
    /// Mean CIDEr-D with the document frequencies of a reference corpus, in 0..=10, if there is one.
    pub cider_d: Option<f64>,
    /// The scores of every image, in the order of the candidates.
    pub images: Vec<ImageScores>,
}

/// The scores of one caption.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ImageScores {
    /// BLEU-1 to BLEU-4 of this caption alone, in 0..=1.
    pub bleu: [f64; MAX_ORDER],
    /// ROUGE-L, in 0..=1.
    pub rouge_l: f64,
    /// The package's CIDEr, in 0..=10.
    pub cider: f64,
    /// CIDEr-D with the document frequencies of a reference corpus, in 0..=10, if there is one.
    pub cider_d: Option<f64>,
}

impl CaptionScores {
    /// Tokenises and scores `candidates[i]` against `references[i]`; `corpus` (the references of its images, usually the
    /// train split) gives the document frequencies of `cider_d`.
    ///
    /// # Errors
    /// As [`CaptionReferences::score`].
    pub fn of(candidates: &[String], references: &[Vec<String>], corpus: Option<&[Vec<String>]>) -> Result<Self> {
        CaptionReferences::new(references, corpus).score(candidates)
    }

    /// The set's scores by name ([`CAPTION_KEYS`]), `cider_d` only if there is one.
    pub fn keyed(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let Self { bleu, rouge_l, cider, cider_d, .. } = *self;
        ImageScores { bleu, rouge_l, cider, cider_d }.keyed()
    }
}

impl ImageScores {
    /// The scores by name, as [`CaptionScores::keyed`].
    pub fn keyed(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let values = self.bleu.into_iter().chain([self.rouge_l, self.cider]).chain(self.cider_d);
        CAPTION_KEYS.into_iter().zip(values)
    }
}

/// References that are tokenised, counted and weighted once and scored against many times.
#[derive(Debug, Clone)]
pub struct CaptionReferences {
    ids: TokenIds,
    tokens: Vec<Vec<Vec<u32>>>,
    bleu: BleuReferences,
    cider: CiderReward,
    cider_d: Option<CiderReward>,
}

impl CaptionReferences {
    /// Tokenises the references of every image, and those of a corpus for `cider_d`.
    pub fn new(references: &[Vec<String>], corpus: Option<&[Vec<String>]>) -> Self {
        Self::of_tokens(&tokenize_all(references), corpus.map(tokenize_all).as_deref())
    }

    /// From captions that are tokens already, as [`tokenize_ptb`] gives them.
    pub(crate) fn of_tokens(references: &[Vec<Vec<String>>], corpus: Option<&[Vec<Vec<String>>]>) -> Self {
        let mut ids = TokenIds::default();
        let mut words_of = |images: &[Vec<Vec<String>>]| ids_of(images, |caption| ids.ids(&words(caption)));
        let counted = Counted::all(&words_of(references));
        let frequencies = corpus.map(|corpus| DocumentFrequencies::new(&words_of(corpus)));
        let tokens = ids_of(references, |caption| ids.ids(caption));
        let cider_d = frequencies.map(|frequencies| CiderReward::of(&counted, Some(frequencies)));
        Self { cider: CiderReward::of(&counted, None), cider_d, bleu: BleuReferences::new(counted), ids, tokens }
    }

    /// Tokenises the candidates and scores `candidates[i]` against the references of image `i`. An image without
    /// references scores 0.
    ///
    /// # Errors
    /// When there are more or fewer candidates than images, or none.
    pub fn score(&self, candidates: &[String]) -> Result<CaptionScores> {
        let tokens: Vec<Vec<String>> = candidates.par_iter().map(|caption| tokenize_ptb(caption)).collect();
        self.score_tokens(&tokens)
    }

    /// [`Self::score`] of candidates that are tokens already.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub(crate) fn score_tokens(&self, candidates: &[Vec<String>]) -> Result<CaptionScores> {
        let images = self.tokens.len();
        if candidates.len() != images || images == 0 {
            let expected = if images == 0 { "at least one image".into() } else { format!("one for each of {images}") };
            return Err(Error::invalid("captions to score", candidates.len().to_string(), expected));
        }
        let tokens: Vec<Vec<u32>> = candidates.par_iter().map(|tokens| self.ids.look_up(tokens)).collect();
        let rouge_l = rouge_l(&tokens, &self.tokens);
        let candidates: Vec<Vec<u32>> = candidates.par_iter().map(|tokens| self.ids.look_up(&words(tokens))).collect();
        let bleu = self.bleu.score(&candidates);
        let everything: Vec<usize> = (0..images).collect();
        let cider = self.cider.rewards(&candidates, &everything);
        let cider_d = self.cider_d.as_ref().map(|reward| reward.rewards(&candidates, &everything));
        let mean = |scores: &[f64]| scores.iter().sum::<f64>() / images as f64;
        Ok(CaptionScores {
            bleu: bleu.corpus,
            rouge_l: mean(&rouge_l),
            cider: mean(&cider),
            cider_d: cider_d.as_deref().map(mean),
            images: (0..images)
                .map(|image| ImageScores {
                    bleu: bleu.sentences[image],
                    rouge_l: rouge_l[image],
                    cider: cider[image],
                    cider_d: cider_d.as_ref().map(|scores| scores[image]),
                })
                .collect(),
        })
    }
}

/// The PTB tokens of every caption of every image, in parallel.
pub(crate) fn tokenize_all(images: &[Vec<String>]) -> Vec<Vec<Vec<String>>> {
    images.par_iter().map(|captions| captions.iter().map(|caption| tokenize_ptb(caption)).collect()).collect()
}

/// What BLEU and CIDEr count: the package divides a token such as "1 1/2", whose space does not break, once more for these
/// two; for ROUGE-L it does not.
fn words(tokens: &[String]) -> Vec<&str> {
    tokens.iter().flat_map(|token| token.split_whitespace()).collect()
}

/// The ids of every caption of every image.
fn ids_of(images: &[Vec<Vec<String>>], mut ids: impl FnMut(&[String]) -> Vec<u32>) -> Vec<Vec<Vec<u32>>> {
    images.iter().map(|captions| captions.iter().map(|caption| ids(caption)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(captions: &[&str]) -> Vec<String> {
        captions.iter().map(|caption| caption.to_string()).collect()
    }

    fn references() -> Vec<Vec<String>> {
        vec![
            texts(&["A dog runs on the beach.", "The dog is running!"]),
            texts(&["Two men play chess", "Men at a chess board."]),
        ]
    }

    /// Case and punctuation do not count: every caption's own reference scores 1, 1 and half of 10 plus the other's share.
    #[test]
    fn strings_are_tokenised_before_they_are_scored() {
        let found =
            CaptionScores::of(&texts(&["a DOG runs, on the beach", "Two men play chess."]), &references(), None);
        let found = found.unwrap();
        assert!(found.bleu.iter().all(|score| (score - 1.0).abs() < 1e-8), "{found:?}");
        assert_eq!(found.rouge_l, 1.0);
        assert!(found.images.iter().all(|image| (5.0..10.0).contains(&image.cider)), "{found:?}");
        assert_eq!(found.cider, (found.images[0].cider + found.images[1].cider) / 2.0);
        assert_eq!(found.cider_d, None);
        assert_eq!(found.keyed().map(|(key, _)| key).collect::<Vec<_>>(), CAPTION_KEYS[..6]);
    }

    /// "1 1/2" is one token and two words: of "cups 1 2" BLEU and CIDEr find the 1, ROUGE-L does not.
    #[test]
    fn a_space_that_does_not_break_divides_words_and_not_tokens() {
        let of = |candidate: &str, reference: &str| {
            let images = [texts(&[reference]), texts(&["a dog"])];
            CaptionScores::of(&texts(&[candidate, "a dog"]), &images, None).unwrap().images[0]
        };
        let found = of("cups 1 2", "1 1/2 cups");
        assert!((found.bleu[0] - 2.0 / 3.0).abs() < 1e-6 && found.cider > 0.0, "{found:?}");
        assert!((found.rouge_l - of("cups 3 2", "4 cups").rouge_l).abs() < 0.02, "{found:?}");
    }

    /// With the scored references as the corpus, CIDEr-D is the package's CIDEr; with another one it is not.
    #[test]
    fn cider_d_is_cider_with_a_corpus() {
        let candidates = texts(&["a dog plays on a board", "two dogs"]);
        let kept = CaptionReferences::new(&references(), Some(&references()));
        let own = kept.score(&candidates).unwrap();
        assert!((own.cider_d.unwrap() - own.cider).abs() < 1e-12 && own.cider > 0.0, "{own:?}");
        let mut corpus = references();
        corpus.extend([texts(&["a dog"]), texts(&["a cat plays"])]);
        let other = CaptionScores::of(&candidates, &references(), Some(&corpus)).unwrap();
        assert!((other.cider_d.unwrap() - other.cider).abs() > 1e-3, "{other:?}");
        assert_eq!(other.cider, own.cider);
        assert_eq!(other.keyed().last().unwrap(), ("cider_d", other.cider_d.unwrap()));
    }

    /// What is kept is not changed by scoring: new words of one set mean nothing to the next.
    #[test]
    fn references_can_be_scored_against_again() {
        let kept = CaptionReferences::new(&references(), None);
        let candidates = texts(&["a zebra runs", "two zebras and zebras play"]);
        let first = kept.score(&candidates).unwrap();
        kept.score(&texts(&["quite other", "words entirely"])).unwrap();
        assert_eq!(kept.score(&candidates).unwrap(), first);
        assert_eq!(CaptionScores::of(&candidates, &references(), None).unwrap(), first);
    }

    #[test]
    fn counts_must_agree() {
        let error = CaptionScores::of(&texts(&["a"]), &references(), None).unwrap_err();
        assert_eq!(error.to_string(), "captions to score: found 1, expected one for each of 2");
        let error = CaptionScores::of(&[], &[], None).unwrap_err();
        assert_eq!(error.to_string(), "captions to score: found 0, expected at least one image");
    }

    /// No words, no references: 0, and no division by it.
    #[test]
    fn nothing_scores_nothing() {
        let found = CaptionScores::of(&texts(&["...", "a"]), &[texts(&["a dog"]), vec![]], None).unwrap();
        for image in &found.images {
            assert!(image.keyed().all(|(_, score)| score.abs() < 1e-3), "{found:?}");
        }
    }
}
