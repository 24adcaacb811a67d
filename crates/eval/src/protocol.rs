//! Named protocols: which images and captions are scored, in which folds, checked against the data's counts.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::embeddings::{Embeddings, LevelEmbeddings, Scoring, check_rows};
use crate::hubness::HubnessRows;
use crate::judging::{Judging, RelevanceRule};
use crate::metrics::{Metrics, RankedQueries};
use crate::precision::Precisions;
use crate::ranks::{Ranks, ranks_under};
use crate::rerank::{Reranked, Reranking, check_rerank_weight};
use gxn_base::{Error, Result};

/// A way to score a split that others use too, so that numbers can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Every image and every caption, one gallery; images without a caption are no queries.
    Full,
    /// 5,000 images × 5 captions in five folds of 1,000 images in the data's order; the metrics are the folds' means.
    Coco1kFiveFold,
    /// 5,000 images × 5 captions, one gallery.
    Coco5k,
    /// Flickr30K: 1,000 images × 5 captions.
    Flickr30k1k,
    /// Flickr8k: 1,000 images × 5 captions.
    Flickr8k1k,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 5] = [Self::Full, Self::Coco1kFiveFold, Self::Coco5k, Self::Flickr30k1k, Self::Flickr8k1k];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Coco1kFiveFold => "coco1k-5fold",
            Self::Coco5k => "coco5k",
            Self::Flickr30k1k => "f30k1k",
            Self::Flickr8k1k => "flickr8k1k",
        }
    }

    /// Images, captions taken per image (the first ones), images in a fold.
    fn counts(self) -> Option<(usize, usize, usize)> {
        match self {
            Self::Full => None,
            Self::Coco1kFiveFold => Some((5000, 5, 1000)),
            Self::Coco5k => Some((5000, 5, 5000)),
            Self::Flickr30k1k | Self::Flickr8k1k => Some((1000, 5, 1000)),
        }
    }

    /// What is scored of `images` images whose captions belong to the images in `caption_image`.
    ///
    /// # Errors
    /// When the counts are not the protocol's, or a caption names an image that does not exist.
    pub fn select(self, images: usize, caption_image: &[usize]) -> Result<Selection> {
        let mut captions_of = vec![Vec::new(); images];
        for (caption, &image) in caption_image.iter().enumerate() {
            let Some(list) = captions_of.get_mut(image) else {
                let what = format!("caption {caption}");
                return Err(Error::invalid(what, format!("image {image}"), format!("an image below {images}")));
            };
            list.push(caption);
        }
        if let Some((wanted, each, _)) = self.counts() {
            let hint = "the counts make the numbers comparable; score other data under the protocol `full`";
            if images != wanted {
                let expected = format!("{wanted} images");
                return Err(Error::invalid(self.what(), format!("{images} images"), expected).with_hint(hint));
            }
            let short: Vec<usize> = (0..images).filter(|&image| captions_of[image].len() < each).collect();
            if let [first, ..] = short.as_slice() {
                let count = captions_of[*first].len();
                let found =
                    format!("fewer for {} of {images}, the first is image {first} (from 0) with {count}", short.len());
                let expected = format!("at least {each} captions for each image");
                return Err(Error::invalid(self.what(), found, expected).with_hint(hint));
            }
            captions_of.iter_mut().for_each(|list| list.truncate(each));
        }
        let mut selection = Selection::default();
        for (image, list) in captions_of.into_iter().enumerate() {
            if list.is_empty() {
                selection.without_captions.push(image);
                continue;
            }
            selection.caption_image.extend(list.iter().map(|_| selection.images.len()));
            selection.captions.extend(list);
            selection.images.push(image);
        }
        if selection.images.is_empty() {
            let found = format!("{images} images, {} captions", caption_image.len());
            return Err(Error::invalid(self.what(), found, "at least one image with a caption"));
        }
        let fold = self.counts().map_or(selection.images.len(), |(.., fold)| fold);
        selection.folds = (0..selection.images.len()).step_by(fold).map(|start| start..start + fold).collect();
        Ok(selection)
    }

    fn what(self) -> String {
        format!("protocol {self}")
    }

    /// Selects, ranks and scores: the whole evaluation of embeddings `[N, D]`, `[M, D]` with each caption's image, by the default
    /// [`Judging`].
    ///
    /// # Errors
    /// As [`Protocol::select`] and [`ranks`](crate::ranks()).
    pub fn evaluate(
        self,
        images: usize,
        caption_image: &[usize],
        embeddings: &Embeddings,
        scoring: Scoring,
    ) -> Result<Evaluation> {
        self.evaluate_by(images, caption_image, embeddings, scoring, &Judging::default())
    }

    /// [`Protocol::evaluate`] by another rule of what counts as right.
    ///
    /// # Errors
    /// As [`Protocol::evaluate`], and when the rule does not fit the data.
    pub fn evaluate_by(
        self,
        images: usize,
        caption_image: &[usize],
        embeddings: &Embeddings,
        scoring: Scoring,
        judging: &Judging,
    ) -> Result<Evaluation> {
        self.evaluate_reranked(images, caption_image, embeddings, scoring, judging, None)
    }

    /// [`Protocol::evaluate_by`], with the best items of each query ranked once more by a second score.
    ///
    /// # Errors
    /// As [`Protocol::evaluate_by`], and when a second score fails, there is no weight for it and several folds, or more than the
    /// own captions count: R-Precision of a re-ranked list is not defined here.
    pub fn evaluate_reranked(
        self,
        images: usize,
        caption_image: &[usize],
        embeddings: &Embeddings,
        scoring: Scoring,
        judging: &Judging,
        reranking: Option<Reranking<'_>>,
    ) -> Result<Evaluation> {
        let selection = self.select(images, caption_image)?;
        if let Some(reranking) = &reranking {
            refuse(reranking, judging, selection.folds.len())?;
        }
        let mut reranked = None;
        let levels = [Some(embeddings.abstract_level), embeddings.grounded_level];
        for level in levels.iter().flatten() {
            check_rows("image embeddings", level.images, level.dim, images)?;
            check_rows("caption embeddings", level.captions, level.dim, caption_image.len())?;
        }
        if let Some(hubness) = &embeddings.hubness {
            check_rows("hubness of images", hubness.images, 1, images)?;
            check_rows("hubness of captions", hubness.captions, 1, caption_image.len())?;
        }
        // Only the protocol without counts has images without a caption, and it has one fold.
        let distractors: &[usize] = if judging.drop_unpaired { &[] } else { &selection.without_captions };
        let mut all = Ranks::default();
        let mut precisions = Vec::new();
        let mut first_caption = 0;
        for fold in &selection.folds {
            let owners = &selection.caption_image[first_caption..];
            let count = owners.partition_point(|&image| image < fold.end);
            let captions = first_caption..first_caption + count;
            first_caption = captions.end;
            let gallery = [&selection.images[fold.clone()], distractors].concat();
            let chosen_captions = &selection.captions[captions];
            let chosen = levels.map(|level| {
                level.map(|level| {
                    let v = rows(level.images, level.dim, &gallery);
                    (v, rows(level.captions, level.dim, chosen_captions), level.dim)
                })
            });
            let level = |place: usize| {
                chosen[place].as_ref().map(|(v, t, dim)| LevelEmbeddings { images: v, captions: t, dim: *dim })
            };
            let Some(abstract_level) = level(0) else { continue };
            let owners: Vec<usize> = owners[..count].iter().map(|image| image - fold.start).collect();
            let relevance = judging.relevance.relevance(&gallery, chosen_captions, &owners, fold.len())?;
            let hubness = embeddings
                .hubness
                .map(|hubness| (rows(hubness.images, 1, &gallery), rows(hubness.captions, 1, chosen_captions)));
            let hubness = hubness.as_ref().map(|(images, captions)| HubnessRows { images, captions });
            let embeddings = Embeddings { abstract_level, grounded_level: level(1), hubness };
            if judging.relevance != RelevanceRule::Own {
                precisions.push(Precisions::of(&embeddings, &relevance, fold.len(), scoring)?);
            }
            let mut found = ranks_under(judging.ties, &embeddings, &relevance, scoring)?;
            if let Some(reranking) = &reranking {
                let places = [gallery.as_slice(), chosen_captions];
                reranked = Some(reranking.apply(&embeddings, &relevance, scoring, places, &mut found)?);
            }
            all.image_to_text.extend(&found.image_to_text[..fold.len()]);
            all.text_to_image.extend(found.text_to_image);
        }
        let queries = selection.queries(&all);
        let (metrics, folds) = (queries.metrics()?, queries.fold_metrics()?);
        Ok(Evaluation {
            protocol: self,
            scoring,
            ranks: all,
            metrics,
            folds,
            precisions: Precisions::mean(&precisions),
            positives_rule: judging.relevance.words(),
            tie_rule: judging.ties.rule(),
            unpaired_in_gallery: !distractors.is_empty(),
            reranked,
            selection,
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        (Self::ALL.into_iter().find(|protocol| protocol.name() == name)).ok_or_else(|| {
            let expected = format!("one of {}", Self::ALL.map(Self::name).join(", "));
            Error::invalid("protocol", format!("`{name}`"), expected)
        })
    }
}

/// What a protocol scores: positions in the data it was given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Selection {
    /// The images, in the data's order.
    pub images: Vec<usize>,
    /// The captions, sorted by image, in the data's order within an image.
    pub captions: Vec<usize>,
    /// For every selected caption the place of its image in `images`.
    pub caption_image: Vec<usize>,
    /// Blocks of `images` that are ranked apart.
    pub folds: Vec<Range<usize>>,
    /// Images that are no queries because they have no caption.
    pub without_captions: Vec<usize>,
}

