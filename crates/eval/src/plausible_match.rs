//! PMRP, plausible-match R-Precision (Chun et al. 2021): right is what shows nearly the same kinds of objects.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::embeddings::{Embeddings, Scoring};
use crate::precision::{PrecisionAtR, of_query};
use crate::relevance_file::plain_id;
use crate::scorer::Scorer;
use gxn_base::text::{parse_json, read_text};
use gxn_base::words::{counted, first_few};
use gxn_base::{Error, Result};

/// In how many kinds of objects two images may differ: each counts once, and the mean is reported.
const DISTANCES: [u32; 3] = [0, 1, 2];

/// The kinds of objects in images, by the images' ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLabels {
    name: String,
    /// One bit for each kind.
    kinds: HashMap<String, Vec<u64>>,
}

/// R-Precision where right is every caption, and image, whose image differs in at most 0, 1 and 2 kinds of objects: the mean of
/// the three, in percent. An irrelevant item with an equal score stands before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlausibleMatch {
    /// Queries are images.
    #[serde(rename = "i2t")]
    pub image_to_text: f64,
    /// Queries are captions.
    #[serde(rename = "t2i")]
    pub text_to_image: f64,
}

#[derive(Deserialize)]
struct Instances {
    images: Vec<Listed>,
    annotations: Vec<Instance>,
}

#[derive(Deserialize)]
struct Listed {
    id: Value,
}

#[derive(Deserialize)]
struct Instance {
    image_id: Value,
    category_id: Value,
}

impl ObjectLabels {
    /// Reads COCO's instances: `{"images":[{"id"}],"annotations":[{"image_id","category_id"}]}`. An image without objects has no
    /// kind.
    ///
    /// # Errors
    /// When the file cannot be read or is of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let instances: Instances = parse_json(&read_text(path)?, path, "COCO's layout of images and their objects")?;
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for instance in &instances.annotations {
            let next = places.len();
            places.entry(plain_id(&instance.category_id)).or_insert(next);
        }
        let words = places.len().div_ceil(64);
        let listed = instances.images.iter().map(|image| &image.id);
        let all = listed.chain(instances.annotations.iter().map(|instance| &instance.image_id));
        let mut kinds: HashMap<String, Vec<u64>> = all.map(|id| (plain_id(id), vec![0; words])).collect();
        for instance in &instances.annotations {
            let place = places[&plain_id(&instance.category_id)];
            if let Some(bits) = kinds.get_mut(&plain_id(&instance.image_id)) {
                bits[place / 64] |= 1 << (place % 64);
            }
        }
        Ok(Self { name: path.display().to_string(), kinds })
    }

    fn of(&self, image_ids: &[String]) -> Result<Vec<&[u64]>> {
        let unknown: Vec<&String> = image_ids.iter().filter(|id| !self.kinds.contains_key(*id)).collect();
        if !unknown.is_empty() {
            let found = format!("nothing on {} ({})", counted(unknown.len(), "image"), first_few(&unknown));
            return Err(Error::conflict(&self.name, found, "the objects of every image that is evaluated"));
        }
        Ok(image_ids.iter().filter_map(|id| self.kinds.get(id)).map(Vec::as_slice).collect())
    }
}

impl PlausibleMatch {
    /// Over all images and captions as one gallery; `caption_image` has each caption's image.
    ///
    /// # Errors
    /// As [`ranks`](crate::ranks()), and when an image has no labels.
    pub fn of(
        embeddings: &Embeddings,
        scoring: Scoring,
        image_ids: &[String],
        caption_image: &[usize],
        labels: &ObjectLabels,
    ) -> Result<Self> {
        let kinds = labels.of(image_ids)?;
        let scorer = Scorer::new(embeddings, scoring)?;
        if (scorer.images, scorer.captions) != (image_ids.len(), caption_image.len()) {
            let found = format!("{} images and {} captions", image_ids.len(), caption_image.len());
            let expected = format!("{} and {}", scorer.images, scorer.captions);
            return Err(Error::invalid("ids for the embeddings", found, expected));
        }
        let precision = |scores: &[f32], of: usize, image_at: &dyn Fn(usize) -> usize| {
            let distances: Vec<u32> =
                (0..scores.len()).map(|item| distance(kinds[of], kinds[image_at(item)])).collect();
            let all = DISTANCES.map(|most| of_query(scores, |item| distances[item] <= most));
            PrecisionAtR::mean(&all)
        };
        let of_image = |image: usize| precision(&scorer.of_image(image), image, &|caption| caption_image[caption]);
        let of_caption =
            |caption: usize| precision(&scorer.of_caption(caption), caption_image[caption], &|image| image);
        let by_image: Vec<_> = (0..scorer.images).into_par_iter().map(of_image).collect();
        let by_caption: Vec<_> = (0..scorer.captions).into_par_iter().map(of_caption).collect();
        Ok(Self {
            image_to_text: PrecisionAtR::mean(&by_image).r_precision,
            text_to_image: PrecisionAtR::mean(&by_caption).r_precision,
        })
    }
}

/// In how many kinds they differ.
fn distance(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LevelEmbeddings, Similarity};

    /// Images 1 and 2 have a dog, 3 has a cat and a car. Each has one caption, on its own axis but that of 2, which lies on 3's.
    /// Image 1 finds its caption first, then a wrong and a right one at 0: at distance 0 R = 2 and one of two is found; at 1 the
    /// same; at 2 (dog against cat and car are 3 apart) the same: 1/2. Image 2 has only zeros but the wrong one last: 1/2, since
    /// the wrong caption stands before one of two. Image 3: R = 1, its caption ties with that of 2: 0. Mean 1/3.
    #[test]
    fn worked_precision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instances.json");
        let objects = r#"{"images":[{"id":1},{"id":2},{"id":3},{"id":4}],"annotations":[{"image_id":1,"category_id":18},
            {"image_id":1,"category_id":18},{"image_id":2,"category_id":18},{"image_id":3,"category_id":17},
            {"image_id":3,"category_id":3}]}"#;
        std::fs::write(&path, objects).unwrap();
        let labels = ObjectLabels::read(&path).unwrap();
        let images = [1.0, 0.0, 0.0, /**/ 0.0, 1.0, 0.0, /**/ 0.0, 0.0, 1.0];
        let captions = [1.0, 0.0, 0.0, /**/ 0.0, 0.0, 1.0, /**/ 0.0, 0.0, 1.0];
        let level = LevelEmbeddings { images: &images, captions: &captions, dim: 3 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
        let ids = |ids: [&str; 3]| ids.map(str::to_owned);
        let found = PlausibleMatch::of(&embeddings, scoring, &ids(["1", "2", "3"]), &[0, 1, 2], &labels).unwrap();
        assert!((found.image_to_text - 100.0 / 3.0).abs() < 1e-9, "{found:?}");
        // Captions 1 and 2: one wrong image before (a tie at 0 for the first, the best for the second): 1/2 each. Caption 3: 1.
        assert!((found.text_to_image - 200.0 / 3.0).abs() < 1e-9, "{found:?}");
        let error = PlausibleMatch::of(&embeddings, scoring, &ids(["1", "2", "9"]), &[0, 1, 2], &labels).unwrap_err();
        assert!(error.to_string().contains("found nothing on 1 image (9)"), "{error}");
        std::fs::write(&path, "{}").unwrap();
        assert!(ObjectLabels::read(&path).is_err());
    }

    #[test]
    fn kinds_beyond_the_first_word_count() {
        assert_eq!(distance(&[1, 1 << 5], &[0, 1 << 5]), 1);
        assert_eq!(distance(&[0, 3], &[0, 0]), 2);
    }
}
