//! Whether an edited caption finds what was meant: image A as query, a caption of image B as the edit, B among all val images.
//!
//! `cargo run --release --example edit_search -- RUN DATASET` with a run that generates captions. `--json` prints everything.

mod simulation;

use std::path::Path;

use gxn::encoder::Encoder;
use gxn::evaluate::{EncodeOptions, encode_dataset};
use gxn_base::{Error, Progress, Result};
use gxn_data::{Dataset, SourceOptions, Split};

use simulation::{EditSimulation, EditedText, OtherImage, SimulatedMethod, simulate_edits};

const BEAM: usize = 3;
const SEED: u64 = 1;

/// Counts on stderr.
struct Count;

impl Progress for Count {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        eprint!("\r{done} of {total} {unit}");
    }
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let as_json = arguments.iter().any(|argument| argument == "--json");
    arguments.retain(|argument| argument != "--json");
    let [run, dataset] = arguments.as_slice() else {
        return Err(Error::invalid("the arguments", format!("{} of them", arguments.len()), "RUN DATASET"));
    };
    let encoder = Encoder::load(Path::new(run))?.with_feature_cache()?;
    let dataset = Dataset::open(Path::new(dataset), &SourceOptions::default())?;
    let options = EncodeOptions { split: Some(Split::Val), beam: Some(BEAM) };
    let encoded = encode_dataset(&encoder, &dataset, options, &Count)?;
    eprintln!();
    let others = [OtherImage::Nearest, OtherImage::Near, OtherImage::Any];
    for edit in
        others.into_iter().flat_map(|other| [EditedText::Written, EditedText::Generated].map(|text| (other, text)))
    {
        let found = simulate_edits(&encoder, &encoded, &dataset, edit, SEED)?;
        match as_json {
            true => println!("{:#}", serde_json::to_value(&found).expect("plain data always serialises")),
            false => print(&found),
        }
    }
    Ok(())
}

fn print(simulation: &EditSimulation) {
    let EditSimulation { other, text, images, methods } = simulation;
    println!("other image: {other:?}; edited text: {text:?}; {images} images, of which every second one counts");
    println!("query         w      R@1   R@5  R@10  mean rank   edit less this one (95 %)    sum less this one (95 %)");
    for method in methods {
        let SimulatedMethod { search, weight, recall: [r1, r5, r10], mean_rank, by_weight, .. } = method;
        let [edit, sum] = [method.edit_is_better_by, method.sum_is_better_by]
            .map(|[better, low, high]| format!("{better:+.1} ({low:+.1} to {high:+.1})"));
        let name = format!("{search:?}");
        println!("{name:10} {weight:5.3}   {r1:5.1} {r5:5.1} {r10:5.1}   {mean_rank:8.1}   {edit:25} {sum}");
        let tried: Vec<String> = by_weight.iter().map(|(weight, figure)| format!("{weight}: {figure:.1}")).collect();
        if tried.len() > 1 {
            println!("           mean recall by w: {}", tried.join(", "));
        }
    }
    println!();
}
