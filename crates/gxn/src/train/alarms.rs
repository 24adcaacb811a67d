//! What goes wrong in training, recognised by its closed form, with the cause and the knob.

use std::fmt;

use crate::config::LossKind;

/// Epochs in a row that have to get worse before [`Alarm::GettingWorse`].
const WORSE_EPOCHS: usize = 3;
/// Share of the plateau's value that counts as being on it.
const PLATEAU_WIDTH: f64 = 0.02;
/// Mean spread (1 − mean cosine) below which embeddings count as one point.
const LEAST_SPREAD: f64 = 0.005;

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
            Self::GettingWorse { epochs, best, now } => write!(
                f,
                "validation rsum fell {epochs} epochs in a row, from {best:.1} at best to {now:.1}: the model learns the \
                 train pairs by heart. The best epoch is kept; stop here, use fewer epochs, or more dropout"
            ),
        }
    }
}

/// The mean loss of a batch of `batch_size` pairs whose scores are all equal; none for a loss without a plateau.
pub fn plateau(loss: LossKind, hardest: bool, batch_size: usize, margin: f64) -> f64 {
    match loss {
        LossKind::InfoNce => (batch_size as f64).ln(),
        LossKind::Hardest if hardest => 2.0 * margin,
        LossKind::Sum | LossKind::Hardest => 2.0 * (batch_size - 1) as f64 * margin,
    }
}

/// Looks at each finished epoch.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Watch {
    best: f64,
    last: f64,
    falling: usize,
}

impl Watch {
    /// The alarms of one epoch. `plateau` is [`plateau`] of the epoch's loss; spreads are 1 − mean cosine.
    pub fn look(&mut self, loss: f64, plateau: f64, spreads: [f64; 2], rsum: f64) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        if (loss - plateau).abs() < PLATEAU_WIDTH * plateau {
            alarms.push(Alarm::Plateau { loss, plateau });
        }
        for (what, spread) in ["image", "caption"].into_iter().zip(spreads) {
            if spread < LEAST_SPREAD {
                alarms.push(Alarm::Collapsed { what, spread });
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

    #[test]
    fn a_healthy_run_is_silent() {
        let mut watch = Watch::default();
        for (loss, rsum) in [(5.0, 100.0), (3.0, 180.0), (2.0, 230.0), (1.5, 228.0), (1.2, 231.0)] {
            assert_eq!(watch.look(loss, 12.7, [0.4, 0.5], rsum), []);
        }
    }

    #[test]
    fn each_alarm_is_raised_by_its_cause() {
        let mut watch = Watch::default();
        let plateau = plateau(LossKind::Hardest, true, 128, 0.2);
        assert_eq!(watch.look(0.401, plateau, [0.4, 0.4], 5.0), [Alarm::Plateau { loss: 0.401, plateau: 0.4 }]);
        let collapsed = watch.look(0.3, plateau, [0.001, 0.4], 6.0);
        assert_eq!(collapsed, [Alarm::Collapsed { what: "image", spread: 0.001 }]);
        for rsum in [200.0, 190.0, 180.0] {
            assert_eq!(watch.look(0.2, plateau, [0.4, 0.4], rsum), []);
        }
        let worse = watch.look(0.1, plateau, [0.4, 0.4], 170.0);
        assert_eq!(worse, [Alarm::GettingWorse { epochs: 3, best: 200.0, now: 170.0 }]);
    }
}
