//! Scores → probability of being relevant.
//!
//! A score says little by itself: for some sentences every picture scores high. So each query is also scored against a
//! bank of held-out items, which it has nothing to do with; what counts is by how many standard deviations of that an
//! item's score lies above its mean. An isotonic curve, fitted where the right answers are known (the val split), turns
//! this standard score into the probability that the item belongs to the query.
//!
//! There are two curves, one for the best hit of a query and one for all others: where nothing scores higher, the same
//! score means more.
//!
//! The probability is that of an item among items like val's, of which one in so many belongs to a query (its own picture,
//! or its own captions): it does not fall because an index is larger, as the share of pictures that match "a dog" does
//! not either. Only an item's own captions count as relevant in the fit; others that would do as well do not, so the
//! probabilities are low rather than high.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gxn_index::{Modality, PartKind, Plan, QueryPart, Space, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::retriever::index_space;
use crate::checkpoint::resolve;
use crate::encoder::Encoder;
use crate::evaluate::encode::EncodedDataset;
use crate::model::EmbeddingRows;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};
use gxn_eval::metrics::{Isotonic, expected_calibration_error};

/// File in a checkpoint's folder.
pub const CALIBRATION_FILE: &str = "relevance.safetensors";
/// Fewer val images say nothing about probabilities.
pub const ENOUGH_IMAGES: usize = 100;
/// Images in the bank at most, and captions.
const BANK: [usize; 2] = [1000, 2000];
/// Share of queries with a right answer for which "nothing matches" may be said.
pub const FALSE_ALARMS: f64 = 0.05;
/// Bins of the calibration error.
const BINS: usize = 10;
/// Hits of each query that the calibration error looks at.
const SHOWN: usize = 10;

/// How scores become probabilities, for one model and both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    space: Space,
    fingerprint: String,
    images: Direction,
    captions: Direction,
}

/// Queries of the other side that look for items of one side.
#[derive(Debug, Clone, PartialEq)]
struct Direction {
    /// Held-out items, `[B, dims]`.
    bank: Vec<f32>,
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
    /// `rank` counts from 0. It never falls as the rank does: of a model that knows little the two curves may cross.
    fn probability(&self, rank: usize, score: f32) -> f32 {
        let other = self.others.probability(score);
        if rank == 0 { self.best.probability(score).max(other) } else { other }
    }
}

/// What a query's scores against the bank are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standard {
    mean: f64,
    deviation: f64,
}

/// The part of [`Calibration`] that is written as JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    space: Space,
    fingerprint: String,
    images: Fitted,
    captions: Fitted,
}

#[derive(Serialize, Deserialize)]
struct Fitted {
    curves: Curves,
    none_below: f32,
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
    /// Share of queries with a right answer for which "nothing matches" would be said: the false alarms.
    pub none_with_answer: f64,
    /// Share of queries without a right answer (theirs were taken away) for which it would be said, rightly.
    pub none_without_answer: f64,
}

/// [`CalibrationFigures`] of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// Sentences that look for pictures.
    pub text_to_image: CalibrationFigures,
    /// Pictures that look for captions.
    pub image_to_text: CalibrationFigures,
}

impl Calibration {
    /// Fits both directions on embeddings with known pairs, best a val split.
    ///
    /// # Errors
    /// When there are fewer than [`ENOUGH_IMAGES`] images.
    pub fn fit(encoder: &Encoder, encoded: &EncodedDataset) -> Result<Self> {
        Self::fit_in(index_space(encoder), encoder.fingerprint().to_string(), encoded)
    }

