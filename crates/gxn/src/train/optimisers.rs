//! One Adam for each loss: each keeps its own moments of every parameter that it moves (spec §9.3).

use crate::config::RunConfig;
use crate::model::Gxn;
use gxn_base::Result;
use gxn_ops::adam::{Adam, AdamConfig, AdamState};

/// The optimisers of all losses; those of losses that a stage does not have stay empty.
#[derive(Debug)]
pub struct Optimisers {
    /// Eq. 3.
    pub matching: Adam,
    /// Eq. 4 or 7.
    pub caption: Adam,
    /// Eq. 11.
    pub discriminator: Adam,
    /// Eq. 12.
    pub generator: Adam,
}

impl Optimisers {
    /// Optimisers that have seen no gradient yet.
    pub fn new(config: &RunConfig) -> Self {
        let t = &config.train;
        let shared = AdamConfig { beta1: t.beta1, beta2: t.beta2, epsilon: t.epsilon, weight_decay: t.weight_decay };
        // The networks of a GAN are not decayed: StackGAN's are not.
        let gan = AdamConfig { beta1: config.imagine.pictures.beta1, weight_decay: 0.0, ..shared };
        Self {
            matching: Adam::new(shared),
            caption: Adam::new(shared),
            discriminator: Adam::new(gan),
            generator: Adam::new(gan),
        }
    }

    /// What stands before the paths of each optimiser's state; Match's have none.
    const PREFIXES: [&str; 4] = ["", "caption/", "discriminator/", "generator/"];

    fn all(&self) -> [&Adam; 4] {
        [&self.matching, &self.caption, &self.discriminator, &self.generator]
    }

    /// The memory of all, each path behind its optimiser's prefix.
    pub fn state(&self) -> Vec<AdamState> {
        let prefixed = |(prefix, adam): (&str, &Adam)| {
            let own = adam.state().into_iter();
            own.map(move |state| AdamState { path: format!("{prefix}{}", state.path), ..state }).collect::<Vec<_>>()
        };
        Self::PREFIXES.into_iter().zip(self.all()).flat_map(prefixed).collect()
    }

    /// Replaces the memory by what [`Optimisers::state`] gave.
    ///
    /// # Errors
    /// As [`Adam::restore`].
    pub fn restore(&mut self, states: Vec<AdamState>, model: &Gxn) -> Result<()> {
        let mut parts: [Vec<AdamState>; 4] = Default::default();
        for state in states {
            let of = (1..4).find(|&at| state.path.starts_with(Self::PREFIXES[at])).unwrap_or(0);
            let path = state.path[Self::PREFIXES[of].len()..].to_string();
            parts[of].push(AdamState { path, ..state });
        }
        let [matching, caption, discriminator, generator] = parts;
        self.matching.restore(matching, model)?;
        self.caption.restore(caption, model)?;
        self.discriminator.restore(discriminator, model)?;
        self.generator.restore(generator, model)
    }
}
