//! Whether explanations mark what the score rests on: the deletion test on the first caption of the first val images.
//!
//! `cargo run --release --example deletion_test -- MODEL DATASET 100`

use std::path::Path;

use gxn::encoder::Encoder;
use gxn::explain::{Grid, deletion_test};
use gxn_base::{Error, Progress, Result};
use gxn_data::{Dataset, ImageLimits, SourceOptions, Split, load_image};

/// Counts on stderr.
struct Count;

impl Progress for Count {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        eprint!("\r{done} of {total} {unit}");
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, dataset, count] = arguments.as_slice() else {
        return Err(Error::invalid("the arguments", format!("{} of them", arguments.len()), "MODEL DATASET PAIRS"));
    };
    let count = count.parse().map_err(|_| Error::invalid("the number of pairs", count.clone(), "a whole number"))?;
    let encoder = Encoder::load(Path::new(model))?;
    let dataset = Dataset::open(Path::new(dataset), &SourceOptions::default())?;
    let pair = |at: usize| dataset.captions_of(at).next().map(|caption| (dataset.captions[caption].text.as_str(), at));
    let pairs: Vec<(&str, usize)> =
        dataset.split_indices(Split::Val).into_iter().filter_map(pair).take(count).collect();
    let image = |at: usize| load_image(&dataset.images[at].source, &ImageLimits::default());
    let outcomes = deletion_test(&encoder, &pairs, image, Grid::default(), 1, &Count)?;
    eprintln!();
    for (name, found) in ["words", "cells"].into_iter().zip(outcomes) {
        println!(
            "{name}: {} pairs, score {:.4}; area {:.4} strongest first, {:.4} in random order",
            found.pairs, found.whole, found.strongest_first, found.random
        );
    }
    Ok(())
}
