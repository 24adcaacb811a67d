//! Scores → probability of being relevant.
//!
//! A score says little by itself: for some sentences every image scores high. So each query is also scored against a
//! bank of held-out items, which it has nothing to do with; what counts is by how many standard deviations of that an
//! item's score lies above its mean. An isotonic curve, fitted where the right answers are known (the val split), turns
//! this standard score into the probability that the item belongs to the query.
//!
//! There are two curves, one for the best hit of a query and one for all others: where nothing scores higher, the same
//! score means more.
//!
//! The probability is that of an item among items like val's, of which a few belong to a query (its own image,
//! or its own captions): it does not fall because an index is larger, as the share of images that match "a dog" does
//! not either. An image's own captions count as relevant in the fit, and captions of other images that are one of these word
//! by word ([`Relevance`]); others that would do as well do not, so the probabilities are low rather than high.
//!
//! The scores are less the items' hubness ([`gxn_eval::Hubness`]), which the bank of the other modality shows.

mod bank;
mod file;
mod pairs;
mod relevance;
mod run;
mod standard;

use std::path::{Path, PathBuf};

use gxn_base::{Error, Progress, Remedy, Result};
use gxn_data::Dataset;
use gxn_eval::metrics::{Isotonic, expected_calibration_error};
use gxn_index::{Modality, PartKind, Plan, QueryPart, SearchOptions, Space};
use serde::{Deserialize, Serialize};

use self::bank::{Bank, FittedHubness, hubness};
use self::pairs::{Pairs, other, standard_scores};
use self::standard::Standard;
use crate::checkpoint::resolve;
use crate::encoder::{Encoder, is_pretrained};
use crate::evaluate::encode::EncodedDataset;

pub use self::file::CALIBRATION_FILE;
pub use self::relevance::Relevance;
pub use self::run::calibrate_run;

/// Fewer val images say nothing about probabilities.
pub const ENOUGH_IMAGES: usize = 100;
/// Images in the bank at most, and captions.
const BANK: [usize; 2] = [1000, 2000];
/// Share of queries with a right answer for which "nothing matches" is reported.
pub const FALSE_ALARMS: f64 = 0.05;
/// Bins of the calibration error.
const BINS: usize = 10;
/// Hits of each query in the calibration error.
const SHOWN: usize = 10;

/// How scores become probabilities, for one model and both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    space: Space,
    fingerprint: String,
    relevance: Relevance,
    images: Direction,
    captions: Direction,
}

/// Queries of the other modality that look for items of one.
#[derive(Debug, Clone, PartialEq)]
struct Direction {
    bank: Bank,
    curves: Curves,
    /// Of val queries with a right answer [`FALSE_ALARMS`] have no item above this standard score.
    none_below: f32,
}

/// Standard score → probability of being relevant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Curves {
    /// Of the best hit.
    best: Isotonic,
    /// Of any other.
    others: Isotonic,
}

impl Curves {
    /// `rank` counts from 0. At equal scores the best hit is not less probable than another: where a model knows little, or captions
    /// are repeated, the two curves may cross, and the lower one counts for the others.
    fn probability(&self, rank: usize, score: f32) -> f32 {
        let best = self.best.probability(score);
        if rank == 0 { best } else { self.others.probability(score).min(best) }
    }
}

/// What scores of one query mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryScale<'a> {
    calibration: &'a Calibration,
    target: Modality,
    standard: Standard,
}

impl QueryScale<'_> {
    /// The probability that the hit at `rank` (from 0) with this score belongs to the query.
    pub fn probability(&self, rank: usize, score: f32) -> f32 {
        self.direction().curves.probability(rank, self.standard.score(score))
    }

    /// Whether a query whose best score this is probably has no match at all: of queries with a match one in twenty
    /// scores as low.
    pub fn says_none(&self, best: f32) -> bool {
        self.standard.score(best) < self.direction().none_below
    }

    /// Whether it is for scores less the items' hubness.
    pub(super) fn corrects_hubs(&self) -> bool {
        self.direction().bank.hubness_scale.is_some()
    }

    /// Hubness of items, `rows` as an index keeps them, `[N, dims]`: what is taken off their scores with a query of weight 1.
    pub(super) fn hubness(&self, rows: &[f32]) -> Vec<f32> {
        self.calibration.hubness(self.target, rows)
    }

    fn direction(&self) -> &Direction {
        self.calibration.direction(self.target)
    }
}

/// How good a calibration is on pairs that it was not fitted on, for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationFigures {
    /// Queries.
    pub queries: usize,
    /// Items that were searched.
    pub gallery: usize,
    /// Share of queries whose best hit is relevant.
    pub precision_at_1: f64,
    /// Mean probability that was given to best hits.
    pub mean_relevance_at_1: f64,
    /// Expected calibration error of the best hits, ten bins of equal numbers.
    pub ece_at_1: f64,
    /// The same of the ten best hits.
    pub ece_at_10: f64,
    /// Share of queries with a right answer for which "nothing matches" is reported: the false alarms.
    pub none_with_answer: f64,
    /// Share of queries without a right answer (theirs were removed) for which it is reported, rightly.
    pub none_without_answer: f64,
}

