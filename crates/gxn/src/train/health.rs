//! [`HealthMonitor`]: what goes wrong in training, recognised by its numbers, with the cause and the key that helps.

use std::fmt;

use super::algorithm::discriminator::{FAKE_RIGHT, REAL_RIGHT};
use super::caption_task::{COMMONEST, LENGTH, UNKNOWN};
use super::caption_texts::EqualCaptions;
use super::event::EpochReport;
use super::image_task::{OTHER_SENTENCE, SAME_SENTENCE};
use super::metrics::NamedMetrics;
use super::validation::Validation;
use crate::config::Update;
use crate::model::EmbeddingRows;
use gxn_base::{Error, Result};

/// Epochs in a row that have to get worse before [`Alarm::GettingWorse`].
const WORSE_EPOCHS: usize = 3;
/// Share of the plateau's value that counts as being on it.
const PLATEAU_WIDTH: f64 = 0.02;
/// Steps that a network may need to leave the plateau of equal scores, where every run begins.
const FIRST_STEPS: u64 = 50;
/// Spread (1 − mean cosine) below which embeddings count as one point, if they were farther apart before training.
const LEAST_SPREAD: f64 = 0.005;
/// Share of the first spread below which embeddings have moved together.
const SPREAD_LOST: f64 = 0.5;

/// Share of a batch's pairs with an equal caption in it beyond which it is no wonder that nothing can be told apart.
const TWINS: f64 = 0.5;
/// Share of one caption among those of all images that is too much.
const SAME_CAPTION: f64 = 0.5;
/// Share of places where the unknown word is the likeliest that is too much.
const UNKNOWN_SHARE: f64 = 0.3;
/// Mean length, as a share of the train captions', that is too short.
const SHORT: f64 = 0.5;

/// Share of generated images that the discriminator recognises when the generator has lost.
const SATURATED: f64 = 0.99;
/// Share of real images that it takes for real then: one that calls everything false has not won. It doubts images with
/// their own sentence too, so that this stays well below the other.
const STILL_REAL: f64 = 0.5;
/// Root mean square difference (values in 0..=1) below which two images count as one.
const ONE_IMAGE: f64 = 0.02;

