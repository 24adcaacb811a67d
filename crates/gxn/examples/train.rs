//! Trains a model on a dataset that it draws first, and measures how well captions and images of val find each other.
//!
//! `cargo run --release -p gxn --example train`

mod shapes;

use std::sync::atomic::AtomicBool;

use gxn::prelude::*;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = shapes::draw(folder.path())?;
    let dataset = Dataset::open(&data, &SourceOptions::default())?;
    println!("{}: {} images, {} captions", dataset.format, dataset.images.len(), dataset.captions.len());

    let config = shapes::configuration(&data, &["train.epochs=12"])?;
    let (run, features) = (folder.path().join("run"), folder.path().join("features"));
    let stop = AtomicBool::new(false); // set it from a signal handler to save and stop
    let mut show = |event| {
        if let Event::Epoch { epoch, loss: Some(loss), validation, .. } = event {
            println!("epoch {epoch:2}: loss {loss:.3}, val rsum {:.1} of 600", validation.rsum);
        }
    };
    let outcome = Trainer::new(config, &run, &features, &stop, &mut show)?.run(&stop, &mut show)?;
    println!("best epoch {} after {} steps", outcome.best_epoch, outcome.step);

    let encoder = Encoder::load(&run)?;
    println!("an embedding has {} values", encoder.encode_text("a red circle").joined(0).len());
    Ok(())
}