impl Selection {
    /// The ranks of this selection's queries, for metrics and the bootstrap.
    pub fn queries<'a>(&'a self, ranks: &'a Ranks) -> RankedQueries<'a> {
        RankedQueries {
            image_to_text: &ranks.image_to_text,
            text_to_image: &ranks.text_to_image,
            caption_image: &self.caption_image,
            folds: &self.folds,
        }
    }
}

/// A protocol's outcome on embeddings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The protocol.
    pub protocol: Protocol,
    /// The score that ranked.
    pub scoring: Scoring,
    /// What was scored.
    pub selection: Selection,
    /// The rank of every selected query, within its fold.
    pub ranks: Ranks,
    /// The metrics: the mean of the folds.
    pub metrics: Metrics,
    /// The metrics of every fold.
    pub folds: Vec<Metrics>,
    /// R-Precision and mAP@R, the mean of the folds, where more than the own captions count.
    pub precisions: Option<Precisions>,
    /// What counted as right.
    pub positives_rule: String,
    /// What equal scores meant.
    pub tie_rule: &'static str,
    /// Whether images without a caption were distractors for the captions; else they were left out.
    pub unpaired_in_gallery: bool,
    /// How the best items of each query were ranked once more, where they were.
    pub reranked: Option<Reranked>,
}