/// A recognised problem.
#[derive(Debug, Clone, PartialEq)]
pub enum Alarm {
    /// The loss is what it is when all scores are equal.
    Plateau {
        /// The epoch's mean loss.
        loss: f64,
        /// The loss of equal scores.
        plateau: f64,
    },
    /// All embeddings of one kind are nearly the same.
    Collapsed {
        /// "image" or "caption".
        what: &'static str,
        /// 1 − mean cosine between two of them.
        spread: f64,
    },
    /// Nothing is learned because most captions are the same as another image's of the batch.
    EqualCaptions(EqualCaptions),
    /// Most images get the same caption.
    SameCaption {
        /// Its share.
        share: f64,
    },
    /// The unknown word is the decoder's likeliest word too often.
    UnknownWords {
        /// Share of words.
        share: f64,
    },
    /// Captions are much shorter than those it learns from.
    ShortCaptions {
        /// Mean length as a share of the train captions'.
        share: f64,
    },
    /// The discriminator is always right: the generator learns nothing from it.
    Saturated {
        /// Share of real images taken for real.
        real: f64,
        /// Share of generated images taken for false.
        fake: f64,
    },
    /// Images of different sentences are the same.
    OneImage {
        /// Root mean square difference between them.
        difference: f64,
    },
    /// A sentence has one image, whatever the noise.
    NoiseIgnored {
        /// Root mean square difference between two images of it.
        difference: f64,
    },
    /// The validation result falls.
    GettingWorse {
        /// Epochs in a row.
        epochs: usize,
        /// rsum of the best epoch.
        best: f64,
        /// rsum now.
        now: f64,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plateau { loss, plateau } => write!(
                f,
                "the loss {loss:.4} stands at {plateau:.4}, its value when all scores are equal: nothing is learned. \
                 Lower train.learning_rate, use more sum_epochs before hardest negatives, or matching.loss=\"sum\""
            ),
            Self::Collapsed { what, spread } => write!(
                f,
                "all {what} embeddings are nearly the same (1 − mean cosine = {spread:.4}): every query finds the same \
                 items. Lower train.learning_rate or start with matching.loss=\"sum\" or \"info_nce\""
            ),
            Self::EqualCaptions(EqualCaptions { texts: 1, .. }) => write!(
                f,
                "all train captions are the same text: nothing tells the images apart. Give each image captions of its own"
            ),
            Self::EqualCaptions(EqualCaptions { share, texts }) => write!(
                f,
                "{:.0} % of the pairs have the caption of another image of their batch ({texts} different captions in all): \
                 these cannot be told apart. Give the images captions of their own, or do not count equal captions against \
                 each other: matching.mask_equal_captions=true",
                100.0 * share
            ),
            Self::SameCaption { share } => write!(
                f,
                "{:.0} % of the validation images get the same caption: the decoder ignores v_l. Raise \
                 imagine.caption.condition_scale or imagine.caption.learning_rate, or train longer; compare the captions of \
                 the train split, which may be one sentence too",
                100.0 * share
            ),
            Self::UnknownWords { share } => write!(
                f,
                "the unknown word is the likeliest in {:.0} % of the places: too many words are left out. Lower \
                 imagine.caption.min_count",
                100.0 * share
            ),
            Self::ShortCaptions { share } => write!(
                f,
                "generated captions have {:.0} % of the length of the train captions: raise imagine.caption.max_words, or lower \
                 imagine.caption.gamma_to if it began with the reward",
                100.0 * share
            ),
            Self::Saturated { real, fake } => write!(
                f,
                "the discriminator is right about {:.1} % of the real and {:.1} % of the generated images: the generator learns \
                 nothing from it. Lower imagine.image.discriminator_width or learning_rate",
                100.0 * real,
                100.0 * fake
            ),
            Self::OneImage { difference } => write!(
                f,
                "images of different sentences differ by {difference:.4} (of 1): the generator makes one image for all. Lower \
                 imagine.image.learning_rate, raise beta_wrong or condition_scale, or train a new generator"
            ),
            Self::NoiseIgnored { difference } => write!(
                f,
                "images of one sentence with different noise differ by {difference:.4} (of 1): its modes have collapsed into one \
                 image. Lower imagine.image.learning_rate, or raise beta_kl, which keeps the conditions spread"
            ),
            Self::GettingWorse { epochs, best, now } => write!(
                f,
                "validation rsum fell {epochs} epochs in a row, from {best:.1} at best to {now:.1}: the model overfits the \
                 train pairs. The best epoch is kept; stop here, use fewer epochs, or more dropout"
            ),
        }
    }
}

/// What an epoch is checked for.
#[derive(Debug, Clone, Copy)]
pub struct Checks<'a> {
    /// The updates that should have had an effect by now.
    pub updates: &'a [Update],
    /// The epoch's loss if nothing were learned, see [`plateau`](super::algorithm::matching::plateau).
    pub plateau: f64,
    /// What the epoch's batches have in common.
    pub equal_captions: EqualCaptions,
}

/// Checks each finished epoch.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HealthMonitor {
    first_spreads: [f64; 2],
    best: f64,
    last: f64,
    falling: usize,
}

impl HealthMonitor {
    /// Remembers where the run begins, which may be where another one ended.
    pub fn begin(&mut self, validation: &Validation) {
        self.first_spreads = [validation.image_spread, validation.caption_spread];
        (self.best, self.last) = (validation.rsum, validation.rsum);
    }

    /// The alarms of one epoch.
    pub fn check(&mut self, epoch: &EpochReport, checks: Checks) -> Vec<Alarm> {
        let validation = &epoch.validation;
        let mut alarms = Vec::new();
        for update in checks.updates {
            match update {
                Update::Match => alarms.extend(on_plateau(epoch, checks.plateau)),
                Update::Caption => alarms.extend(caption_alarms(&validation.generated)),
                Update::Discriminator => alarms.extend(saturated(&epoch.metrics)),
                Update::Generator => alarms.extend(image_alarm(&validation.generated)),
            }
        }
        let spreads = [validation.image_spread, validation.caption_spread];
        for ((what, spread), first) in ["image", "caption"].into_iter().zip(spreads).zip(self.first_spreads) {
            if spread < LEAST_SPREAD && spread < SPREAD_LOST * first {
                alarms.push(Alarm::Collapsed { what, spread });
            }
        }
        // A lower learning rate would not help.
        let is_symptom = |alarm: &Alarm| matches!(alarm, Alarm::Plateau { .. } | Alarm::Collapsed { .. });
        if checks.equal_captions.share > TWINS && alarms.iter().any(is_symptom) {
            alarms.retain(|alarm| !is_symptom(alarm));
            alarms.insert(0, Alarm::EqualCaptions(checks.equal_captions));
        }
        let rsum = validation.rsum;
        self.falling = if rsum < self.best && rsum < self.last { self.falling + 1 } else { 0 };
        self.best = self.best.max(rsum);
        self.last = rsum;
        if self.falling >= WORSE_EPOCHS {
            alarms.push(Alarm::GettingWorse { epochs: self.falling, best: self.best, now: rsum });
        }
        alarms
    }

