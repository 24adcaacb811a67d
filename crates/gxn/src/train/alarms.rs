//! What goes wrong in training, recognised by its closed form, with the cause and the knob.

use std::fmt;

use super::captions::CaptionValidation;
use super::picture_steps::PictureFigures;
use super::pictures::PictureValidation;
use crate::config::LossKind;

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

/// Share of one caption among those of all images that is too much.
const SAME_CAPTION: f64 = 0.5;
/// Share of places where the unknown word is the likeliest that is too much.
const UNKNOWN_SHARE: f64 = 0.3;
/// Mean length, as a share of the train captions', that is too short.
const SHORT: f64 = 0.5;

/// Share of generated pictures that the discriminator finds out when the generator has lost.
const SATURATED: f64 = 0.99;
/// Share of real pictures that it takes for real then: one that calls everything false has not won. It doubts pictures with
/// their own sentence too, so that this stays well below the other.
const STILL_REAL: f64 = 0.5;
/// Root mean square difference (values in 0..=1) below which two pictures count as one.
const ONE_PICTURE: f64 = 0.02;

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
    /// Most pictures are given one and the same caption.
    SameCaption {
        /// Its share.
        share: f64,
    },
    /// The decoder mostly wants to say the unknown word.
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
        /// Share of real pictures taken for real.
        real: f64,
        /// Share of generated pictures taken for false.
        fake: f64,
    },
    /// Pictures of different sentences are the same.
    OnePicture {
        /// Root mean square difference between them.
        difference: f64,
    },
    /// A sentence has one picture, whatever the noise.
    NoiseIgnored {
        /// Root mean square difference between two pictures of it.
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
            Self::SameCaption { share } => write!(
                f,
                "{:.0} % of the validation pictures are given the same caption: the decoder does not look at v_l. Raise \
                 imagine.words.condition_scale or imagine.words.learning_rate, or train longer; compare the captions of \
                 the train split, which may be one sentence too",
                100.0 * share
            ),
            Self::UnknownWords { share } => write!(
                f,
                "the unknown word is the likeliest in {:.0} % of the places: too many words are left out. Lower \
                 imagine.words.min_count",
                100.0 * share
            ),
            Self::ShortCaptions { share } => write!(
                f,
                "generated captions have {:.0} % of the length of the train captions: raise imagine.words.max_words, or lower \
                 imagine.words.gamma_to if it began with the reward",
                100.0 * share
            ),
            Self::Saturated { real, fake } => write!(
                f,
                "the discriminator is right about {:.1} % of the real and {:.1} % of the imagined pictures: the generator learns \
                 nothing from it. Lower imagine.pictures.discriminator_width or learning_rate",
                100.0 * real,
                100.0 * fake
            ),
            Self::OnePicture { difference } => write!(
                f,
                "pictures of different sentences differ by {difference:.4} (of 1): the generator makes one picture for all. Lower \
                 imagine.pictures.learning_rate, raise beta_wrong or condition_scale, or start the generator anew"
            ),
            Self::NoiseIgnored { difference } => write!(
                f,
                "pictures of one sentence with different noise differ by {difference:.4} (of 1): its modes have collapsed into one \
                 picture. Lower imagine.pictures.learning_rate, or raise beta_kl, which keeps the conditions spread"
            ),
            Self::GettingWorse { epochs, best, now } => write!(
                f,
                "validation rsum fell {epochs} epochs in a row, from {best:.1} at best to {now:.1}: the model learns the \
                 train pairs by heart. The best epoch is kept; stop here, use fewer epochs, or more dropout"
            ),
        }
    }
}

/// The mean loss of a batch of `batch_size` pairs whose scores are all equal.
pub fn plateau(loss: LossKind, hardest: bool, batch_size: usize, margin: f64) -> f64 {
    match loss {
        LossKind::InfoNce => (batch_size as f64).ln(),
        LossKind::Hardest if hardest => 2.0 * margin,
        LossKind::Sum | LossKind::Hardest => 2.0 * batch_size.saturating_sub(1) as f64 * margin,
    }
}

/// What an epoch looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Steps since the beginning of the run.
    pub step: u64,
    /// Mean loss of the epoch.
    pub loss: f64,
    /// [`plateau`] of the epoch's loss.
    pub plateau: f64,
    /// 1 − mean cosine between two images, and between two captions.
    pub spreads: [f64; 2],
    /// Validation rsum.
    pub rsum: f64,
    /// The captions of an epoch that should be able to speak.
    pub captions: Option<CaptionValidation>,
    /// The pictures of an epoch that should be able to draw.
    pub pictures: Option<(PictureFigures, PictureValidation)>,
}

/// Looks at each finished epoch.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Watch {
    first_spreads: [f64; 2],
    best: f64,
    last: f64,
    falling: usize,
}

impl Watch {
    /// Notes the spreads of the untrained network.
    pub fn begin(&mut self, spreads: [f64; 2]) {
        self.first_spreads = spreads;
    }

