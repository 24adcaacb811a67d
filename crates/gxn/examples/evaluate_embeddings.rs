//! Measures embeddings of any model, here made up: recall, ranks and confidence intervals, as in papers.
//!
//! `cargo run --release -p gxn --example evaluate_embeddings`

use gxn::eval::metrics::Bootstrap;
use gxn::prelude::*;
use rand::{RngExt, SeedableRng};

const IMAGES: usize = 200;
const CAPTIONS: usize = 5;
const DIM: usize = 64;

fn main() -> Result<()> {
    // A caption's embedding is that of its image with noise.
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut normal = |scale: f32| scale * (0..4).map(|_| random.random_range(-1.0..1.0f32)).sum::<f32>();
    let images: Vec<f32> = (0..IMAGES * DIM).map(|_| normal(1.0)).collect();
    let caption_image: Vec<usize> = (0..IMAGES * CAPTIONS).map(|caption| caption / CAPTIONS).collect();
    let rows = caption_image.iter().flat_map(|image| images[image * DIM..][..DIM].to_vec());
    let captions: Vec<f32> = rows.map(|value| value + normal(2.5)).collect();

    let level = LevelEmbeddings { images: &images, captions: &captions, dim: DIM };
    let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
    let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
    let evaluation = Protocol::Full.evaluate(IMAGES, &caption_image, &embeddings, scoring)?;

    let ids: Vec<String> = (0..IMAGES).map(|image| image.to_string()).collect();
    let about = About { dataset: "made up".into(), split: "test".into(), ..About::default() };
    let report = Report::new(&evaluation, &ids, about, Bootstrap::default())?;
    print!("{}", report.text());
    println!("rsum {:.1}", report.metrics.rsum());
    Ok(())
}