    #[cfg(test)]
    pub(super) fn remembering(first_spreads: [f64; 2], best: f64, last: f64, falling: usize) -> Self {
        Self { first_spreads, best, last, falling }
    }
}

/// Refuses embeddings after which every score is the same, or none: nothing can be learned from there on. `inputs_differ` tells
/// of the images and of the captions whether the network could have told them apart.
///
/// # Errors
/// When all embeddings of one kind are one point, or not finite.
pub(super) fn require_spread(
    embeddings: [&EmbeddingRows; 2],
    inputs_differ: [bool; 2],
    step: u64,
    rate: (&str, f64),
) -> Result<()> {
    for ((rows, what), differ) in embeddings.into_iter().zip(["image", "caption"]).zip(inputs_differ) {
        let levels = [Some(&rows.abstract_level), rows.grounded_level.as_ref()];
        let mut levels = levels.into_iter().flatten();
        let what = format!("the {what} embeddings of the val split after step {step}");
        if let Some(bad) = levels.clone().flatten().find(|x| !x.is_finite()) {
            return Err(diverged(what, bad.to_string(), "finite numbers", rate));
        }
        let is_point = |level: &Vec<f32>| level.chunks_exact(rows.dim).all(|row| *row == level[..rows.dim]);
        if differ && rows.count > 1 && levels.all(is_point) {
            let found = "the same point for all, so that every score is a tie";
            return Err(diverged(what, found.into(), "points that differ", rate));
        }
    }
    Ok(())
}

/// The error of a run that went beyond all bounds at the learning rate that the key sets.
pub(super) fn diverged(what: String, found: String, expected: &str, (key, rate): (&str, f64)) -> Error {
    Error::invalid(what, found, expected)
        .with_hint(format!("lower {key} (it is {rate:?}); the last checkpoint is from before this"))
}

fn on_plateau(epoch: &EpochReport, plateau: f64) -> Option<Alarm> {
    let loss = epoch.loss?;
    let stands = epoch.step >= FIRST_STEPS && (loss - plateau).abs() < PLATEAU_WIDTH * plateau;
    stands.then_some(Alarm::Plateau { loss, plateau })
}

fn caption_alarms(validation: &NamedMetrics) -> Vec<Alarm> {
    let alarm = |name, is_bad: fn(f64) -> bool, alarm: fn(f64) -> Alarm| {
        validation.get(name).filter(|&share| is_bad(share)).map(alarm)
    };
    let found = [
        alarm(COMMONEST, |share| share > SAME_CAPTION, |share| Alarm::SameCaption { share }),
        alarm(UNKNOWN, |share| share > UNKNOWN_SHARE, |share| Alarm::UnknownWords { share }),
        alarm(LENGTH, |share| share < SHORT, |share| Alarm::ShortCaptions { share }),
    ];
    found.into_iter().flatten().collect()
}

fn saturated(metrics: &NamedMetrics) -> Option<Alarm> {
    let (real, fake) = (metrics.get(REAL_RIGHT)?, metrics.get(FAKE_RIGHT)?);
    (real > STILL_REAL && fake > SATURATED).then_some(Alarm::Saturated { real, fake })
}

