//! [`agreement`]: how well a model's scores agree with judgements of people.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::encode::{DatasetFeatures, paired};
use crate::checkpoint::short;
use crate::encoder::Encoder;
use gxn_base::{Progress, Result};
use gxn_data::{Dataset, Split};
use gxn_eval::{About, Agreement, JudgedPair, JudgementKind, Judgements, Scoring, pair_scores};

/// Scores every judged pair whose image is in the data and not in their split train, which the model learned from, and compares.
/// A caption's id may be that of the data, or `IMAGE#K` for the caption `K` of an image, from 0. Ratings of an image's own
/// captions are left out, as in the literature (Anderson et al. 2016, Hessel et al. 2021); shares are not.
///
/// # Errors
/// When no pair is left, or a caption is cut where reading is strict, or `progress` is cancelled.
pub fn agreement(
    encoder: &Encoder,
    model: &Path,
    dataset: &Dataset,
    judgements: &Judgements,
    scoring: Scoring,
    progress: &dyn Progress,
) -> Result<Agreement> {
    let mut left_out = BTreeMap::new();
    let mut leave_out = |reason: &str| *left_out.entry(reason.to_owned()).or_insert(0) += 1;
    let places = Places::new(dataset);
    let (mut judged, mut pairs) = (Vec::new(), Vec::new());
    for (at, pair) in judgements.pairs.iter().enumerate() {
        match places.find(pair, judgements.kind) {
            Ok(pair) => {
                judged.push(at);
                pairs.push(pair);
            }
            Err(reason) => leave_out(reason),
        }
    }
    let mut scored = Vec::new();
    for (at, score) in judged.into_iter().zip(scores(encoder, dataset, &pairs, scoring, progress)?) {
        match score {
            Some(score) => scored.push((at, score)),
            None => leave_out("the image cannot be read"),
        }
    }
    let about = About {
        dataset: dataset.name.clone(),
        split: String::new(),
        model: format!("{} {}", model.display(), short(encoder.fingerprint())),
        data_sha: Some(dataset.hash()),
    };
    Agreement::new(about, judgements, &scored, left_out, scoring)
}

/// The scores of pairs of an image and a caption of the data; none where the image cannot be read.
fn scores(
    encoder: &Encoder,
    dataset: &Dataset,
    pairs: &[(usize, usize)],
    scoring: Scoring,
    progress: &dyn Progress,
) -> Result<Vec<Option<f32>>> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let (images, captions) = (distinct(pairs.iter().map(|pair| pair.0)), distinct(pairs.iter().map(|pair| pair.1)));
    let texts: Vec<&str> = captions.iter().map(|&at| dataset.captions[at].text.as_str()).collect();
    encoder.note_cut_texts(texts.iter().copied(), dataset.account.strict, progress)?;
    let part = dataset.subset(&images);
    let encoded = DatasetFeatures::extract(encoder, &part, None, progress)?.encode(encoder, &part, None)?;
    let rows: HashMap<&str, usize> = encoded.image_ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let row_of = |&(image, caption): &(usize, usize)| {
        let image = *rows.get(dataset.images[image].id.as_str())?;
        Some((image, captions.binary_search(&caption).ok()?))
    };
    let found: Vec<Option<(usize, usize)>> = pairs.iter().map(row_of).collect();
    let readable: Vec<(usize, usize)> = found.iter().copied().flatten().collect();
    let texts = encoder.encode_texts(&texts)?;
    let mut scores = pair_scores(&paired(&encoded.images, &texts), scoring, &readable)?.into_iter();
    Ok(found.into_iter().map(|pair| pair.and_then(|_| scores.next())).collect())
}

/// Images and captions by their ids.
struct Places<'a> {
    dataset: &'a Dataset,
    images: HashMap<&'a str, usize>,
    captions: HashMap<&'a str, usize>,
}

impl<'a> Places<'a> {
    fn new(dataset: &'a Dataset) -> Self {
        let images = dataset.images.iter().enumerate().map(|(at, image)| (image.id.as_str(), at)).collect();
        let captions = dataset.captions.iter().enumerate().map(|(at, caption)| (caption.id.as_str(), at)).collect();
        Self { dataset, images, captions }
    }

    /// Image and caption of a judged pair, or why it does not count.
    fn find(&self, pair: &JudgedPair, kind: JudgementKind) -> std::result::Result<(usize, usize), &'static str> {
        let image = *self.images.get(pair.image.as_str()).ok_or("the image is not in the data")?;
        let caption = self.caption(&pair.caption).ok_or("the caption is not in the data")?;
        if self.dataset.images[image].split == Split::Train {
            return Err("the image is in the split train");
        }
        let mut own = self.dataset.captions[self.dataset.captions_of(image)].iter();
        if kind == JudgementKind::Ratings && own.any(|own| own.text == self.dataset.captions[caption].text) {
            return Err("the caption is the image's own");
        }
        Ok((image, caption))
    }

    fn caption(&self, id: &str) -> Option<usize> {
        self.captions.get(id).copied().or_else(|| {
            let (image, number) = id.rsplit_once('#')?;
            self.dataset.captions_of(*self.images.get(image)?).nth(number.parse().ok()?)
        })
    }
}

/// Sorted, each once.
fn distinct(places: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut places: Vec<usize> = places.collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_data::{Caption, Image, ImageSource};

    #[test]
    fn pairs_are_found_or_have_a_reason() {
        let image = |id: &str, split| Image {
            id: id.into(),
            source: ImageSource::File(id.into()),
            split,
            content: None,
            meta: Default::default(),
        };
        let caption = |id: &str, image, text: &str| Caption { id: id.into(), image, text: text.into() };
        let dataset = Dataset {
            images: vec![image("a.jpg", Split::Test), image("b.jpg", Split::Val), image("c.jpg", Split::Train)],
            captions: vec![
                caption("0", 0, "one"),
                caption("1", 0, "two"),
                caption("2", 1, "three"),
                caption("3", 1, "two"),
                caption("4", 2, "four"),
            ],
            ..Dataset::default()
        };
        let places = Places::new(&dataset);
        let find = |image: &str, caption: &str, kind| {
            places.find(&JudgedPair { image: image.into(), caption: caption.into(), values: vec![1.0] }, kind)
        };
        let ratings = |image: &str, caption: &str| find(image, caption, JudgementKind::Ratings);
        assert_eq!(ratings("a.jpg", "b.jpg#0"), Ok((0, 2)));
        assert_eq!(ratings("b.jpg", "4"), Ok((1, 4)));
        assert_eq!(ratings("x.jpg", "4"), Err("the image is not in the data"));
        assert_eq!(ratings("a.jpg", "b.jpg#2"), Err("the caption is not in the data"));
        assert_eq!(ratings("a.jpg", "b.jpg"), Err("the caption is not in the data"));
        assert_eq!(ratings("c.jpg", "b.jpg#0"), Err("the image is in the split train"));
        assert_eq!(ratings("a.jpg", "a.jpg#0"), Err("the caption is the image's own"));
        assert_eq!(ratings("a.jpg", "b.jpg#1"), Err("the caption is the image's own"), "by its text");
        assert_eq!(find("a.jpg", "a.jpg#0", JudgementKind::Share), Ok((0, 0)));
    }
}