/// Refuses what re-ranking cannot report.
fn refuse(reranking: &Reranking<'_>, judging: &Judging, folds: usize) -> Result<()> {
    if reranking.candidates == 0 {
        return Err(Error::invalid("re-ranking", "0 items of each query", "at least 1"));
    }
    if judging.relevance != RelevanceRule::Own {
        return Err(Error::invalid("re-ranking", "more than the own captions as right", "the own captions"));
    }
    reranking.weight.map_or(Ok(()), check_rerank_weight)?;
    if folds > 1 && reranking.weight.is_none() {
        return Err(Error::invalid("re-ranking", format!("{folds} folds and no weight"), "a weight chosen elsewhere"));
    }
    Ok(())
}

/// The chosen rows, without a copy where they are consecutive.
fn rows<'a>(all: &'a [f32], dim: usize, chosen: &[usize]) -> std::borrow::Cow<'a, [f32]> {
    if chosen.windows(2).all(|pair| pair[1] == pair[0] + 1) {
        let first = chosen.first().map_or(0, |&first| first * dim);
        return all[first..first + chosen.len() * dim].into();
    }
    chosen.iter().flat_map(|&row| &all[row * dim..(row + 1) * dim]).copied().collect()
}

#[cfg(test)]
mod tests {
    // Folds are ranges, and often there is one.
    #![allow(clippy::single_range_in_vec_init)]

    use super::*;
    use gxn_base::Similarity;

    fn owners(images: usize, each: usize) -> Vec<usize> {
        (0..images * each).map(|caption| caption / each).collect()
    }