fn image_alarm(validation: &NamedMetrics) -> Option<Alarm> {
    let (same, other) = (validation.get(SAME_SENTENCE)?, validation.get(OTHER_SENTENCE)?);
    if other < ONE_IMAGE {
        return Some(Alarm::OneImage { difference: other });
    }
    (same < ONE_IMAGE).then_some(Alarm::NoiseIgnored { difference: same })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LossKind, MatchingConfig};
    use crate::matching::Negatives;
    use crate::train::algorithm::matching::plateau;

    fn epoch(loss: f64, rsum: f64) -> EpochReport {
        let validation = Validation { rsum, image_spread: 0.4, caption_spread: 0.4, ..Validation::default() };
        let metrics = NamedMetrics::default();
        EpochReport { step: 500, epoch: 3, loss: Some(loss), metrics, validation, best: false, seconds: 1.0 }
    }

    fn monitor() -> HealthMonitor {
        let mut monitor = HealthMonitor::default();
        monitor.begin(&Validation { image_spread: 0.3, caption_spread: 0.3, ..Validation::default() });
        monitor
    }

    const MATCH: Checks =
        Checks { updates: &[Update::Match], plateau: 0.4, equal_captions: EqualCaptions { share: 0.1, texts: 900 } };

    #[test]
    fn a_healthy_run_is_silent() {
        let mut monitor = monitor();
        // The first epoch of a small set is over before anything is learned.
        assert_eq!(monitor.check(&EpochReport { step: 10, ..epoch(0.4, 50.0) }, MATCH), []);
        for (loss, rsum) in [(0.3, 100.0), (0.2, 180.0), (0.15, 230.0), (0.1, 228.0), (0.05, 231.0)] {
            assert_eq!(monitor.check(&epoch(loss, rsum), MATCH), []);
        }
    }

    #[test]
    fn each_alarm_is_raised_by_its_cause() {
        let mut monitor = monitor();
        assert_eq!(monitor.check(&epoch(0.401, 5.0), MATCH), [Alarm::Plateau { loss: 0.401, plateau: 0.4 }]);
        let mut collapsed = epoch(0.1, 6.0);
        collapsed.validation.image_spread = 0.001;
        assert_eq!(monitor.check(&collapsed, MATCH), [Alarm::Collapsed { what: "image", spread: 0.001 }]);
        for rsum in [200.0, 190.0, 180.0] {
            assert_eq!(monitor.check(&epoch(0.1, rsum), MATCH), []);
        }
        let worse = monitor.check(&epoch(0.1, 170.0), MATCH);
        assert_eq!(worse, [Alarm::GettingWorse { epochs: 3, best: 200.0, now: 170.0 }]);
    }

    /// α = 0.2: each of B − 1 negatives violates by α in both directions, or one of them does; a softmax over B is ln B.
    #[test]
    fn the_plateau_is_the_loss_of_equal_scores() {
        let matching = |loss| MatchingConfig { loss, margin: 0.2, ..MatchingConfig::default() };
        assert_eq!(plateau(&matching(LossKind::Hardest), Negatives::Hardest, 128, 128), 0.4);
        assert_eq!(plateau(&matching(LossKind::Hardest), Negatives::All, 3, 3), 0.8);
        assert_eq!(plateau(&matching(LossKind::InfoNce), Negatives::All, 128, 128), 128f64.ln());
        // Five captions each: an image has 15 − 5 negatives, a caption 3 − 1.
        let several = plateau(&matching(LossKind::InfoNce), Negatives::All, 3, 15);
        assert!((several - (11f64.ln() + 3f64.ln()) / 2.0).abs() < 1e-12, "{several}");
        // Hardest negatives at a rate that is too high end here, and the run reports it.
        let alarms = monitor().check(&epoch(0.4, 3.0), Checks { plateau: 0.4, ..MATCH });
        assert!(matches!(alarms[..], [Alarm::Plateau { .. }]), "{alarms:?}");
        // A stage without Match has no such loss.
        let alone = Checks { updates: &[Update::Discriminator, Update::Generator], ..MATCH };
        assert_eq!(monitor().check(&epoch(0.4, 3.0), alone), []);
    }

    #[test]
    fn captions_that_have_nothing_to_do_with_their_image_are_noticed() {
        let check = |name, value| {
            let mut epoch = epoch(0.1, 100.0);
            epoch.validation.generated = [(COMMONEST, 0.1), (UNKNOWN, 0.05), (LENGTH, 0.9)].into();
            epoch.validation.generated.record(name, value);
            monitor().check(&epoch, Checks { updates: &[Update::Caption], ..MATCH })
        };
        assert_eq!(check(COMMONEST, 0.2), []);
        assert_eq!(check(COMMONEST, 0.9), [Alarm::SameCaption { share: 0.9 }]);
        assert_eq!(check(UNKNOWN, 0.4), [Alarm::UnknownWords { share: 0.4 }]);
        assert_eq!(check(LENGTH, 0.2), [Alarm::ShortCaptions { share: 0.2 }]);
    }

    #[test]
    fn a_generator_that_has_lost_is_noticed() {
        let check = |real, fake, same, other| {
            let mut epoch = epoch(0.1, 100.0);
            epoch.metrics = [(REAL_RIGHT, real), (FAKE_RIGHT, fake)].into();
            epoch.validation.generated = [(SAME_SENTENCE, same), (OTHER_SENTENCE, other)].into();
            monitor().check(&epoch, Checks { updates: &[Update::Discriminator, Update::Generator], ..MATCH })
        };
        assert_eq!(check(0.9, 0.8, 0.15, 0.2), []);
        // A discriminator that reads the sentence doubts real pairs too.
        assert_eq!(check(0.7, 0.995, 0.15, 0.2), [Alarm::Saturated { real: 0.7, fake: 0.995 }]);
        // One that calls everything false has not won.
        assert_eq!(check(0.01, 1.0, 0.15, 0.2), []);
        assert_eq!(check(0.9, 0.8, 0.15, 0.01), [Alarm::OneImage { difference: 0.01 }]);
        assert_eq!(check(0.9, 0.8, 0.004, 0.2), [Alarm::NoiseIgnored { difference: 0.004 }]);
    }

    /// One text for all images: the loss stands, but no learning rate would help.
    #[test]
    fn equal_captions_are_named_as_the_cause() {
        for texts in [1, 3] {
            let equal_captions = EqualCaptions { share: 0.9, texts };
            let found = monitor().check(&epoch(0.4, 5.0), Checks { equal_captions, ..MATCH });
            assert_eq!(found, [Alarm::EqualCaptions(equal_captions)]);
            assert!(!found[0].to_string().contains("learning_rate"), "{}", found[0]);
            // Where the run learns, repeated captions are the data's own affair.
            assert_eq!(monitor().check(&epoch(0.1, 50.0), Checks { equal_captions, ..MATCH }), []);
        }
    }

    #[test]
    fn one_point_or_no_number_ends_the_run() {
        let rows = |values: &[f32]| {
            let mut rows = EmbeddingRows::new(2, false);
            rows.abstract_level.extend(values);
            rows.count = values.len() / 2;
            rows
        };
        let (spread, point, none) = (rows(&[1.0, 0.0, 0.0, 1.0]), rows(&[1.0, 0.0, 1.0, 0.0]), rows(&[1.0, f32::NAN]));
        let check = |embeddings, differ| require_spread(embeddings, differ, 7, ("train.learning_rate", 1e30));
        check([&spread, &spread], [true; 2]).unwrap();
        let tie = check([&spread, &point], [true; 2]).unwrap_err();
        assert!(tie.to_string().contains("every score is a tie") && tie.hint().unwrap().contains("1e30"), "{tie:?}");
        // Equal captions have equal embeddings.
        check([&spread, &point], [true, false]).unwrap();
        assert!(check([&none, &spread], [true; 2]).unwrap_err().to_string().contains("NaN"));
    }

    /// A run that begins with another one falls from there.
    #[test]
    fn what_falls_from_the_start_is_noticed() {
        let mut monitor = HealthMonitor::default();
        monitor.begin(&Validation { rsum: 336.0, ..Validation::default() });
        let found: Vec<_> =
            [320.0, 310.0, 300.0].iter().flat_map(|&rsum| monitor.check(&epoch(0.1, rsum), MATCH)).collect();
        assert_eq!(found, [Alarm::GettingWorse { epochs: 3, best: 336.0, now: 300.0 }]);
    }

    /// Word vectors begin close together, and so do untrained captions: no collapse.
    #[test]
    fn embeddings_that_were_never_apart_have_not_collapsed() {
        let mut monitor = HealthMonitor::default();
        monitor.begin(&Validation { image_spread: 0.3, caption_spread: 0.001, ..Validation::default() });
        let mut close = epoch(0.1, 100.0);
        (close.validation.image_spread, close.validation.caption_spread) = (0.3, 0.001);
        assert_eq!(monitor.check(&close, MATCH), []);
    }
}
