//! One Adam for each update: each keeps its own moments of every parameter that it moves (spec §9.3).

use std::collections::BTreeMap;

use crate::config::{RunConfig, Update};
use crate::model::Gxn;
use gxn_base::Result;
use gxn_ops::adam::{Adam, AdamConfig, AdamState};

/// What stands before the paths of each optimiser's state in a saved run; Match's have none.
const PREFIXES: [(Update, &str); 4] = [
    (Update::Match, ""),
    (Update::Caption, "caption/"),
    (Update::Discriminator, "discriminator/"),
    (Update::Generator, "generator/"),
];

/// The optimisers of all updates; those of updates that a stage does not have stay empty.
#[derive(Debug)]
pub struct Optimisers(BTreeMap<Update, Adam>);

impl Optimisers {
    /// Optimisers that have seen no gradient yet.
    pub fn new(config: &RunConfig) -> Self {
        let t = &config.train;
        let shared = AdamConfig { beta1: t.beta1, beta2: t.beta2, epsilon: t.epsilon, weight_decay: t.weight_decay };
        // The networks of a GAN are not decayed: StackGAN's are not.
        let gan = AdamConfig { beta1: config.imagine.image.beta1, weight_decay: 0.0, ..shared };
        let settings = |update| match update {
            Update::Match | Update::Caption => shared,
            Update::Discriminator | Update::Generator => gan,
        };
        Self(PREFIXES.iter().map(|&(update, _)| (update, Adam::new(settings(update)))).collect())
    }

    /// The optimiser of an update.
    pub fn of(&mut self, update: Update) -> &mut Adam {
        self.0.get_mut(&update).expect("every update has one")
    }

    /// The memory of all, each path behind its optimiser's prefix.
    pub fn state(&self) -> Vec<AdamState> {
        let prefixed = |(update, prefix): &(Update, &str)| {
            let own = self.0[update].state().into_iter();
            own.map(|state| AdamState { path: format!("{prefix}{}", state.path), ..state }).collect::<Vec<_>>()
        };
        PREFIXES.iter().flat_map(prefixed).collect()
    }

    /// Replaces the memory by what [`Optimisers::state`] gave.
    ///
    /// # Errors
    /// As [`Adam::restore`].
    pub fn restore(&mut self, states: Vec<AdamState>, model: &Gxn) -> Result<()> {
        let mut parts: BTreeMap<Update, Vec<AdamState>> = BTreeMap::new();
        for state in states {
            // Match's empty prefix is the first in the list: all others are tried before it.
            let owner = PREFIXES.iter().rev().find(|(_, prefix)| state.path.starts_with(prefix));
            let &(update, prefix) = owner.expect("every path begins with the empty prefix");
            let path = state.path[prefix.len()..].to_owned();
            parts.entry(update).or_default().push(AdamState { path, ..state });
        }
        PREFIXES
            .iter()
            .try_for_each(|(update, _)| self.of(*update).restore(parts.remove(update).unwrap_or_default(), model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Init;
    use crate::model::Generators;
    use burn::tensor::Device;

    /// Two optimisers may know the same parameter: each gets its own memory back.
    #[test]
    fn each_optimiser_gets_its_own_memory_back() {
        let mut config = RunConfig::default();
        (config.look.embed_dim, config.look.sentence.hidden, config.look.sentence.word_dim) = (4, 3, 2);
        let model = Gxn::new(&Init::new(1, &Device::flex()), &config, 6, None, None, Generators::default());
        let memory = |prefix: &str, steps| AdamState {
            path: format!("{prefix}log_scale"),
            shape: vec![1],
            steps,
            first: vec![steps as f32],
            second: vec![0.5],
        };
        let states: Vec<AdamState> =
            (PREFIXES.iter().zip(1..)).map(|((_, prefix), steps)| memory(prefix, steps)).collect();
        let mut optimisers = Optimisers::new(&config);
        optimisers.restore(states.clone(), &model).unwrap();
        assert_eq!(optimisers.state(), states);
        assert_eq!(optimisers.of(Update::Generator).state()[0].steps, 4);
        assert!(optimisers.restore(vec![memory("caption/absent.", 1)], &model).is_err());
    }

    #[test]
    fn only_the_optimisers_of_the_gan_have_its_momentum_and_no_decay() {
        let mut config = RunConfig::default();
        (config.train.weight_decay, config.imagine.image.beta1) = (0.1, 0.5);
        let mut optimisers = Optimisers::new(&config);
        let settings = |adam: &mut Adam| (adam.config().beta1, adam.config().weight_decay);
        let found = [Update::Match, Update::Caption, Update::Discriminator, Update::Generator]
            .map(|update| settings(optimisers.of(update)));
        assert_eq!(found, [(0.9, 0.1), (0.9, 0.1), (0.5, 0.0), (0.5, 0.0)]);
    }
}
