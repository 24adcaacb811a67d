//! The learning rate of a step: a pure function of the step number.

use crate::config::{Schedule, TrainConfig};

/// The learning rate of step `step` (from 0) of a run of `epochs × steps_per_epoch` steps.
pub fn learning_rate(config: &TrainConfig, step: u64, steps_per_epoch: usize) -> f64 {
    let steps_per_epoch = steps_per_epoch.max(1) as u64;
    // A run of a few images has to arrive at its rate, too.
    let warmup_steps = (config.warmup_steps as u64).min(config.epochs as u64 * steps_per_epoch / 10);
    let warm_up = if step < warmup_steps { (step + 1) as f64 / warmup_steps as f64 } else { 1.0 };
    let shape = match config.schedule {
        Schedule::Constant => 1.0,
        Schedule::Step => {
            let cuts = (step / steps_per_epoch) / config.decay_every_epochs.max(1) as u64;
            config.decay_factor.powi(cuts as i32)
        }
        Schedule::Cosine => {
            let done = step as f64 / (config.epochs as u64 * steps_per_epoch).max(1) as f64;
            0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
        }
    };
    config.learning_rate * warm_up * shape
}

/// The decay of the moving average of weights after `step` updates: it starts small, so that the first weights are
/// forgotten, and ends at the configured value.
pub fn ema_decay(config: &TrainConfig, step: u64) -> f64 {
    config.ema_decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_family_cuts_tenfold_after_fifteen_epochs() {
        let config = TrainConfig::default();
        assert_eq!(learning_rate(&config, 15 * 234 - 1, 234), 2e-4);
        assert!((learning_rate(&config, 15 * 234, 234) - 2e-5).abs() < 1e-12);
    }

    #[test]
    fn cosine_ends_at_zero_and_warm_up_starts_low() {
        let config = TrainConfig { schedule: Schedule::Cosine, epochs: 2, warmup_steps: 10, ..TrainConfig::default() };
        assert!((learning_rate(&config, 0, 100) - 2e-5).abs() < 1e-9);
        assert!((learning_rate(&config, 100, 100) - 1e-4).abs() < 1e-9);
        assert!(learning_rate(&config, 199, 100) < 1e-7);
    }

    #[test]
    fn a_short_run_arrives_at_its_rate_after_a_tenth_of_its_steps() {
        let config =
            TrainConfig { schedule: Schedule::Constant, epochs: 12, warmup_steps: 100, ..TrainConfig::default() };
        assert!((learning_rate(&config, 3, 7) - 1e-4).abs() < 1e-12);
        assert_eq!([8, 83].map(|step| learning_rate(&config, step, 7)), [2e-4; 2]);
    }
}