    fn fit_in(space: Space, fingerprint: String, encoded: &EncodedDataset) -> Result<Self> {
        if encoded.images.count < ENOUGH_IMAGES {
            let found = format!("{} images", encoded.images.count);
            return Err(Error::invalid("the split to calibrate by", found, format!("at least {ENOUGH_IMAGES}"))
                .with_hint("give val more pictures, such as --split-by hash:0.8/0.1/0.1"));
        }
        let pairs = Pairs::of(encoded);
        let fit = |target: Modality| {
            let items = pairs.items(target);
            let held = evenly_spread(items.count, BANK[usize::from(target == Modality::Text)]);
            let bank: Vec<f32> = held.iter().flat_map(|&row| as_stored(&items.joined(row))).collect();
            let scored = standard_scores(&bank, &space, &pairs, target, Some(&held));
            let (mut best, mut others, mut highest) = (Vec::new(), Vec::new(), Vec::new());
            for query in &scored {
                let first = query.order().next().expect("a gallery is not empty");
                highest.push(query.scores[first]);
                let outcomes = query.scores.iter().enumerate();
                let outcomes = outcomes.map(|(item, &score)| (item, (score, query.relevant.contains(&item))));
                for (item, outcome) in outcomes {
                    if item == first { best.push(outcome) } else { others.push(outcome) }
                }
            }
            highest.sort_unstable_by(f32::total_cmp);
            let none_below = highest[(highest.len() as f64 * FALSE_ALARMS) as usize];
            Direction { bank, curves: Curves { best: Isotonic::fit(best), others: Isotonic::fit(others) }, none_below }
        };
        let (images, captions) = (fit(Modality::Image), fit(Modality::Text));
        Ok(Self { space, fingerprint, images, captions })
    }