/// [`CalibrationFigures`] of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// Sentences that look for images.
    pub text_to_image: CalibrationFigures,
    /// Images that look for captions.
    pub image_to_text: CalibrationFigures,
}

impl Calibration {
    /// Fits both directions on embeddings with known pairs, best a val split; `dataset` is what was encoded.
    ///
    /// # Errors
    /// When there are fewer than [`ENOUGH_IMAGES`] images, or `progress` is cancelled.
    pub fn fit(
        encoder: &Encoder,
        encoded: &EncodedDataset,
        dataset: &Dataset,
        relevance: Relevance,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let texts = encoded.caption_texts(dataset);
        let model = (encoder.space(), encoder.fingerprint().to_string());
        Self::fit_in(model, encoded, &texts, relevance, progress)
    }

    fn fit_in(
        (space, fingerprint): (Space, String),
        encoded: &EncodedDataset,
        texts: &[&str],
        relevance: Relevance,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if encoded.images.count < ENOUGH_IMAGES {
            let found = format!("{} images", encoded.images.count);
            return Err(Error::invalid("the split to calibrate by", found, format!("at least {ENOUGH_IMAGES}"))
                .with_remedy(Remedy::MoreValidation));
        }
        let pairs = Pairs::of(encoded, texts, relevance);
        let held = [Modality::Image, Modality::Text].map(|modality| {
            // Repeated captions would have more than one voice in what is a hub.
            let distinct = pairs.items(modality).distinct();
            let most = BANK[usize::from(modality == Modality::Text)];
            evenly_spread(distinct.len(), most).into_iter().map(|at| distinct[at]).collect::<Vec<usize>>()
        });
        let size = gxn_eval::Bank { images: held[0].len(), captions: held[1].len() };
        let held = |modality| held[usize::from(modality == Modality::Text)].as_slice();
        let fit = |target: Modality| {
            if progress.cancelled() {
                return Err(Error::interrupted());
            }
            let FittedHubness { scale, whole, folds } =
                FittedHubness::of(&pairs, &space, target, held(other(target)), size);
            let held = held(target);
            let bank = Bank {
                rows: pairs.stored_at(target, held.iter().copied()),
                hubness: held.iter().map(|&item| whole[item]).collect(),
                hubness_scale: Some(scale),
            };
            let scored = standard_scores(&bank, &space, &pairs, target, &folds, Some(held));
            let (mut best, mut others, mut highest) = (Vec::new(), Vec::new(), Vec::new());
            for query in &scored {
                let first = query.order().next().expect("a gallery is not empty");
                highest.push(query.scores[first]);
                let outcomes = query.scores.iter().enumerate();
                let outcomes = outcomes.map(|(item, &score)| (item, (score, query.is_relevant(item))));
                for (item, outcome) in outcomes {
                    if item == first { best.push(outcome) } else { others.push(outcome) }
                }
            }
            highest.sort_unstable_by(f32::total_cmp);
            let none_below = highest[(highest.len() as f64 * FALSE_ALARMS) as usize];
            let curves = Curves { best: Isotonic::fit(best), others: Isotonic::fit(others) };
            Ok(Direction { bank, curves, none_below })
        };
        let (images, captions) = (fit(Modality::Image)?, fit(Modality::Text)?);
        if progress.cancelled() {
            return Err(Error::interrupted());
        }
        Ok(Self { space, fingerprint, relevance, images, captions })
    }

    /// What counted as relevant where it was fitted.
    pub fn relevance(&self) -> Relevance {
        self.relevance
    }

    /// Measures it on other pairs, best a test split; `dataset` is what was encoded. What counted as relevant in the fit counts
    /// here.
    pub fn measure(&self, encoded: &EncodedDataset, dataset: &Dataset) -> CalibrationReport {
        self.measure_in(encoded, &encoded.caption_texts(dataset), self.relevance)
    }

