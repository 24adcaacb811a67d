//! [`Judging`]: what counts as right, and how equal scores and images without a caption count.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::embeddings::Relevance;
use crate::relevance_file;
use gxn_base::words::{counted, first_few};
use gxn_base::{Error, Result};

/// Pairs of one evaluation at most: beyond it equal captions are so common that ranks say nothing.
const MOST_PAIRS: usize = 50_000_000;

/// How an irrelevant item with the score of the best relevant one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ties {
    /// It stands before: equal scores never help.
    #[default]
    Worst,
    /// It stands behind.
    Best,
    /// Half of them stand before; a half rank counts as the next whole one.
    Mean,
}

impl Ties {
    /// The rule as reports state it.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Worst => "pessimistic: an irrelevant item with an equal score stands before",
            Self::Best => "optimistic: an irrelevant item with an equal score stands behind",
            Self::Mean => "mean: half of the irrelevant items with an equal score stand before, rounded up",
        }
    }
}

impl FromStr for Ties {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "worst" => Ok(Self::Worst),
            "best" => Ok(Self::Best),
            "mean" => Ok(Self::Mean),
            _ => Err(Error::invalid("ties", format!("`{name}`"), "worst, best or mean")),
        }
    }
}

/// Which images and captions belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RelevanceRule {
    /// The captions of an image, and the image of a caption.
    #[default]
    Own,
    /// Also every image with a verbatim equal caption, and the captions of such images with that text. Holds the texts of all
    /// captions.
    Verbatim(Vec<String>),
    /// Also pairs that people judged.
    Judged {
        /// Where they are from, for reports.
        name: String,
        /// Image and caption, positions in the data.
        pairs: Vec<(usize, usize)>,
    },
}

impl RelevanceRule {
    /// Reads judged pairs: on each line the id of an image, a tab and the id of a caption; or a file of ECCV Caption (JSON) or of
    /// Crisscrossed Captions (`sits_*.csv`, ratings from 3 on). Several files may be named with commas between them. Also
    /// returns a note on pairs that name no image or caption here, such as those of other splits.
    ///
    /// # Errors
    /// When a file cannot be read or is of another form, or no pair is of these images and captions.
    pub fn read(path: &Path, image_ids: &[String], caption_ids: &[String]) -> Result<(Self, Option<String>)> {
        let name = path.display().to_string();
        let [images, captions] = [image_ids, caption_ids]
            .map(|ids| ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect::<HashMap<_, _>>());
        let files: Vec<&Path> = match path.to_str().filter(|text| text.contains(',') && !path.exists()) {
            Some(list) => list.split(',').map(Path::new).collect(),
            None => vec![path],
        };
        let (mut pairs, mut unknown) = (Vec::new(), Vec::new());
        for file in files {
            let found = relevance_file::read(file, &images, &captions)?;
            pairs.extend(found.known);
            unknown.extend(found.unknown);
        }
        if pairs.is_empty() {
            let found =
                format!("{}, none of an image and a caption that are evaluated", counted(unknown.len(), "pair"));
            let [image, caption] = [image_ids, caption_ids].map(|ids| ids.first().map_or("", String::as_str));
            return Err(Error::conflict(name, found, "pairs of image ids and caption ids")
                .with_hint(format!("the ids begin with image {image}, caption {caption}")));
        }
        let note = (!unknown.is_empty()).then(|| {
            let count = counted(unknown.len(), "pair");
            format!("{name}: left out {count} of images or captions that are not evaluated ({})", first_few(&unknown))
        });
        Ok((Self::Judged { name, pairs }, note))
    }

    /// The rule as reports state it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Own => "the captions of an image and the image of a caption; rank of the best one".into(),
            Self::Verbatim(_) => {
                "the captions of an image, verbatim equal captions of others, and their images; rank of the best one"
                    .into()
            }
            Self::Judged { name, .. } => {
                format!(
                    "the captions of an image, the image of a caption and the pairs of {name}; rank of the best one"
                )
            }
        }
    }

    /// The relation between the chosen `images` and `captions` (positions in the data); `owners` has each chosen caption's place
    /// among the images. Places behind `queries` may have no caption.
    pub(crate) fn relevance(
        &self,
        images: &[usize],
        captions: &[usize],
        owners: &[usize],
        queries: usize,
    ) -> Result<Relevance> {
        let own = owners.iter().enumerate().map(|(caption, &image)| (image, caption));
        let more = match self {
            Self::Own => Vec::new(),
            Self::Verbatim(texts) => equal_captions(texts, captions, owners)?,
            Self::Judged { pairs, .. } => {
                let places = |all: &[usize]| all.iter().enumerate().map(|(place, &at)| (at, place)).collect();
                let (image_at, caption_at): (HashMap<_, _>, HashMap<_, _>) = (places(images), places(captions));
                let place = |(image, caption)| Some((*image_at.get(image)?, *caption_at.get(caption)?));
                pairs.iter().map(|(image, caption)| (image, caption)).filter_map(place).collect()
            }
        };
        Relevance::of_queries(images.len(), queries, captions.len(), own.chain(more))
    }
}

