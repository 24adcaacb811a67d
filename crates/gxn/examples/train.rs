//! Trains a model on a dataset that it draws first, and measures how well captions and images of val find each other.
//!
//! `cargo run --release -p gxn --example train`

mod shapes;

use gxn::prelude::*;

/// Prints each epoch. `Progress::cancelled` could save and stop the run.
struct Epochs;

impl Progress for Epochs {}

impl TrainObserver for Epochs {
    fn event(&self, event: &Event) {
        if let Event::Epoch(report) = event
            && let Some(loss) = report.loss
        {
            println!("epoch {:2}: loss {loss:.3}, val rsum {:.1} of 600", report.epoch, report.validation.rsum);
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = shapes::draw(folder.path())?;
    let dataset = Dataset::open(&data, &SourceOptions::default())?;
    println!("{}: {} images, {} captions", dataset.format, dataset.images.len(), dataset.captions.len());

    let config = shapes::configuration(&data, &["train.epochs=12"])?;
    let (run, features) = (folder.path().join("run"), folder.path().join("features"));
    let outcome = gxn::train::run(config, &run, &features, &Epochs)?;
    println!("best epoch {} after {} steps", outcome.best_epoch, outcome.step);

    let encoder = Encoder::load(&run)?;
    println!("an embedding has {} values", encoder.encode_text("a red circle")?.joined(0).len());
    Ok(())
}
