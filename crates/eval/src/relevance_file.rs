//! Pairs of images and captions that belong together, in the forms in which they are published.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use gxn_base::text::read_text;
use gxn_base::{Error, Result};

/// Ids with their places in the data.
pub(crate) type Ids<'a> = HashMap<&'a str, usize>;

/// Crisscrossed Captions' ratings go from 0 to 5; from this on an image and a caption belong together (Parekh et al. 2021).
const LEAST_RATING: f64 = 3.0;

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    /// Image and caption, places in the data.
    pub known: Vec<(usize, usize)>,
    /// Where the others stand: an id is not in the data.
    pub unknown: Vec<String>,
}

/// Reads lines of an image's id, a tab and a caption's id; JSON `{image: [captions]}` or `{caption: [images]}`, as ECCV Caption has
/// it; or the CSV of Crisscrossed Captions' ratings of images and captions (`sits_*.csv`).
///
/// # Errors
/// When the file cannot be read, or is of another form.
pub(crate) fn read(path: &Path, images: &Ids, captions: &Ids) -> Result<Pairs> {
    let name = path.display().to_string();
    let text = read_text(path)?;
    let first = text.lines().next().unwrap_or_default();
    if text.trim_start().starts_with('{') {
        return of_json(&text, &name, images, captions);
    }
    match first.split(',').map(str::trim).collect::<Vec<_>>()[..] {
        ["caption", "image", _, ..] => of_ratings(&text, &name, images, captions),
        ["caption1", "caption2", ..] | ["image1", "image2", ..] => {
            Err(Error::unsupported(name, "ratings of two captions or two images", "ratings of images and captions")
                .with_hint("of Crisscrossed Captions, the files sits_val.csv and sits_test.csv have them"))
        }
        _ => of_lines(&text, &name, images, captions),
    }
}

impl Pairs {
    fn add(&mut self, place: impl FnOnce() -> String, image: Option<&usize>, caption: Option<&usize>) {
        match (image, caption) {
            (Some(&image), Some(&caption)) => self.known.push((image, caption)),
            _ => self.unknown.push(place()),
        }
    }
}

fn of_lines(text: &str, name: &str, images: &Ids, captions: &Ids) -> Result<Pairs> {
    let mut pairs = Pairs::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((image, caption)) = line.split_once('\t') else {
            let what = format!("{name}, line {}", at + 1);
            return Err(Error::invalid(what, "no tab", "an image's id, a tab and a caption's id"));
        };
        pairs.add(|| format!("line {}", at + 1), images.get(image.trim()), captions.get(caption.trim()));
    }
    Ok(pairs)
}

/// An id as text: published files have numbers and strings.
pub(crate) fn plain_id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Keys are images or captions: whichever makes more pairs of the data. Ids may be the same numbers.
fn of_json(text: &str, name: &str, images: &Ids, captions: &Ids) -> Result<Pairs> {
    let lists: BTreeMap<String, Vec<Value>> = serde_json::from_str(text)
        .map_err(|error| Error::invalid(name, error.to_string(), "{\"id\": [ids]} of images and their captions"))?;
    let (mut by_image, mut by_caption) = (Pairs::default(), Pairs::default());
    for (key, list) in &lists {
        for value in list {
            let value = plain_id(value);
            let place = || format!("{key} and {value}");
            by_image.add(place, images.get(key.as_str()), captions.get(value.as_str()));
            by_caption.add(place, images.get(value.as_str()), captions.get(key.as_str()));
        }
    }
    Ok(if by_caption.known.len() > by_image.known.len() { by_caption } else { by_image })
}

/// Rows `COCO_val2014:sentid:732091,COCO_val2014_000000365325.jpg,2.2,c2i_intrasim`.
fn of_ratings(text: &str, name: &str, images: &Ids, captions: &Ids) -> Result<Pairs> {
    let mut pairs = Pairs::default();
    for (at, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let rating = cells.get(2).and_then(|cell| cell.parse::<f64>().ok()).filter(|rating| rating.is_finite());
        let (Some(rating), [caption, image, ..]) = (rating, &cells[..]) else {
            let what = format!("{name}, line {}", at + 1);
            return Err(Error::invalid(what, format!("{line:?}"), "a caption, an image and a rating"));
        };
        if rating < LEAST_RATING {
            continue;
        }
        let number = || {
            let stem = image.split('.').next()?.rsplit('_').next()?.trim_start_matches('0');
            images.get(stem)
        };
        let caption = captions.get(caption).or_else(|| captions.get(caption.rsplit(':').next()?));
        pairs.add(|| format!("line {}", at + 1), images.get(image).or_else(number), caption);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Pairs> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relevance");
        std::fs::write(&path, text).unwrap();
        // An image and a caption have one number.
        let images = Ids::from([("365325", 0), ("42", 1)]);
        let captions = Ids::from([("732091", 0), ("42", 1), ("9", 2)]);
        read(&path, &images, &captions)
    }

    #[test]
    fn lists_by_image_and_by_caption() {
        let by_image = read_text(r#"{"365325": [732091, 9], "42": [42, 5]}"#).unwrap();
        assert_eq!(by_image, Pairs { known: vec![(0, 0), (0, 2), (1, 1)], unknown: vec!["42 and 5".into()] });
        let by_caption = read_text(r#"{"732091": ["365325", "42"], "9": [42, 7]}"#).unwrap();
        assert_eq!(by_caption, Pairs { known: vec![(0, 0), (1, 0), (1, 2)], unknown: vec!["9 and 7".into()] });
        assert!(read_text(r#"{"1": 2}"#).unwrap_err().to_string().contains("expected {\"id\": [ids]}"));
    }

    #[test]
    fn ratings_from_three_on_are_right() {
        let text = "caption,image,agg_score,sampling_method\n\
            COCO_val2014:sentid:732091,COCO_val2014_000000365325.jpg,3.0,c2i_original\n\
            COCO_val2014:sentid:732091,COCO_val2014_000000000042.jpg,2.99,c2i_intrasim\n\
            COCO_val2014:sentid:9,COCO_val2014_000000000042.jpg,4.4,c2i_intrasim\n\
            COCO_val2014:sentid:8,COCO_val2014_000000000042.jpg,5,c2i_intrasim\n";
        let found = read_text(text).unwrap();
        assert_eq!(found, Pairs { known: vec![(0, 0), (1, 2)], unknown: vec!["line 5".into()] });
        assert!(
            read_text("caption,image,agg_score\na,b,c\n").unwrap_err().to_string().contains("line 2: found \"a,b,c\"")
        );
        let error = read_text("caption1,caption2,agg_score,sampling_method\n").unwrap_err();
        assert!(error.hint().unwrap().contains("sits_test.csv"), "{error}");
    }

    #[test]
    fn lines_with_tabs() {
        let found = read_text("42\t9\n\n42\tx\n").unwrap();
        assert_eq!(found, Pairs { known: vec![(1, 2)], unknown: vec!["line 3".into()] });
        assert!(read_text("42 9\n").unwrap_err().to_string().contains("line 1: found no tab"));
    }
}
