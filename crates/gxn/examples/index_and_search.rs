//! Indexes a dataset, searches it with words and with an image, and follows a change of the folder.
//!
//! `cargo run --release -p gxn --example index_and_search`

mod shapes;

use std::sync::Arc;

use gxn::prelude::*;
use image::{Rgb, RgbImage};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = shapes::draw(folder.path())?;
    let encoder = Arc::new(shapes::train(&data, &folder.path().join("run"), &["train.epochs=12"])?);

    // A folder of images works the same way; it then has no captions.
    let dir = folder.path().join("index");
    let report = refresh(&encoder, &data, &dir, &IndexOptions::default(), &())?;
    println!("indexed {} images and {} captions", report.images, report.captions);

    // Any number of retrievers share one model; threads share a retriever.
    let mut retriever = Retriever::with_encoder(&dir, encoder.clone())?;
    let images = SearchOptions::new(Modality::Image, 3);
    for query in [Query::from("a blue cross at the top left"), Query::parse(&["white", "-", "2:circle"])?] {
        println!("{}", query.texts().collect::<Vec<_>>().join(" without "));
        show(&retriever.search(&query, &images)?);
    }

    let green = RgbImage::from_pixel(32, 32, Rgb([30, 190, 40]));
    println!("captions for a green image");
    show(&retriever.search(&Content::Pixels(green).into(), &SearchOptions::new(Modality::Text, 3))?);

    let filter = Filter::parse("name=*_square_*")?;
    println!("red, among squares");
    show(&retriever.search(&"red".into(), &SearchOptions { filter: Some(&filter), ..images })?);

    // An image leaves the dataset; the index follows, and then the retriever.
    let lines = std::fs::read_to_string(&data)?;
    std::fs::write(&data, lines.split_inclusive('\n').skip(1).collect::<String>())?;
    let report = refresh(&encoder, &data, &dir, &IndexOptions::default(), &())?;
    println!("removed {:?}; the retriever saw a change: {}", report.removed, retriever.refresh()?);
    Ok(())
}

fn show(found: &Found) {
    for hit in &found.hits {
        let name = hit.path.rsplit('/').next().unwrap_or_default();
        println!("  {:.3}  {name}  {}", hit.score, hit.caption.as_deref().unwrap_or_default());
    }
}