    /// The alarms of one epoch.
    pub fn look(&mut self, seen: Observation) -> Vec<Alarm> {
        let Observation { step, loss, plateau, spreads, rsum, captions, pictures } = seen;
        let mut alarms = Vec::new();
        if step >= FIRST_STEPS && (loss - plateau).abs() < PLATEAU_WIDTH * plateau {
            alarms.push(Alarm::Plateau { loss, plateau });
        }
        for ((what, spread), first) in ["image", "caption"].into_iter().zip(spreads).zip(self.first_spreads) {
            if spread < LEAST_SPREAD && spread < SPREAD_LOST * first {
                alarms.push(Alarm::Collapsed { what, spread });
            }
        }
        if let Some(CaptionValidation { commonest, unknown, length, .. }) = captions {
            if commonest > SAME_CAPTION {
                alarms.push(Alarm::SameCaption { share: commonest });
            }
            if unknown > UNKNOWN_SHARE {
                alarms.push(Alarm::UnknownWords { share: unknown });
            }
            if length < SHORT {
                alarms.push(Alarm::ShortCaptions { share: length });
            }
        }
        if let Some((figures, made)) = pictures {
            if figures.real_right > STILL_REAL && figures.fake_right > SATURATED {
                alarms.push(Alarm::Saturated { real: figures.real_right, fake: figures.fake_right });
            }
            if made.other_sentence < ONE_PICTURE {
                alarms.push(Alarm::OnePicture { difference: made.other_sentence });
            } else if made.same_sentence < ONE_PICTURE {
                alarms.push(Alarm::NoiseIgnored { difference: made.same_sentence });
            }
        }
        self.falling = if rsum < self.best && rsum < self.last { self.falling + 1 } else { 0 };
        self.best = self.best.max(rsum);
        self.last = rsum;
        if self.falling >= WORSE_EPOCHS {
            alarms.push(Alarm::GettingWorse { epochs: self.falling, best: self.best, now: rsum });
        }
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: Observation = Observation {
        step: 500,
        loss: 0.1,
        plateau: 0.4,
        spreads: [0.4, 0.4],
        rsum: 100.0,
        captions: None,
        pictures: None,
    };

    fn watch() -> Watch {
        let mut watch = Watch::default();
        watch.begin([0.3, 0.3]);
        watch
    }

    #[test]
    fn a_healthy_run_is_silent() {
        let mut watch = watch();
        // The first epoch of a small set is over before anything is learned.
        assert_eq!(watch.look(Observation { step: 10, loss: 0.4, rsum: 50.0, ..HEALTHY }), []);
        for (loss, rsum) in [(0.3, 100.0), (0.2, 180.0), (0.15, 230.0), (0.1, 228.0), (0.05, 231.0)] {
            assert_eq!(watch.look(Observation { loss, rsum, ..HEALTHY }), []);
        }
    }

    #[test]
    fn each_alarm_is_raised_by_its_cause() {
        let mut watch = watch();
        let plateau = plateau(LossKind::Hardest, true, 128, 0.2);
        let stuck = watch.look(Observation { loss: 0.401, plateau, rsum: 5.0, ..HEALTHY });
        assert_eq!(stuck, [Alarm::Plateau { loss: 0.401, plateau: 0.4 }]);
        let collapsed = watch.look(Observation { spreads: [0.001, 0.4], rsum: 6.0, ..HEALTHY });
        assert_eq!(collapsed, [Alarm::Collapsed { what: "image", spread: 0.001 }]);
        for rsum in [200.0, 190.0, 180.0] {
            assert_eq!(watch.look(Observation { rsum, ..HEALTHY }), []);
        }
        let worse = watch.look(Observation { rsum: 170.0, ..HEALTHY });
        assert_eq!(worse, [Alarm::GettingWorse { epochs: 3, best: 200.0, now: 170.0 }]);
    }

    #[test]
    fn captions_that_say_nothing_are_noticed() {
        let good = CaptionValidation { commonest: 0.1, unknown: 0.05, length: 0.9, ..CaptionValidation::default() };
        let look = |captions| watch().look(Observation { captions: Some(captions), ..HEALTHY });
        assert_eq!(look(good), []);
        assert_eq!(look(CaptionValidation { commonest: 0.9, ..good }), [Alarm::SameCaption { share: 0.9 }]);
        assert_eq!(look(CaptionValidation { unknown: 0.4, ..good }), [Alarm::UnknownWords { share: 0.4 }]);
        assert_eq!(look(CaptionValidation { length: 0.2, ..good }), [Alarm::ShortCaptions { share: 0.2 }]);
    }

    #[test]
    fn a_generator_that_has_lost_is_noticed() {
        let figures = PictureFigures { real_right: 0.9, fake_right: 0.8, ..PictureFigures::default() };
        let made = PictureValidation { other_sentence: 0.2, same_sentence: 0.15, ..PictureValidation::default() };
        let look = |pictures| watch().look(Observation { pictures: Some(pictures), ..HEALTHY });
        assert_eq!(look((figures, made)), []);
        // A discriminator that looks at the sentence doubts real pairs too.
        let right = PictureFigures { real_right: 0.7, fake_right: 0.995, ..figures };
        assert_eq!(look((right, made)), [Alarm::Saturated { real: 0.7, fake: 0.995 }]);
        let refuses_all = PictureFigures { real_right: 0.01, fake_right: 1.0, ..figures };
        assert_eq!(look((refuses_all, made)), []);
        let same = PictureValidation { other_sentence: 0.01, ..made };
        assert_eq!(look((figures, same)), [Alarm::OnePicture { difference: 0.01 }]);
        let deaf = PictureValidation { same_sentence: 0.004, ..made };
        assert_eq!(look((figures, deaf)), [Alarm::NoiseIgnored { difference: 0.004 }]);
    }

    /// Word vectors begin close together, and so do untrained captions: no collapse.
    #[test]
    fn embeddings_that_were_never_apart_have_not_collapsed() {
        let mut watch = Watch::default();
        watch.begin([0.3, 0.001]);
        assert_eq!(watch.look(Observation { spreads: [0.3, 0.001], ..HEALTHY }), []);
    }
}