    fn measure_in(&self, encoded: &EncodedDataset, texts: &[&str], relevance: Relevance) -> CalibrationReport {
        let pairs = Pairs::of(encoded, texts, relevance);
        let figures = |target: Modality| {
            let direction = self.direction(target);
            let rows = pairs.stored(target);
            let hubness = self.hubness(target, &rows);
            let scored = standard_scores(&direction.bank, &self.space, &pairs, target, &[hubness], None);
            let (mut first, mut shown, mut alarms, mut right_nones) = (Vec::new(), Vec::new(), 0, 0);
            for query in &scored {
                let order: Vec<usize> = query.order().collect();
                let outcome = |(rank, &at): (usize, &usize)| {
                    (direction.curves.probability(rank, query.scores[at]), query.is_relevant(at))
                };
                first.extend(order.iter().enumerate().take(1).map(outcome));
                shown.extend(order.iter().enumerate().take(SHOWN).map(outcome));
                alarms += usize::from(query.scores[order[0]] < direction.none_below);
                let other = order.iter().find(|&&at| !query.is_relevant(at));
                right_nones += usize::from(other.is_none_or(|&at| query.scores[at] < direction.none_below));
            }
            let share = |count: usize| count as f64 / scored.len().max(1) as f64;
            CalibrationFigures {
                queries: scored.len(),
                gallery: pairs.items(target).count,
                precision_at_1: share(first.iter().filter(|pair| pair.1).count()),
                mean_relevance_at_1: first.iter().map(|pair| f64::from(pair.0)).sum::<f64>()
                    / first.len().max(1) as f64,
                ece_at_1: expected_calibration_error(&first, BINS),
                ece_at_10: expected_calibration_error(&shown, BINS),
                none_with_answer: share(alarms),
                none_without_answer: share(right_nones),
            }
        };
        CalibrationReport { text_to_image: figures(Modality::Image), image_to_text: figures(Modality::Text) }
    }

    /// What the scores of a query mean. `None` where the calibration says nothing: it was fitted on single sentences and
    /// images that look for the other kind, under the model's own λ, and with hubs corrected or not.
    pub fn of_query(
        &self,
        parts: &[QueryPart<'_>],
        options: &SearchOptions<'_>,
        keep_hubs: bool,
    ) -> Option<QueryScale<'_>> {
        let [part @ QueryPart { kind: PartKind::Cross, .. }] = *parts else { return None };
        if part.weight <= 0.0 || options.lambda.is_some_and(|lambda| lambda != self.space.lambda) {
            return None;
        }
        // Against the bank with weight 1, as when it was fitted: the weight scales all scores alike.
        let plan = Plan::new(&self.space, options.target, &[QueryPart { weight: 1.0, ..part }]).ok()?;
        let bank = &self.direction(options.target).bank;
        if keep_hubs && bank.hubness_scale.is_some() {
            return None;
        }
        let standard = bank.standard(&self.space, &plan).scaled(part.weight);
        Some(QueryScale { calibration: self, target: options.target, standard })
    }

    /// The embeddings of `most` of the held-out images, evenly spread, as an index keeps them.
    pub(super) fn some_images(&self, most: usize) -> impl Iterator<Item = &[f32]> {
        let (rows, dims) = (&self.images.bank.rows, self.space.dims());
        evenly_spread(rows.len() / dims, most).into_iter().map(move |at| &rows[at * dims..(at + 1) * dims])
    }

    /// Writes it into the checkpoint at `model`; returns the file.
    ///
    /// # Errors
    /// When there is no checkpoint, or it cannot be written to.
    pub fn save(&self, model: &Path) -> Result<PathBuf> {
        let path = file_of(model)?;
        let bytes = self.to_bytes();
        gxn_base::fs::write_atomically(&path, |file| std::io::Write::write_all(file, &bytes))?;
        Ok(path)
    }

    /// That of the checkpoint at `model`, if it has one.
    ///
    /// # Errors
    /// When its file cannot be read, is damaged, or was made for another model.
    pub fn load(model: &Path, encoder: &Encoder) -> Result<Option<Self>> {
        let path = file_of(model)?;
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| Error::io("cannot read", &path, e))?,
        };
        Self::from_bytes(&bytes, encoder.space(), encoder.fingerprint(), &path).map(Some)
    }

    /// Hubness of items of `target`, `rows` as an index keeps them, `[N]`; zeros where hubs are not corrected.
    fn hubness(&self, target: Modality, rows: &[f32]) -> Vec<f32> {
        match self.direction(target).bank.hubness_scale {
            Some(scale) => hubness(scale, &self.direction(other(target)).bank.rows, &self.space, target, rows),
            None => vec![0.0; rows.len() / self.space.dims()],
        }
    }

    fn direction(&self, target: Modality) -> &Direction {
        match target {
            Modality::Image => &self.images,
            Modality::Text => &self.captions,
        }
    }
}

/// At most `most` of `count` places, evenly spread.
pub fn evenly_spread(count: usize, most: usize) -> Vec<usize> {
    let kept = count.min(most);
    (0..kept).map(|at| at * count / kept).collect()
}

/// Where the calibration of a model lies: in its checkpoint, or in the folder of a pretrained encoder.
fn file_of(model: &Path) -> Result<PathBuf> {
    let folder = if is_pretrained(model) { model.to_path_buf() } else { resolve(model)? };
    Ok(folder.join(CALIBRATION_FILE))
}

#[cfg(test)]
mod tests;