    #[test]
    fn names_round_trip() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse::<Protocol>().unwrap(), protocol);
        }
        let error = "coco".parse::<Protocol>().unwrap_err().to_string();
        assert!(error.contains("`coco`") && error.contains("coco1k-5fold"), "{error}");
    }

    /// Captions in any order; image 1 has none and is left out by name.
    #[test]
    fn full_takes_what_has_captions() {
        let selection = Protocol::Full.select(3, &[2, 0, 2]).unwrap();
        assert_eq!(selection.images, [0, 2]);
        assert_eq!(selection.captions, [1, 0, 2]);
        assert_eq!(selection.caption_image, [0, 1, 1]);
        assert_eq!(selection.without_captions, [1]);
        assert_eq!(selection.folds, [0..2]);
    }

    /// The sixth and seventh captions of COCO images are not used; folds are consecutive thousands.
    #[test]
    fn coco_takes_the_first_five() {
        let mut captions = owners(5000, 5);
        captions.extend([17, 17, 4999]);
        let selection = Protocol::Coco1kFiveFold.select(5000, &captions).unwrap();
        assert_eq!(selection.captions.len(), 25_000);
        assert_eq!(selection.captions[85..90], [85, 86, 87, 88, 89]);
        assert_eq!(selection.folds, [0..1000, 1000..2000, 2000..3000, 3000..4000, 4000..5000]);
        assert_eq!(Protocol::Coco5k.select(5000, &captions).unwrap().folds, [0..5000]);
    }

    #[test]
    fn wrong_counts_say_found_and_expected() {
        let message = |protocol: Protocol, images, captions: &[usize]| {
            let error = protocol.select(images, captions).unwrap_err();
            assert!(error.hint().is_none_or(|hint| hint.contains("full")));
            error.to_string()
        };
        assert_eq!(
            message(Protocol::Flickr8k1k, 999, &owners(999, 5)),
            "protocol flickr8k1k: found 999 images, expected 1000 images"
        );
        let mut few = owners(1000, 5);
        few.remove(36);
        let found = message(Protocol::Flickr30k1k, 1000, &few);
        assert!(found.contains("fewer for 1 of 1000, the first is image 7 (from 0) with 4"), "{found}");
        assert!(message(Protocol::Coco5k, 1000, &owners(1000, 5)).contains("expected 5000 images"));
        assert!(message(Protocol::Full, 2, &[]).contains("2 images, 0 captions"));
        assert!(message(Protocol::Full, 2, &[2]).contains("image 2"));
    }

    /// Five folds equal five evaluations of a thousand images each, and their mean.
    #[test]
    fn folds_are_ranked_apart() {
        let value = |at: usize| ((at * 2_654_435_761) % 1009) as f32 / 1009.0 - 0.5;
        let images: Vec<f32> = (0..5000 * 4).map(value).collect();
        let captions: Vec<f32> =
            (0..25_000 * 4).map(|at| images[at / 20 * 4 + at % 4] + 0.4 * value(at + 77)).collect();
        let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
        let run = |protocol: Protocol, images: &[f32], captions: &[f32]| {
            let embeddings = Embeddings {
                abstract_level: LevelEmbeddings { images, captions, dim: 4 },
                grounded_level: None,
                hubness: None,
            };
            let count = images.len() / 4;
            protocol.evaluate(count, &owners(count, 5), &embeddings, scoring).unwrap()
        };
        let whole = run(Protocol::Coco1kFiveFold, &images, &captions);
        for (fold, metrics) in whole.folds.iter().enumerate() {
            let part = run(
                Protocol::Flickr8k1k,
                &images[fold * 4000..(fold + 1) * 4000],
                &captions[fold * 20_000..(fold + 1) * 20_000],
            );
            assert_eq!(&part.metrics, metrics);
            assert_eq!(part.ranks.text_to_image, whole.ranks.text_to_image[fold * 5000..(fold + 1) * 5000]);
        }
        assert_eq!(Metrics::mean(&whole.folds), whole.metrics);
        let five_k = run(Protocol::Coco5k, &images, &captions);
        assert!(five_k.metrics.rsum() < whole.metrics.rsum());
    }

    /// A caption order other than the images' changes the order of the ranks, not their values.
    #[test]
    fn caption_order_does_not_matter() {
        let images = [1.0, 0.0, 0.0, 1.0, 0.7, 0.7];
        let (sorted, mixed) = ([0.9, 0.1, 0.2, 0.9, 0.6, 0.8], [0.6, 0.8, 0.2, 0.9, 0.9, 0.1]);
        let run = |captions: &[f32], owners: &[usize]| {
            let level = LevelEmbeddings { images: &images, captions, dim: 2 };
            let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
            let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
            Protocol::Full.evaluate(3, owners, &embeddings, scoring).unwrap().ranks
        };
        assert_eq!(run(&sorted, &[0, 1, 2]), run(&mixed, &[2, 1, 0]));
    }
}