    /// Measures it on other pairs, best a test split.
    pub fn measure(&self, encoded: &EncodedDataset) -> CalibrationReport {
        let pairs = Pairs::of(encoded);
        let figures = |target: Modality| {
            let direction = self.direction(target);
            let scored = standard_scores(&direction.bank, &self.space, &pairs, target, None);
            let (mut first, mut shown, mut alarms, mut right_nones) = (Vec::new(), Vec::new(), 0, 0);
            for query in &scored {
                let order: Vec<usize> = query.order().collect();
                let outcome = |(rank, &at): (usize, &usize)| {
                    (direction.curves.probability(rank, query.scores[at]), query.relevant.contains(&at))
                };
                first.extend(order.iter().enumerate().take(1).map(outcome));
                shown.extend(order.iter().enumerate().take(SHOWN).map(outcome));
                alarms += usize::from(query.scores[order[0]] < direction.none_below);
                let other = order.iter().find(|at| !query.relevant.contains(at));
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

    /// What the scores of a query, which looks for items of `target`, against the bank are like. `None` where the
    /// calibration says nothing: it was fitted on single sentences and pictures that look for the other kind, under the
    /// model's own λ.
    pub fn standard(&self, parts: &[QueryPart<'_>], target: Modality, lambda: Option<f32>) -> Option<Standard> {
        let [QueryPart { kind: PartKind::Cross, weight, vector }] = *parts else { return None };
        if weight <= 0.0 || lambda.is_some_and(|lambda| lambda != self.space.lambda) {
            return None;
        }
        let plan = Plan::new(&self.space, target, &[QueryPart { vector, weight: 1.0, kind: PartKind::Cross }]).ok()?;
        let Standard { mean, deviation } = Standard::of(&scores(&self.direction(target).bank, &self.space, &plan));
        Some(Standard { mean: mean * f64::from(weight), deviation: deviation * f64::from(weight) })
    }

    /// The probability that the hit at `rank` (from 0) with this score belongs to the query.
    pub fn relevance(&self, target: Modality, standard: Standard, rank: usize, score: f32) -> f32 {
        self.direction(target).curves.probability(rank, standard.score(score))
    }

    /// Whether a query whose best score this is probably has no match at all: of queries with a match one in twenty
    /// scores so low.
    pub fn says_none(&self, target: Modality, standard: Standard, best: f32) -> bool {
        standard.score(best) < self.direction(target).none_below
    }

    /// Writes it into the checkpoint at `model`; returns the file.
    ///
    /// # Errors
    /// When there is no checkpoint, or it cannot be written to.
    pub fn save(&self, model: &Path) -> Result<PathBuf> {
        let path = resolve(model)?.join(CALIBRATION_FILE);
        let bytes = self.to_bytes();
        write_atomically(&path, |file| std::io::Write::write_all(file, &bytes))?;
        Ok(path)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let fitted = |d: &Direction| Fitted { curves: d.curves.clone(), none_below: d.none_below };
        let header = Header {
            space: self.space,
            fingerprint: self.fingerprint.clone(),
            images: fitted(&self.images),
            captions: fitted(&self.captions),
        };
        let halves = |bank: &[f32]| -> Vec<u8> { bank.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect() };
        let banks = [("images", halves(&self.images.bank)), ("captions", halves(&self.captions.bank))];
        let dims = self.space.dims();
        let tensors = banks.iter().map(|(name, bytes)| {
            let shape = vec![bytes.len() / 2 / dims, dims];
            (name.to_string(), TensorView::new(Dtype::F16, shape, bytes).expect("whole rows"))
        });
        let json = serde_json::to_string(&header).expect("plain data is valid JSON");
        safetensors::serialize(tensors, Some(HashMap::from([("calibration".to_string(), json)])))
            .expect("the tensors have the shapes they say")
    }

    /// That of the checkpoint at `model`, if it has one.
    ///
    /// # Errors
    /// When its file cannot be read, is damaged, or was made for another model.
    pub fn load(model: &Path, encoder: &Encoder) -> Result<Option<Self>> {
        let path = resolve(model)?.join(CALIBRATION_FILE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| Error::io("cannot read", &path, e))?,
        };
        Self::from_bytes(&bytes, index_space(encoder), encoder.fingerprint(), &path).map(Some)
    }

    /// Reads the file at `path`, which must be one for this model.
    fn from_bytes(bytes: &[u8], space: Space, fingerprint: &str, path: &Path) -> Result<Self> {
        let damaged = |found: String| {
            Error::invalid(path.display().to_string(), found, "the file that `gxn calibrate` wrote")
                .with_hint("make it again: gxn calibrate MODEL DATA")
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get("calibration"));
        let json = json.ok_or_else(|| damaged("no calibration".into()))?;
        let header: Header = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
        if header.fingerprint != fingerprint || header.space != space {
            return Err(damaged(format!("a calibration of {}", header.fingerprint)));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
        let direction = |name: &str, fitted: Fitted| -> Result<Direction> {
            let tensor = tensors.tensor(name).map_err(|e| damaged(e.to_string()))?;
            let whole = tensor.dtype() == Dtype::F16 && tensor.shape().get(1) == Some(&header.space.dims());
            let halves = tensor.data().as_chunks::<2>().0;
            let bank: Vec<f32> = halves.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect();
            let Fitted { curves, none_below } = fitted;
            let sound = curves.best.is_sound() && curves.others.is_sound() && none_below.is_finite();
            if !whole || bank.is_empty() || bank.iter().any(|v| !v.is_finite()) || !sound {
                return Err(damaged(format!("the bank of {name} or its curves in disorder")));
            }
            Ok(Direction { bank, curves, none_below })
        };
        let (images, captions) = (direction("images", header.images)?, direction("captions", header.captions)?);
        Ok(Self { space, fingerprint: header.fingerprint, images, captions })
    }

    fn direction(&self, target: Modality) -> &Direction {
        match target {
            Modality::Image => &self.images,
            Modality::Text => &self.captions,
        }
    }
}

impl Standard {
    fn of(scores: &[f32]) -> Self {
        let count = scores.len().max(1) as f64;
        let mean = scores.iter().map(|&s| f64::from(s)).sum::<f64>() / count;
        let square = scores.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: square.sqrt().max(f64::MIN_POSITIVE) }
    }

    /// The same without one of the `count` scores.
    fn without(self, score: f32, count: usize) -> Self {
        let (n, score) = (count as f64, f64::from(score));
        let mean = (n * self.mean - score) / (n - 1.0);
        let square_sum = n * (self.deviation.powi(2) + self.mean.powi(2)) - score.powi(2);
        let variance = square_sum / (n - 1.0) - mean.powi(2);
        Self { mean, deviation: variance.max(0.0).sqrt().max(f64::MIN_POSITIVE) }
    }

    /// By how many standard deviations `score` lies above the mean; kept within what f32 can hold.
    fn score(self, score: f32) -> f32 {
        ((f64::from(score) - self.mean) / self.deviation).clamp(-1e6, 1e6) as f32
    }
}

/// A query's standard scores with all items.
struct Scored {
    scores: Vec<f32>,
    relevant: Vec<usize>,
}

impl Scored {
    /// Items by falling score; of equal scores the relevant one comes last: a tie is no merit.
    fn order(&self) -> impl Iterator<Item = usize> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        let key = |&at: &usize| (self.scores[at], !self.relevant.contains(&at));
        order.sort_by(|a, b| key(b).partial_cmp(&key(a)).expect("scores are numbers"));
        order.into_iter()
    }
}

fn scores(rows: &[f32], space: &Space, plan: &Plan) -> Vec<f32> {
    rows.chunks_exact(space.dims()).map(|row| score(plan, row)).collect()
}

/// Every query of `pairs` with every item of `target`, held against `bank`. Where the bank consists of some of these items,
/// `held`, a query is not held against its own answers, nor an item against itself.
fn standard_scores(
    bank: &[f32],
    space: &Space,
    pairs: &Pairs<'_>,
    target: Modality,
    held: Option<&[usize]>,
) -> Vec<Scored> {
    let (queries, items) = (pairs.items(other(target)), pairs.items(target));
    let rows: Vec<f32> = (0..items.count).flat_map(|row| as_stored(&items.joined(row))).collect();
    let scored = |query: usize| {
        let vector = queries.joined(query);
        let part = QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross };
        let plan = Plan::new(space, target, &[part]).expect("embeddings fit their own space");
        let mut scores_of_items = scores(&rows, space, &plan);
        let relevant = pairs.relevant(target, query);
        let Some(held) = held else {
            let standard = Standard::of(&scores(bank, space, &plan));
            scores_of_items.iter_mut().for_each(|score| *score = standard.score(*score));
            return Scored { scores: scores_of_items, relevant };
        };
        let others: Vec<usize> = held.iter().copied().filter(|item| !relevant.contains(item)).collect();
        let against: Vec<f32> = others.iter().map(|&item| scores_of_items[item]).collect();
        let standard = Standard::of(&against);
        let mut standards: Vec<f32> = scores_of_items.iter().map(|&score| standard.score(score)).collect();
        for (&item, &score) in others.iter().zip(&against) {
            standards[item] = standard.without(score, against.len()).score(score);
        }
        Scored { scores: standards, relevant }
    };
    (0..queries.count).into_par_iter().map(scored).collect()
}

/// Embeddings that belong together.
struct Pairs<'a> {
    encoded: &'a EncodedDataset,
    captions_of_image: Vec<Vec<usize>>,
}

