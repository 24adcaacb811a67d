//! [`Found`]: what a search found.

use gxn_base::{Error, Remedy, Result};
use serde::Serialize;

/// What each level contributes to a score. The score is their sum less the hubness, unless hits were re-ranked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreParts {
    /// The abstract level (h), weights and λ included.
    #[serde(rename = "abstract")]
    pub abstract_level: f32,
    /// The grounded level (l).
    #[serde(rename = "grounded")]
    pub grounded_level: f32,
    /// What the item scores with most queries, where hubs are corrected ([`gxn_eval::Hubness`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hubness: Option<f32>,
}

/// A hit in its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedHit {
    /// Its place among all hits, from 1.
    pub rank: usize,
    /// Its id: the image's, or the caption's.
    pub id: String,
    /// Absolute path of the image; of a caption, that of its image.
    pub path: String,
    /// Larger is better.
    pub score: f32,
    /// The probability that it is relevant, where the model is calibrated and the query is one sentence that looks for
    /// images, or one image that looks for captions. Under a filter the best hit counts as any other: what the filter
    /// holds back may be better.
    pub relevance: Option<f32>,
    /// The levels' shares in the score.
    pub parts: ScoreParts,
    /// Its row in the index; items of equal content have the same.
    #[serde(skip)]
    pub row: usize,
    /// The caption, if captions were searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Id of the caption's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// How often its image has this very caption, if captions were searched; such copies are one hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<usize>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Found {
    /// The hits, best first.
    pub hits: Vec<RankedHit>,
    /// The best hit scores as low as the best of one query in twenty that have a match: probably nothing matches.
    pub probably_none: bool,
    /// Fields of the filter that no item has, misspelt perhaps: nothing is equal to them.
    pub unknown_fields: Vec<String>,
    /// Where fields are unknown: the columns that images of the index have instead, in alphabetical order.
    pub columns: Vec<String>,
    /// Words of the query that were not among the training captions', each once: to the model all mean the same.
    pub unknown_words: Vec<String>,
    /// Texts of the query without any word, such as `?!`: they are left out, as they would find anything.
    pub without_words: Vec<String>,
    /// The parts of the query cancel each other out, as in `red - red`: nothing is asked for, and nothing is found.
    pub cancels_out: bool,
    /// Why hits have no relevance.
    #[serde(skip)]
    pub(super) without_relevance: Option<WithoutRelevance>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum WithoutRelevance {
    NotCalibrated,
    OtherQuery,
}

impl Found {
    /// Orders the hits by their scores and numbers them from 1.
    pub(super) fn order_by_score(&mut self) {
        self.hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        for (rank, hit) in self.hits.iter_mut().enumerate() {
            hit.rank = rank + 1;
        }
    }

    /// Leaves out hits that are relevant with a probability below `least`; returns that of the best hit.
    ///
    /// # Errors
    /// When `least` is not a probability, or hits have none.
    pub fn keep_relevant(&mut self, least: f32) -> Result<Option<f32>> {
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::invalid("the least relevance", least.to_string(), "a probability, 0 to 1"));
        }
        const WHAT: &str = "the relevance of hits";
        match self.without_relevance {
            None => {}
            Some(WithoutRelevance::NotCalibrated) => {
                return Err(Error::unsupported(WHAT, "none, as the model is not calibrated", "a calibrated model")
                    .with_remedy(Remedy::Calibrate));
            }
            Some(WithoutRelevance::OtherQuery) => {
                let found = "none, as the calibration does not cover this query";
                let expected = "one sentence that looks for images or one image that looks for captions, with the \
                                model's λ and hubs corrected";
                return Err(Error::unsupported(WHAT, found, expected)
                    .with_hint("ask for one thing, or do without the least relevance"));
            }
        }
        let best = self.hits.iter().filter_map(|hit| hit.relevance).max_by(f32::total_cmp);
        // They do not fall with the rank where hits were ordered once more.
        self.hits.retain(|hit| hit.relevance.is_some_and(|p| p >= least));
        Ok(best)
    }
}