/// Every image of a text with every caption of it.
fn equal_captions(texts: &[String], captions: &[usize], owners: &[usize]) -> Result<Vec<(usize, usize)>> {
    let mut groups: HashMap<&str, (BTreeSet<usize>, Vec<usize>)> = HashMap::new();
    for (place, (&caption, &image)) in captions.iter().zip(owners).enumerate() {
        let Some(text) = texts.get(caption) else {
            let found = format!("{} texts", texts.len());
            return Err(Error::invalid("texts of the captions", found, format!("one for caption {caption}")));
        };
        let (images, places) = groups.entry(text.trim()).or_default();
        images.insert(image);
        places.push(place);
    }
    let shared = || groups.values().filter(|(images, _)| images.len() > 1);
    let count: usize = shared().map(|(images, places)| images.len() * places.len()).sum();
    if count > MOST_PAIRS {
        let found = format!("{count} pairs of an image and an equal caption");
        return Err(Error::unsupported("verbatim relevance", found, format!("at most {MOST_PAIRS}"))
            .with_hint("most captions are the same text; retrieval cannot be measured with them"));
    }
    Ok(shared().flat_map(|(images, places)| places.iter().flat_map(|&p| images.iter().map(move |&i| (i, p)))).collect())
}

/// How many captions also stand, verbatim, under another image. `owners` has each caption's image.
pub fn captions_of_several_images(texts: &[&str], owners: &[usize]) -> usize {
    let mut first: HashMap<&str, (usize, bool, usize)> = HashMap::new();
    for (text, &image) in texts.iter().zip(owners) {
        let (owner, several, count) = first.entry(text.trim()).or_insert((image, false, 0));
        *several |= *owner != image;
        *count += 1;
    }
    first.values().filter(|(_, several, _)| *several).map(|(.., count)| count).sum()
}

/// What counts as right, and how equal scores and images without a caption count. The default is the strictest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judging {
    /// Which images and captions belong together.
    pub relevance: RelevanceRule,
    /// How equal scores count.
    pub ties: Ties,
    /// Whether images without a caption leave the gallery; else captions must be found among them too.
    pub drop_unpaired: bool,
}

impl fmt::Display for Judging {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "right: {}\nties: {}", self.relevance.words(), self.ties.rule())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Embeddings, LevelEmbeddings, Protocol, Scoring, Similarity};

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    /// Images on the axes x and y, and one without a caption on x too. Captions "a" (of image 0, on y), "b" (of image 1, on y)
    /// and "a" (of image 1, on x).
    fn run(judging: &Judging) -> crate::Evaluation {
        let (images, captions) = ([1.0, 0.0, 0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
        let level = LevelEmbeddings { images: &images, captions: &captions, dim: 2 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
        Protocol::Full.evaluate_by(3, &[0, 1, 1], &embeddings, scoring, judging).unwrap()
    }

    #[test]
    fn ties_count_as_told() {
        let ranks = |ties| run(&Judging { ties, drop_unpaired: true, ..Judging::default() }).ranks;
        // Image 0 finds its caption at score 0 beside "b"; the other "a" is better.
        assert_eq!(ranks(Ties::Worst).image_to_text, [2, 1]);
        assert_eq!(ranks(Ties::Mean).image_to_text, [2, 1]);
        assert_eq!(ranks(Ties::Best).image_to_text, [1, 0]);
        assert_eq!(ranks(Ties::Worst).text_to_image, [1, 0, 1]);
    }

    #[test]
    fn equal_captions_are_right_under_every_image_that_has_them() {
        let verbatim = RelevanceRule::Verbatim(ids(&["a", "b", " a"]));
        let found = run(&Judging { relevance: verbatim, drop_unpaired: true, ..Judging::default() });
        assert_eq!(found.ranks.image_to_text, [0, 0]);
        assert_eq!(found.ranks.text_to_image, [0, 0, 0]);
        assert!(found.positives_rule.contains("verbatim"));
        assert_eq!(captions_of_several_images(&["a", "b", " a"], &[0, 1, 1]), 2);
        assert_eq!(captions_of_several_images(&["a", "a", "b"], &[0, 0, 1]), 0);
    }

    #[test]
    fn images_without_a_caption_stay_as_distractors() {
        let kept = run(&Judging::default());
        // Caption 2 lies on x: both image 0 and the one without a caption stand before its image.
        assert_eq!(kept.ranks.text_to_image, [2, 0, 2]);
        assert_eq!(kept.ranks.image_to_text.len(), 2);
        assert_eq!((kept.unpaired_in_gallery, kept.selection.without_captions.as_slice()), (true, &[2][..]));
        let dropped = run(&Judging { drop_unpaired: true, ..Judging::default() });
        assert_eq!(dropped.ranks.text_to_image, [1, 0, 1]);
        assert!(!dropped.unpaired_in_gallery);
    }

    #[test]
    fn judged_pairs_are_read_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relevance.tsv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            RelevanceRule::read(&path, &ids(&["x", "y", "z"]), &ids(&["0", "1", "2"]))
        };
        let (rule, note) = read("\u{feff}x\t2\r\n\nnone\t1\n").unwrap();
        assert_eq!(rule, RelevanceRule::Judged { name: path.display().to_string(), pairs: vec![(0, 2)] });
        assert!(note.unwrap().contains("1 pair of images or captions that are not evaluated (line 3)"));
        let found = run(&Judging { relevance: rule, ..Judging::default() });
        assert_eq!(found.ranks.image_to_text, [0, 1]);
        assert!(read("x 2\n").unwrap_err().to_string().contains("line 1: found no tab"));
        assert!(read("q\t2\n").unwrap_err().to_string().contains("1 pair, none of"));
    }

    #[test]
    fn names_of_ties_are_checked() {
        assert_eq!("mean".parse::<Ties>().unwrap(), Ties::Mean);
        assert!("random".parse::<Ties>().unwrap_err().to_string().contains("worst, best or mean"));
    }
}