impl<'a> Pairs<'a> {
    fn of(encoded: &'a EncodedDataset) -> Self {
        let mut captions_of_image = vec![Vec::new(); encoded.images.count];
        encoded.caption_image.iter().enumerate().for_each(|(c, &image)| captions_of_image[image].push(c));
        Self { encoded, captions_of_image }
    }

    fn items(&self, side: Modality) -> &'a EmbeddingRows {
        match side {
            Modality::Image => &self.encoded.images,
            Modality::Text => &self.encoded.captions,
        }
    }

    /// The items of `target` that belong to a query of the other side.
    fn relevant(&self, target: Modality, query: usize) -> Vec<usize> {
        match target {
            Modality::Image => vec![self.encoded.caption_image[query]],
            Modality::Text => self.captions_of_image[query].clone(),
        }
    }
}

fn other(side: Modality) -> Modality {
    match side {
        Modality::Image => Modality::Text,
        Modality::Text => Modality::Image,
    }
}

fn score(plan: &Plan, row: &[f32]) -> f32 {
    // No part compares by the length of rows.
    let levels = plan.level_scores(row, 0.0);
    levels.abstract_level + levels.grounded_level
}

/// A row as an index keeps it.
fn as_stored(row: &[f32]) -> Vec<f32> {
    row.iter().map(|&v| f16::from_f32(v).to_f32()).collect()
}

/// At most `most` of `count` places, evenly spread.
pub fn evenly_spread(count: usize, most: usize) -> Vec<usize> {
    let kept = count.min(most);
    (0..kept).map(|at| at * count / kept).collect()
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
