//! A page that shows what a model says about the first pictures of a split: self-contained HTML, nothing chosen.

use std::fmt::Write;

use base64::Engine;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;

use super::encode::EncodedDataset;
use gxn_base::{Error, Result};
use gxn_data::{Dataset, ImageLimits, load_image};

/// Longer side of a picture on the page, in pixels.
const SIDE_PX: u32 = 224;
const JPEG_QUALITY: u8 = 80;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}\
    figure{display:flex;gap:1.5rem;margin:0 0 1.5rem;align-items:flex-start}img{border-radius:4px;flex:none}\
    .imagined{font-size:1.2rem;margin:0 0 .5rem}.given{color:#666;margin:0;padding-left:1.2rem}.id{color:#999;font-size:.8rem}";

/// The first `count` images in the data's order: the picture, the caption that the model `model` imagines, and the captions that
/// people gave.
///
/// # Errors
/// When a picture can no longer be read.
pub fn caption_page(
    encoded: &EncodedDataset,
    dataset: &Dataset,
    title: &str,
    model: &str,
    count: usize,
) -> Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style>\n<h1>{0}</h1>\n\
         <p>Captions imagined by {1} for the first {2} images, none chosen; below each, what people wrote.</p>\n",
        escaped(title),
        escaped(model),
        count.min(encoded.imagined.len()),
    );
    let shown = encoded.image_ids.iter().zip(&encoded.imagined).take(count);
    for (id, imagined) in shown {
        let Some(at) = dataset.images.iter().position(|image| image.id == *id) else { continue };
        let picture = load_image(&dataset.images[at].source, &ImageLimits::default())?;
        let given: String = (dataset.captions_of(at))
            .map(|caption| format!("<li>{}</li>", escaped(&dataset.captions[caption].text)))
            .collect();
        let (source, name, caption) = (thumbnail(&picture, id)?, escaped(id), escaped(&imagined.caption));
        writeln!(
            page,
            "<figure><img src=\"{source}\" alt=\"{name}\"><figcaption><p class=\"imagined\">imagined: {caption}</p>\
             <ul class=\"given\">{given}</ul><p class=\"id\">{name}, ln p {:.2}</p></figcaption></figure>",
            imagined.log_probability
        )
        .expect("writing to a string cannot fail");
    }
    page += "</html>\n";
    Ok(page)
}

/// A small JPEG as a data URL.
fn thumbnail(picture: &image::RgbImage, name: &str) -> Result<String> {
    let (width, height) = picture.dimensions();
    let scale = f64::from(SIDE_PX) / f64::from(width.max(height));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let small = image::imageops::resize(picture, side(width), side(height), FilterType::Triangle);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode_image(&small)
        .map_err(|e| Error::invalid(name, e.to_string(), "a picture that can be written as JPEG"))?;
    Ok(format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}

/// Text that means itself in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<b>\"a\" & b"), "&lt;b&gt;&quot;a&quot; &amp; b");
    }

    #[test]
    fn a_thumbnail_is_a_jpeg_of_the_right_size() {
        let url = thumbnail(&image::RgbImage::new(448, 100), "x").unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(url.split_once(',').unwrap().1).unwrap();
        let read = image::load_from_memory(&bytes).unwrap();
        assert_eq!((read.width(), read.height()), (224, 50));
    }
}
