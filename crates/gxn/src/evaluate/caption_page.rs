//! [`caption_page`]: the captions that a model generates for the first images of a split, as self-contained HTML;
//! [`captioned_figure`] is one of another page.

use std::fmt::Write;

use base64::Engine;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;

use super::EncodedDataset;
use crate::encoder::Encoder;
use gxn_base::{Error, Result};
use gxn_data::{Dataset, ImageLimits, load_image};
use gxn_eval::html::{escape, page};

const PAGE: &str = include_str!("caption_page.html");
/// Longer side of an image on the page, in pixels.
const SIDE_PX: u32 = 224;
const JPEG_QUALITY: u8 = 80;

/// The first `count` images in the data's order, each with the caption that the model generates and those that people
/// wrote. `model` names the model on the page.
///
/// # Errors
/// When an image can no longer be read.
pub fn caption_page(
    encoded: &EncodedDataset,
    dataset: &Dataset,
    title: &str,
    model: &str,
    count: usize,
) -> Result<String> {
    let mut figures = String::new();
    for (id, generated) in encoded.image_ids.iter().zip(&encoded.generated).take(count) {
        let Some(at) = dataset.images.iter().position(|image| image.id == *id) else { continue };
        let pixels = load_image(&dataset.images[at].source, &ImageLimits::default())?;
        let given: String = (dataset.captions_of(at))
            .map(|caption| format!("<li>{}</li>", escape(&dataset.captions[caption].text)))
            .collect();
        let (source, name, caption) = (thumbnail(&pixels, id)?, escape(id), escape(&generated.caption));
        writeln!(
            figures,
            "<figure><img src=\"{source}\" alt=\"{name}\"><figcaption><p class=\"generated\">{caption}</p>\
             <ul class=\"given\">{given}</ul><p class=\"id\">{name}, ln p {:.2}</p></figcaption></figure>",
            generated.log_probability
        )
        .expect("writing to a string cannot fail");
    }
    let count = count.min(encoded.generated.len()).to_string();
    let (title, model) = (escape(title), escape(model));
    Ok(page(PAGE, &[("title", &title), ("model", &model), ("count", &count), ("figures", &figures)]))
}

/// An image of a dataset as a figure, with the likeliest caption that beam search finds and the first of its own below it.
///
/// # Errors
/// When the image cannot be read, or the model has no caption decoder.
pub fn captioned_figure(encoder: &Encoder, dataset: &Dataset, at: usize, beam: usize) -> Result<String> {
    let image = &dataset.images[at];
    let pixels = load_image(&image.source, &ImageLimits::default())?;
    let generated = encoder.caption(&pixels, beam)?.into_iter().next().map_or(String::new(), |best| best.caption);
    let own = dataset.captions_of(at).next().map_or("", |caption| dataset.captions[caption].text.as_str());
    let text = format!("<p class=\"generated\">{}</p>{}", escape(&generated), escape(own));
    Ok(figure(&thumbnail(&pixels, &image.id)?, &image.id, &text))
}

/// An image with a caption, which must be HTML already.
pub fn figure(source: &str, alt: &str, caption: &str) -> String {
    let alt = escape(alt);
    format!("<figure><img src=\"{source}\" alt=\"{alt}\"><figcaption>{caption}</figcaption></figure>\n")
}

/// A JPEG as a data URL, its longer side 224 pixels. `name` names the image in an error.
///
/// # Errors
/// When it cannot be written as JPEG.
pub fn thumbnail(pixels: &RgbImage, name: &str) -> Result<String> {
    let (width, height) = pixels.dimensions();
    let scale = f64::from(SIDE_PX) / f64::from(width.max(height));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let small = image::imageops::resize(pixels, side(width), side(height), FilterType::Triangle);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode_image(&small)
        .map_err(|e| Error::invalid(name, e.to_string(), "an image that can be written as JPEG"))?;
    Ok(format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_is_a_jpeg_of_the_right_size() {
        let url = thumbnail(&RgbImage::new(448, 100), "x").unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(url.split_once(',').unwrap().1).unwrap();
        let read = image::load_from_memory(&bytes).unwrap();
        assert_eq!((read.width(), read.height()), (224, 50));
    }
}
