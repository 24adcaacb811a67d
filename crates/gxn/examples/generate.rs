//! Trains the two generators of the paper on a dataset that it draws: captions for images, images for captions.
//!
//! `cargo run --release -p gxn --example generate`

mod shapes;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = shapes::draw(folder.path())?;
    let at = |name: &str| folder.path().join(name);
    shapes::train(&data, &at("base"), &["train.epochs=8"])?;
    let start = format!("train.init_from={}", at("base").display());

    // Stage i2t_xe: the caption decoder learns from the grounded embedding of an image.
    let words =
        ["train.stage=i2t_xe", &start, "train.epochs=8", "imagine.caption.hidden=32", "imagine.caption.min_count=1"];
    let captioner = shapes::train(&data, &at("captions"), &words)?;
    for name in ["red_circle_0", "blue_square_3", "yellow_cross_1"] {
        let best = &captioner.caption(at(&format!("{name}.png")).as_path(), 3)?[0];
        println!("{name}: {} (ln p {:.1})", best.caption, best.log_probability);
    }

    // Stage t2i_pretrain: the image generator learns from the grounded embedding of a caption. A few steps give colours,
    // not shapes.
    let images = ["train.stage=t2i_pretrain", &start, "train.epochs=2", "imagine.image.generator_width=8"];
    let generator = shapes::train(&data, &at("images"), &images)?;
    let texts = ["a red circle at the top left", "a white square at the bottom right"];
    for (text, image) in texts.iter().zip(generator.generate_images(&texts, &[1, 1])?) {
        let pixels = image.to_rgb();
        let mean = [0, 1, 2].map(|c| pixels.pixels().map(|p| u64::from(p[c])).sum::<u64>() / (64 * 64));
        println!("{text}: 64×64 pixels with the mean colour {mean:?}");
    }
    Ok(())
}
